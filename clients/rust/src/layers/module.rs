//! The layer that lets a request pass where its tenant may use a module.

use std::{
    marker::PhantomData,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Enforce, Grpc, Http, Mark, Protocol, Setup, request::Unresolved};
use crate::{Entitlements, Error, Refusal, Resolved};

/// Lets a request pass whose tenant may use one of some modules. Behind a
/// [`TenantLayer`](super::TenantLayer) it takes the tenant that was found there; alone, it finds
/// the tenant itself.
///
/// With feature `tonic`, what it makes of a tonic service can be added to a server like the service
/// itself:
///
/// ```
/// # #[cfg(feature = "tonic")] {
/// use entitlement_client::{Entitlements, RequireModule};
/// use tonic::server::NamedService;
/// use tower_layer::Layer;
///
/// fn guarded<S: NamedService>(entitlements: &Entitlements, ledger: S) -> impl NamedService {
///     RequireModule::grpc(entitlements, "finance").layer(ledger)
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireModule<P> {
    setup: Setup,
    modules: Vec<String>,
    protocol: PhantomData<fn() -> P>,
}

impl RequireModule<Http> {
    /// For axum and other HTTP services.
    pub fn http(entitlements: &Entitlements, module: &str) -> Self {
        Self::new(entitlements, module)
    }
}

impl RequireModule<Grpc> {
    /// For tonic.
    pub fn grpc(entitlements: &Entitlements, module: &str) -> Self {
        Self::new(entitlements, module)
    }
}

impl<P> RequireModule<P> {
    fn new(entitlements: &Entitlements, module: &str) -> Self {
        Self {
            setup: Setup::new(entitlements),
            modules: vec![module.to_owned()],
            protocol: PhantomData,
        }
    }

    /// Accepts this module as an alternative. A refusal names the first one.
    pub fn or(mut self, module: &str) -> Self {
        self.modules.push(module.to_owned());
        self
    }

    /// [`Enforce::Off`] is shadow mode.
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

impl<S, P> Layer<S> for RequireModule<P> {
    type Service = ModuleGate<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        let judge = Arc::new(Judge { setup: self.setup.clone(), modules: self.modules.clone() });
        ModuleGate { inner, judge, protocol: PhantomData }
    }
}

/// A service behind a [`RequireModule`].
#[derive(Debug)]
pub struct ModuleGate<S, P> {
    inner: S,
    judge: Arc<Judge>,
    protocol: PhantomData<fn() -> P>,
}

// Deriving it would require `P: Clone`.
impl<S: Clone, P> Clone for ModuleGate<S, P> {
    fn clone(&self) -> Self {
        let Self { inner, judge, protocol } = self;
        Self { inner: inner.clone(), judge: Arc::clone(judge), protocol: *protocol }
    }
}

impl<S, P, B, R> Service<Request<B>> for ModuleGate<S, P>
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
        let judge = Arc::clone(&self.judge);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match judge.admit(&mut head).await {
                Ok(mark) => Ok(mark.put(inner.call(Request::from_parts(head, body)).await?)),
                Err(refusal) => Ok(P::write(refusal)),
            }
        })
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService, P> tonic::server::NamedService for ModuleGate<S, P> {
    const NAME: &'static str = S::NAME;
}

/// What a gate asks of each request.
#[derive(Debug)]
struct Judge {
    setup: Setup,
    modules: Vec<String>,
}

impl Judge {
    async fn admit(&self, head: &mut Parts) -> Result<Mark, Refusal> {
        if self.setup.enforce == Enforce::Off && head.extensions.get::<Unresolved>().is_some() {
            // The layer that did not find the tenant has logged that.
            return Ok(Mark::default());
        }
        match self.resolve_and_check(head).await {
            Ok(()) => Ok(Mark::default()),
            Err(refusal) => self.setup.judge(refusal),
        }
    }

    async fn resolve_and_check(&self, head: &mut Parts) -> Result<(), Refusal> {
        let resolved = self.setup.resolve(head).await?;
        let tenant = resolved.tenant.id;
        head.extensions.insert::<Resolved>(resolved);
        match self.setup.entitlements.check_any(tenant, &self.modules).await {
            Ok(answer) if answer.allowed() => Ok(()),
            Ok(answer) => Err(Refusal::of_denial(&answer)),
            // The tenant was found, so a refusal concerns what this service asked for.
            Err(Error::Refused(status)) => Err(Refusal::broken(&status)),
            Err(error) => Err(error.into()),
        }
    }
}
