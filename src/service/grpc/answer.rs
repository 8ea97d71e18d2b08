//! An answer in progress: its deadline, its request id, and what is logged and counted of it.

use std::{
    convert::Infallible,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderValue, Response};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use tonic::{Code, Status, body::Body};

use super::{
    failures::{Failures, Others},
    methods::max_request_bytes,
    status,
};
use crate::{
    observability::metrics::Stopwatch,
    proto::Method,
    service::{
        request_id::REQUEST_ID,
        trace::{self, TracedRequest},
    },
};

/// The future of an answer, as tonic's generated code makes it.
pub(crate) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Requests that failed, which concerns us, and requests that were refused, which concerns their
/// callers. A flood of either must not fill the disk.
static FAILED: Failures = Failures::new();
static REFUSED: Failures = Failures::new();

/// Logs how many requests failed or were refused that no line has told of yet. To be called once a
/// second.
pub(crate) fn tell_failures() {
    let now = Instant::now();
    if let Some(Others { count, kinds }) = FAILED.rest(now) {
        tracing::warn!(others = count, kinds, "{count} other requests failed: {kinds}");
    }
    if let Some(Others { count, kinds }) = REFUSED.rest(now) {
        tracing::info!(others = count, kinds, "{count} other requests were refused: {kinds}");
    }
}

/// The trace context of a request.
pub(super) struct Traced {
    /// Its caller's trace context.
    pub(super) parent: Option<HeaderValue>,
    /// `None`: it is not traced here.
    pub(super) here: Option<TracedRequest>,
}

/// An answer in progress. It is moved several times before it is polled, so it is kept small.
pub(crate) struct Answer {
    pub(super) answering: Answering,
    /// How long it may take; `None`: unlimited.
    pub(super) timeout: Option<Duration>,
    /// Made only if the answer is not ready at once; an answer from memory always is.
    pub(super) sleep: Option<Pin<Box<Sleep>>>,
    pub(super) request_id: HeaderValue,
    pub(super) traced: Option<Box<Traced>>,
    pub(super) stopwatch: Stopwatch,
    pub(super) method: Option<Method>,
    /// The path, if it is not that of a method of ours.
    pub(super) unknown: Option<Box<str>>,
    pub(super) _in_flight: Option<OwnedSemaphorePermit>,
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
        let sleep =
            self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        sleep.as_mut().poll(context)
    }

    fn finish(&mut self, mut response: Response<Body>) -> Response<Body> {
        let mut code = code_of(&response);
        if code != Code::Ok {
            self.explain_failure(&mut response);
            code = code_of(&response);
        }
        match self.traced.take().as_deref() {
            Some(Traced { here: Some(TracedRequest { span, trace }), .. }) => {
                self.stopwatch.stop_traced(code, *trace);
                span.record("rpc.grpc.status_code", code as i32);
            }
            _ => self.stopwatch.stop(code),
        }
        // Taken rather than cloned: a clone would count a reference, and allocate for that.
        let request_id = mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        response.headers_mut().insert(REQUEST_ID, request_id);
        response
    }

    /// A failed answer consists of headers only. It is logged, and where tonic refused the message
    /// itself, the status becomes one of ours.
    fn explain_failure(&self, response: &mut Response<Body>) {
        let Some(mut failure) = Status::from_header_map(response.headers()) else { return };
        if let Some(method) = self.method
            && let Some(ours) = in_place_of_tonics(&failure, max_request_bytes(method))
        {
            failure = ours;
            *response = failure.clone().into_http();
        }
        self.log(&failure);
    }

    fn path(&self) -> &str {
        self.method.map(Method::path).or(self.unknown.as_deref()).unwrap_or_default()
    }

    fn log(&self, failure: &Status) {
        let (method, code, elapsed) =
            (self.path(), failure.code(), self.stopwatch.started().elapsed());
        let trace_id = self
            .traced
            .as_ref()
            .and_then(|traced| traced.parent.as_ref())
            .and_then(|parent| trace::trace_id(parent.as_bytes()));
        let request_id = self.request_id.to_str().unwrap_or_default();
        let (message, now) = (failure.message(), Instant::now());
        // A failure of ours concerns the operator; a faulty request concerns its caller.
        match code {
            Code::Unavailable
            | Code::Internal
            | Code::Unknown
            | Code::ResourceExhausted
            | Code::DeadlineExceeded => {
                let Some(Others { count, kinds }) = FAILED.admit(code, now) else {
                    return tracing::debug!(
                        method,
                        ?code,
                        request_id,
                        trace_id,
                        "{method} failed: {message}"
                    );
                };
                tracing::warn!(
                    method,
                    ?code,
                    request_id,
                    trace_id,
                    ?elapsed,
                    others = count,
                    kinds,
                    "{method} failed: {message}"
                );
            }
            _ => {
                let Some(Others { count, kinds }) = REFUSED.admit(code, now) else {
                    return tracing::debug!(
                        method,
                        ?code,
                        request_id,
                        trace_id,
                        "{method} refused: {message}"
                    );
                };
                tracing::info!(
                    method,
                    ?code,
                    request_id,
                    trace_id,
                    ?elapsed,
                    others = count,
                    kinds,
                    "{method} refused: {message}"
                );
            }
        }
    }
}

/// Our own status, where tonic refused the message itself: too large, or not protobuf, or more than
/// is accepted once it is decompressed. It may have so many bytes. Our own statuses carry details.
pub(super) fn in_place_of_tonics(failure: &Status, max_bytes: usize) -> Option<Status> {
    match failure.code() {
        _ if !failure.details().is_empty() => None,
        Code::OutOfRange | Code::Internal => Some(status::malformed_request(max_bytes)),
        Code::ResourceExhausted => Some(status::inflated_too_much()),
        _ => None,
    }
}

/// The code of an answer. A failed answer has it among its headers.
fn code_of(response: &Response<Body>) -> Code {
    match response.headers().get(Status::GRPC_STATUS) {
        Some(code) => Code::from_bytes(code.as_bytes()),
        None if response.status().is_success() => Code::Ok,
        // Not gRPC at all: a browser's request, for example.
        None => Code::Unknown,
    }
}
