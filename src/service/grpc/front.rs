//! The front of the server: every request passes here, before and after the service that answers it.
//!
//! It gives each request an id, sheds what is too much, keeps the deadline, and logs what failed. Health and reflection
//! are neither shed nor cut off.

use std::{
    convert::Infallible,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::time::Sleep;
use tonic::{Code, Extensions, Status, body::Body, service::Routes};
use tower_service::Service;
use tracing::{Instrument, Span};

use super::{status, unknown::refuse_unknown};
use crate::{
    domain::limits::{MAX_INQUIRY_BYTES, MAX_REQUEST_BYTES, MAX_REQUEST_ID_BYTES},
    observability::{
        complaints::{Complaints, complain},
        metrics::{Metrics, Stopwatch},
    },
    proto::{
        envoy::service::auth::v3::authorization_server::{self, AuthorizationServer},
        v1::entitlement_service_server::{EntitlementServiceServer, SERVICE_NAME},
    },
    security::callers::CallerService,
    service::{
        Api, Peer,
        asker::{CallerGate, Shown},
        trace::{self, Tracer},
        watch::Ending,
    },
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A future of an answer, as tonic's generated code makes it.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// How much is let in, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct FrontSettings {
    /// Requests answered at the same time; more are refused at once.
    pub max_in_flight: usize,
    /// A request that takes longer is given up, whatever its caller allows.
    pub request_timeout: Duration,
}

/// Requests that failed, which is our own matter, and those that were refused, which is their callers'. A flood of either
/// must not fill the disk: the metrics count them all.
static FAILED: Complaints = Complaints::new();
static REFUSED: Complaints = Complaints::new();

/// Routes a request to the service that answers it. Clones share the count of requests in flight.
#[derive(Clone)]
pub struct Front {
    settings: FrontSettings,
    in_flight: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    callers: CallerGate,
    tracer: Tracer,
    entitlement: EntitlementServiceServer<Api>,
    authorization: AuthorizationServer<Api>,
    others: Routes,
}

impl Front {
    /// The API, and beside it the services that are never shed: health and reflection.
    pub fn new(api: Api, others: Routes, settings: FrontSettings) -> Self {
        let (metrics, callers, tracer) = (Arc::clone(&api.metrics), api.callers.clone(), api.tracer);
        let authorization = AuthorizationServer::new(api.clone()).max_decoding_message_size(MAX_INQUIRY_BYTES);
        let entitlement = EntitlementServiceServer::new(api).max_decoding_message_size(MAX_REQUEST_BYTES);
        let others = refuse_unknown(others, settings.request_timeout);
        Self { settings, in_flight: Arc::default(), metrics, callers, tracer, entitlement, authorization, others }
    }

    /// Answers a request. `ending` says when its connection is to end.
    pub fn answer(&self, mut request: Request<Incoming>, peer: &Peer, ending: &Ending) -> Answer {
        let request_id = request_id(request.headers());
        let stopwatch = self.metrics.rpcs.time(request.uri().path(), Instant::now());
        let unknown = stopwatch.method().is_none().then(|| Box::from(request.uri().path()));
        let kind = kind(request.uri().path());
        let traced = self.traced(kind, &request);
        let (answering, timeout, in_flight) = match kind {
            _ if let Some(refusal) = self.refuse(kind, peer, &mut request) => (refusal, None, None),
            Kind::Unary => self.shed(request, |request| self.entitlement.clone().call(request)),
            Kind::Inquiry => self.shed(request, |request| self.authorization.clone().call(request)),
            Kind::Watch => {
                let shown = Shown::of(peer, request.headers());
                request.extensions_mut().insert(shown);
                request.extensions_mut().insert(ending.clone());
                (self.entitlement.clone().call(request), None, None)
            }
            Kind::Other => (self.others(request), None, None),
        };
        let answering = match traced.as_ref().and_then(|traced| traced.span.clone()) {
            Some(span) => Box::pin(answering.instrument(span)),
            None => answering,
        };
        Answer { answering, timeout, sleep: None, request_id, traced, unknown, stopwatch, _in_flight: in_flight }
    }

    /// What a request has to do with a trace, which most have not.
    fn traced(&self, kind: Kind, request: &Request<Incoming>) -> Option<Box<Traced>> {
        let parent = request.headers().get(trace::TRACEPARENT);
        let span = match kind {
            Kind::Other => None,
            _ => self.tracer.span_under(parent, request.headers(), request.uri().path()),
        };
        (parent.is_some() || span.is_some()).then(|| Box::new(Traced { parent: parent.cloned(), span }))
    }

    /// Lets in who may ask, and remembers who it is.
    fn refuse(&self, kind: Kind, peer: &Peer, request: &mut Request<Incoming>) -> Option<Answering> {
        let service = match kind {
            Kind::Unary | Kind::Watch => CallerService::Entitlement,
            Kind::Inquiry => CallerService::ExtAuthz,
            Kind::Other => return None,
        };
        if self.callers.is_open() {
            return None;
        }
        match self.callers.admit(service, peer, request.headers()) {
            Ok(caller) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                None
            }
            Err(refused) => {
                self.metrics.caller_refusals.add(refused.number());
                let refusal = status::not_admitted(refused).into_http();
                Some(Box::pin(async { Ok(refusal) }))
            }
        }
    }

    fn shed(
        &self,
        request: Request<Incoming>,
        call: impl Fn(Request<Incoming>) -> Answering,
    ) -> (Answering, Option<Duration>, Option<InFlight>) {
        let timeout = grpc_timeout(request.headers())
            .map_or(self.settings.request_timeout, |asked| asked.min(self.settings.request_timeout));
        match InFlight::enter(&self.in_flight, self.settings.max_in_flight) {
            // The generated server is called as it is: axum's router would cost more than the decision.
            Some(in_flight) => (call(request), Some(timeout), Some(in_flight)),
            None => (Box::pin(async { Ok(status::overloaded().into_http()) }), None, None),
        }
    }

    fn others(&self, request: Request<Incoming>) -> Answering {
        let mut others = self.others.clone();
        Box::pin(async move { others.call(request).await })
    }
}

