//! The front of a gRPC listener: every request passes here, before and after the service that
//! answers it.
//!
//! It gives each request an id, sheds excess load, enforces deadlines, counts and logs. Health and
//! reflection are neither shed nor cut off.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, service::Routes};
use tower_service::Service;

pub(crate) use super::answer::{Answer, Answering};
use super::{answer::Traced, headers::CommonHeaders, status, unknown::refuse_unknown};
use crate::{
    proto::Method,
    service::{
        Peer,
        metrics::{Metrics, Timed},
        request_id::REQUEST_ID,
        trace::{Tracer, within},
        watch::Ending,
    },
};

/// The limits of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrontSettings {
    /// Maximum number of concurrent requests; further ones are refused at once.
    pub max_in_flight: usize,
    /// A request that takes longer is given up, whatever its caller allows.
    pub request_timeout: Duration,
    /// Services get to know the id of each request: the decision log names it.
    pub tells_ids: bool,
}

/// The limits for requests of a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    /// They are shed when there are too many, and given up when they take too long.
    Request,
    /// They are shed when there are too many, and given up when they take longer than this.
    LongRequest(Duration),
    /// They last for as long as their caller likes. They have a limit of their own.
    Stream,
}

/// The services of our own that a listener answers.
pub(crate) trait Services {
    /// The limits for requests of a method; `None`: it is not answered on this listener.
    fn limit(&self, method: Method) -> Option<Limit>;

    /// Admits callers that may ask, and attaches to the request what its service needs to know.
    /// `ending` resolves when its connection is to end.
    fn admit(
        &self,
        method: Method,
        request: &mut Request<Incoming>,
        peer: &Peer,
        ending: &Ending,
    ) -> Result<(), Status>;

    /// Answers a request that was admitted.
    fn call(&self, method: Method, request: Request<Incoming>, peer: &Peer) -> Answering;
}

/// Routes a request to the service that answers it. Clones share the places for requests in flight.
#[derive(Clone)]
pub(crate) struct Front<S> {
    services: S,
    others: Routes,
    settings: FrontSettings,
    /// The places for requests in flight.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    tracer: Tracer,
}

/// The requests in flight of a listener.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    places: Arc<Semaphore>,
    most: usize,
}

impl InFlight {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }
}

/// A request that was admitted or refused: its answer, how long it may take, and its place among
/// those in flight.
type StartedAnswer = (Answering, Option<Duration>, Option<OwnedSemaphorePermit>);

impl<S: Services> Front<S> {
    /// Our own services, and those that are never shed: health and reflection.
    pub(crate) fn new(
        services: S,
        others: Routes,
        settings: FrontSettings,
        metrics: Arc<Metrics>,
        tracer: Tracer,
    ) -> Self {
        let others = refuse_unknown(others, settings.request_timeout);
        let places = settings.max_in_flight.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        Self { services, others, settings, places, metrics, tracer }
    }

    /// Its requests in flight.
    pub(crate) fn in_flight(&self) -> InFlight {
        let most = self.settings.max_in_flight.min(Semaphore::MAX_PERMITS);
        InFlight { places: Arc::clone(&self.places), most }
    }

    /// Answers a request. `ending` resolves when its connection is to end.
    pub(crate) fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: &Peer,
        ending: &Ending,
    ) -> Answer {
        let CommonHeaders { request_id, traceparent, timeout } =
            CommonHeaders::of(request.headers());
        if self.settings.tells_ids {
            request.headers_mut().insert(REQUEST_ID, request_id.clone());
        }
        let path = request.uri().path();
        let ours = Method::of(path).and_then(|method| Some((method, self.services.limit(method)?)));
        let method = ours.map(|(method, _)| method);
        let stopwatch = self.metrics.rpcs.time(method.map(Timed::Rpc), Instant::now());
        let unknown = method.is_none().then(|| Box::from(path));
        let traced = self.traced(method, traceparent, &request);
        let (answering, timeout, in_flight) = match ours {
            Some((method, limit)) => {
                match self.services.admit(method, &mut request, peer, ending) {
                    Ok(()) => self.begin(method, limit, timeout, request, peer),
                    Err(refused) => (at_once(refused), None, None),
                }
            }
            None => (self.other(request, ending), None, None),
        };
        let span = traced.as_ref().and_then(|traced| Some(traced.here.as_ref()?.span.clone()));
        Answer {
            answering: within(span, answering),
            timeout,
            sleep: None,
            request_id,
            traced,
            method,
            unknown,
            stopwatch,
            _in_flight: in_flight,
        }
    }

    /// The trace context of a request; most requests have none.
    fn traced(
        &self,
        method: Option<Method>,
        parent: Option<HeaderValue>,
        request: &Request<Incoming>,
    ) -> Option<Box<Traced>> {
        let path = request.uri().path();
        let here =
            method.and_then(|_| self.tracer.rpc_span(parent.as_ref(), request.headers(), path));
        (parent.is_some() || here.is_some()).then(|| Box::new(Traced { parent, here }))
    }

    fn begin(
        &self,
        method: Method,
        limit: Limit,
        asked: Option<Duration>,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> StartedAnswer {
        let longest = match limit {
            Limit::Stream => return (self.services.call(method, request, peer), None, None),
            Limit::Request => self.settings.request_timeout,
            Limit::LongRequest(longest) => longest.max(self.settings.request_timeout),
        };
        let timeout = asked.map_or(longest, |asked| asked.min(longest));
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => (self.services.call(method, request, peer), Some(timeout), Some(place)),
            Err(_) => (at_once(status::overloaded()), None, None),
        }
    }

    fn other(&self, mut request: Request<Incoming>, ending: &Ending) -> Answering {
        request.extensions_mut().insert(ending.clone());
        let mut others = self.others.clone();
        Box::pin(async move { others.call(request).await })
    }
}

fn at_once(refused: Status) -> Answering {
    Box::pin(async { Ok(refused.into_http()) })
}
