//! The layer that counts requests.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use tonic::Code;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Resolved, UsageCounters};

const GRPC_STATUS: &str = "grpc-status";

/// Counts each request as one of a monthly meter of its tenant. It stands behind a
/// [`TenantLayer`](super::TenantLayer), which finds the tenant, and costs no call to the server.
///
/// What is answered with 401 or 403, or over gRPC with UNAUTHENTICATED or PERMISSION_DENIED as its
/// first word, is not counted: in front of a [`RequireModule`](super::RequireModule) it counts what that
/// lets pass. A request without a tenant, as on a public path, is not counted either.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use entitlement_client::{CountLayer, Entitlements, TenantLayer, UsageCounters};
///
/// fn app(entitlements: &Entitlements, counters: &UsageCounters) -> Router {
///     Router::new()
///         .route("/invoices", get(|| async { "invoices" }))
///         .layer(CountLayer::new(counters, "transactions_monthly").module("finance"))
///         .layer(TenantLayer::http(entitlements))
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CountLayer(Arc<Counted>);

#[derive(Clone, Debug)]
struct Counted {
    counters: UsageCounters,
    meter: String,
    module: String,
    with_refused: bool,
}

impl CountLayer {
    /// Counts with these counters, under the key of a monthly limit.
    pub fn new(counters: &UsageCounters, meter: impl Into<String>) -> Self {
        let counters = counters.clone();
        Self(
            Counted { counters, meter: meter.into(), module: String::new(), with_refused: false }
                .into(),
        )
    }

    /// The code of the module that it is used for. Default: none is named.
    pub fn module(mut self, code: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).module = code.into();
        self
    }

    /// Counts what is refused, too.
    pub fn with_refused(mut self) -> Self {
        Arc::make_mut(&mut self.0).with_refused = true;
        self
    }
}

impl<S> Layer<S> for CountLayer {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountedService { inner, counted: Arc::clone(&self.0) }
    }
}

/// A service behind a [`CountLayer`].
#[derive(Clone, Debug)]
pub struct CountedService<S> {
    inner: S,
    counted: Arc<Counted>,
}

impl<S, B, R> Service<Request<B>> for CountedService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
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
        let tenant = request.extensions().get().map(|resolved: &Resolved| resolved.tenant.id);
        let Some(tenant) = tenant else { return Box::pin(inner.call(request)) };
        let counted = Arc::clone(&self.counted);
        Box::pin(async move {
            let response = inner.call(request).await?;
            let Counted { counters, meter, module, with_refused } = &*counted;
            if *with_refused || !is_refused(response.status(), response.headers()) {
                counters.add(tenant, meter, 1, module);
            }
            Ok(response)
        })
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for CountedService<S> {
    const NAME: &'static str = S::NAME;
}

fn is_refused(status: StatusCode, headers: &HeaderMap) -> bool {
    let code = headers.get(GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || matches!(code, Some(Code::Unauthenticated | Code::PermissionDenied))
}