/// What limits hold for a request.
#[derive(Clone, Copy)]
enum Kind {
    /// Ours: shed when there are too many, and given up when it takes too long.
    Unary,
    /// Of a proxy, and the same.
    Inquiry,
    /// Ours, and under way for as long as its caller likes. It has a limit of its own.
    Watch,
    /// Health, reflection, and what nobody here answers.
    Other,
}

fn kind(path: &str) -> Kind {
    match path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME)) {
        Some("/WatchChanges") => Kind::Watch,
        Some(rest) if rest.starts_with('/') => Kind::Unary,
        _ if is_inquiry(path) => Kind::Inquiry,
        _ => Kind::Other,
    }
}

fn is_inquiry(path: &str) -> bool {
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(authorization_server::SERVICE_NAME));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// What tells when the connection of a request is to end; `None` where the request came over none.
pub(in crate::service) fn ending_of(extensions: &Extensions) -> Option<Ending> {
    extensions.get().cloned()
}

fn is_ours(path: &str) -> bool {
    !matches!(kind(path), Kind::Other)
}

/// One of the requests in flight, for as long as it lives.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn enter(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let entered = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(entered)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a request has to do with a trace.
struct Traced {
    /// Its caller's trace context.
    parent: Option<HeaderValue>,
    span: Option<Span>,
}

/// An answer on its way. It is moved several times before it is polled, so it is kept small.
pub struct Answer {
    answering: Answering,
    /// How long it may take; `None`: as long as it likes.
    timeout: Option<Duration>,
    /// Made when the answer is not there at once, which for what is held never happens.
    sleep: Option<Pin<Box<Sleep>>>,
    request_id: HeaderValue,
    traced: Option<Box<Traced>>,
    stopwatch: Stopwatch,
    /// The path, where it is no method's of ours.
    unknown: Option<Box<str>>,
    _in_flight: Option<InFlight>,
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.answering.as_mut().poll(context) {
            Poll::Ready(Ok(response)) => response,
            Poll::Pending => {
                ready!(self.poll_deadline(context));
                status::deadline_exceeded().into_http()
            }
        };
        Poll::Ready(Ok(self.finish(response)))
    }
}

