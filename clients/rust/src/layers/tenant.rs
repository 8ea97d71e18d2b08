//! The layer that finds a request's tenant.

use std::{
    marker::PhantomData,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Enforce, Grpc, Http, Mark, Protocol, Setup, paths::Paths, request::Unresolved};
use crate::{Entitlements, Refusal};

/// Resolves each request's tenant once, by `X-Tenant-ID`, host and bearer token, and puts it into
/// the request's extensions as [`Resolved`](crate::Resolved). A request without a tenant is
/// refused, except on public paths and with OPTIONS, which never carries credentials.
#[derive(Clone, Debug)]
#[must_use]
pub struct TenantLayer<P> {
    setup: Setup,
    paths: Exceptions,
    protocol: PhantomData<fn() -> P>,
}

impl TenantLayer<Http> {
    /// For axum and other HTTP services.
    pub fn http(entitlements: &Entitlements) -> Self {
        Self::new(entitlements)
    }
}

impl TenantLayer<Grpc> {
    /// For tonic. `public_prefix("/grpc.health.v1.Health")` keeps the health service open.
    pub fn grpc(entitlements: &Entitlements) -> Self {
        Self::new(entitlements)
    }
}

impl<P> TenantLayer<P> {
    fn new(entitlements: &Entitlements) -> Self {
        Self {
            setup: Setup::new(entitlements),
            paths: Exceptions::default(),
            protocol: PhantomData,
        }
    }

    /// Answered without a tenant: this path, and no other.
    pub fn public_path(mut self, path: &str) -> Self {
        self.paths.public.add(path);
        self
    }

    /// Answered without a tenant: this path and those below it. `/api/admin` does not cover
    /// `/api/adminfoo`.
    pub fn public_prefix(mut self, prefix: &str) -> Self {
        self.paths.public.add_prefix(prefix);
        self
    }

    /// On this path, and no other, the bearer token is not looked at: `X-Tenant-ID` and the host name the tenant. For
    /// logins, to which browsers attach a token that has expired.
    pub fn ignore_token_path(mut self, path: &str) -> Self {
        self.paths.ignore_token.add(path);
        self
    }

    /// The same for this path and those below it.
    pub fn ignore_token_prefix(mut self, prefix: &str) -> Self {
        self.paths.ignore_token.add_prefix(prefix);
        self
    }

    /// [`Enforce::Off`] is shadow mode: a request without a tenant passes too, so handlers have to
    /// cope.
    pub fn enforce(mut self, enforce: Enforce) -> Self {
        self.setup.enforce = enforce;
        self
    }

    /// Does not pass bearer tokens on: for a server that has no key to verify them with.
    pub fn without_bearer_token(mut self) -> Self {
        self.setup.with_bearer_token = false;
        self
    }
}

/// Paths that are not treated as others are.
#[derive(Clone, Debug, Default)]
struct Exceptions {
    public: Paths,
    ignore_token: Paths,
}

impl<S, P> Layer<S> for TenantLayer<P> {
    type Service = TenantGate<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        let (setup, paths) = (self.setup.clone(), Arc::new(self.paths.clone()));
        TenantGate { inner, setup, paths, protocol: PhantomData }
    }
}

/// A service behind a [`TenantLayer`].
#[derive(Debug)]
pub struct TenantGate<S, P> {
    inner: S,
    setup: Setup,
    paths: Arc<Exceptions>,
    protocol: PhantomData<fn() -> P>,
}

// Deriving it would require `P: Clone`.
impl<S: Clone, P> Clone for TenantGate<S, P> {
    fn clone(&self) -> Self {
        let Self { inner, setup, paths, protocol } = self;
        Self {
            inner: inner.clone(),
            setup: setup.clone(),
            paths: Arc::clone(paths),
            protocol: *protocol,
        }
    }
}

impl<S, P, B, R> Service<Request<B>> for TenantGate<S, P>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    P: Protocol<R>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        // The service that was polled ready must be the one that is called.
        let mut inner = mem::replace(&mut self.inner, clone);
        let path = request.uri().path();
        if request.method() == Method::OPTIONS || self.paths.public.contain(path) {
            return Box::pin(inner.call(request));
        }
        let mut setup = self.setup.clone();
        setup.with_bearer_token &= !self.paths.ignore_token.contain(path);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match setup.admit(&mut head).await {
                Ok(mark) => Ok(mark.put(inner.call(Request::from_parts(head, body)).await?)),
                Err(refusal) => Ok(P::write(refusal)),
            }
        })
    }
}

impl Setup {
    async fn admit(&self, head: &mut Parts) -> Result<Mark, Refusal> {
        match self.resolve(head).await {
            Ok(resolved) => {
                head.extensions.insert(resolved);
                Ok(Mark::default())
            }
            Err(refusal) => {
                let mark = self.judge(refusal.clone())?;
                head.extensions.insert(Unresolved(refusal));
                Ok(mark)
            }
        }
    }
}
