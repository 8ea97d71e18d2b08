//! A service with a maximum number of concurrent streams.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tonic::{body::Body, server::NamedService};
use tower_service::Service;

use super::status;

/// A service that needs no token, and whose answers are in channels where no connection counts
/// them. Clones share the limit.
#[derive(Clone, Debug)]
pub(crate) struct Limited<S> {
    service: S,
    places: Arc<Semaphore>,
}

impl<S> Limited<S> {
    /// Answers one stream per free place; other services may share the places.
    pub(crate) fn new(service: S, places: &Arc<Semaphore>) -> Self {
        Self { service, places: Arc::clone(places) }
    }
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Box::pin(async { Ok(status::overloaded().into_http()) });
        };
        let answering = self.service.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    // Dropped together with the content.
                    let _held = &place;
                    frame
                }))
            }))
        })
    }
}