impl Answer {
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let deadline = self.stopwatch.started() + timeout;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        sleep.as_mut().poll(context)
    }

    fn finish(&mut self, mut response: Response<Body>) -> Response<Body> {
        let mut code = code_of(&response);
        if code != Code::Ok {
            self.explain_failure(&mut response);
            code = code_of(&response);
        }
        self.stopwatch.stop(code);
        if let Some(Traced { span: Some(span), .. }) = self.traced.take().as_deref() {
            span.record("rpc.grpc.status_code", code as i32);
        }
        // Taken: a copy would be counted, and for that allocated.
        let request_id = mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        response.headers_mut().insert(REQUEST_ID, request_id);
        response
    }

    /// A failed answer consists of headers only. It is logged, and where tonic refused the message itself, the status
    /// becomes one of ours.
    fn explain_failure(&self, response: &mut Response<Body>) {
        let Some(mut failure) = Status::from_header_map(response.headers()) else { return };
        if is_ours(self.method()) && is_tonics_refusal(&failure) {
            failure = status::malformed_request();
            *response = failure.clone().into_http();
        }
        self.log(&failure);
    }

    fn method(&self) -> &str {
        self.stopwatch.method().or(self.unknown.as_deref()).unwrap_or_default()
    }

    fn log(&self, failure: &Status) {
        let (method, code, elapsed) = (self.method(), failure.code(), self.stopwatch.started().elapsed());
        let trace_id = self.traced.as_ref().and_then(|traced| traced.parent.as_ref()).and_then(trace::trace_id);
        let request_id = self.request_id.to_str().unwrap_or_default();
        // What is wrong with us is for the operator, what is wrong with a request is for its caller.
        match code {
            Code::Unavailable | Code::Internal | Code::Unknown | Code::ResourceExhausted | Code::DeadlineExceeded => {
                complain!(
                    FAILED,
                    warn,
                    method,
                    ?code,
                    request_id,
                    trace_id,
                    ?elapsed,
                    "{method} failed: {}",
                    failure.message()
                );
            }
            _ => {
                complain!(
                    REFUSED,
                    info,
                    method,
                    ?code,
                    request_id,
                    trace_id,
                    ?elapsed,
                    "{method} refused: {}",
                    failure.message()
                );
            }
        }
    }
}

/// Did tonic refuse the message itself: too large, or no protobuf? Statuses of ours carry details.
pub(in crate::service) fn is_tonics_refusal(failure: &Status) -> bool {
    failure.details().is_empty() && matches!(failure.code(), Code::OutOfRange | Code::Internal)
}

/// The code of an answer. One that failed has it among its headers.
fn code_of(response: &Response<Body>) -> Code {
    match response.headers().get(Status::GRPC_STATUS) {
        Some(code) => Code::from_bytes(code.as_bytes()),
        None if response.status().is_success() => Code::Ok,
        // Not gRPC at all, such as a browser's request.
        None => Code::Unknown,
    }
}

/// The caller's id for a request, if it is fit for a log line, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    let mut id = given.cloned().unwrap_or_else(|| {
        // Half a UUID tells a day's requests apart, and costs half as much to compress. It is no secret, so any
        // randomness will do.
        let mut buffer = uuid::Uuid::encode_buffer();
        let text = uuid::Uuid::from_u64_pair(fastrand::u64(..), 0).simple().encode_lower(&mut buffer);
        // Hexadecimal digits are visible ASCII; the fallback is never taken.
        HeaderValue::from_str(&text[..16]).unwrap_or(HeaderValue::from_static("unknown"))
    });
    // Each id is new: HPACK's table would be flushed by values that are never met again.
    id.set_sensitive(true);
    id
}

/// The caller's deadline: at most eight digits and a unit (gRPC over HTTP/2, "Timeout"). What is malformed is ignored,
/// as other servers do.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (amount, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if amount.is_empty() || amount.len() > 8 || !amount.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = amount.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}
