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

use super::{Enforce, Grpc, Http, Mark, Protocol, Setup, public::PublicPaths, request::Unresolved};
use crate::{Entitlements, Refusal};

/// Resolves each request's tenant once, by `X-Tenant-ID`, host and bearer token, and puts it into
/// the request's extensions as [`Resolved`](crate::Resolved). A request without a tenant is
/// refused, except on public paths and with OPTIONS, which never carries credentials.
#[derive(Clone, Debug)]
#[must_use]
pub struct TenantLayer<P> {
    setup: Setup,
    public: PublicPaths,
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
            public: PublicPaths::default(),
            protocol: PhantomData,
        }
    }

    /// Answered without a tenant: this path, and no other.
    pub fn public_path(mut self, path: &str) -> Self {
        self.public.add(path);
        self
    }

    /// Answered without a tenant: this path and those below it. `/api/admin` does not cover
    /// `/api/adminfoo`.
    pub fn public_prefix(mut self, prefix: &str) -> Self {
        self.public.add_prefix(prefix);
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

impl<S, P> Layer<S> for TenantLayer<P> {
    type Service = TenantGate<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        let (setup, public) = (self.setup.clone(), Arc::new(self.public.clone()));
        TenantGate { inner, setup, public, protocol: PhantomData }
    }
}

/// A service behind a [`TenantLayer`].
#[derive(Debug)]
pub struct TenantGate<S, P> {
    inner: S,
    setup: Setup,
    public: Arc<PublicPaths>,
    protocol: PhantomData<fn() -> P>,
}

// Deriving it would require `P: Clone`.
impl<S: Clone, P> Clone for TenantGate<S, P> {
    fn clone(&self) -> Self {
        let Self { inner, setup, public, protocol } = self;
        Self {
            inner: inner.clone(),
            setup: setup.clone(),
            public: Arc::clone(public),
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
        if request.method() == Method::OPTIONS || self.public.contain(request.uri().path()) {
            return Box::pin(inner.call(request));
        }
        let setup = self.setup.clone();
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
