//! Which requests are traced, and under whose trace: [W3C trace context](https://www.w3.org/TR/trace-context/).
//!
//! A request costs a span only if it is traced. If the caller has a trace, the caller decides; of
//! other requests, one in N is traced.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    clock::Clock,
    observability::{metrics::TraceRef, sampler::Sampler},
};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The positions of the trace's id and of the flags in `00-<32 digits>-<16 digits>-<2 digits>`, and
/// its length.
const ID: std::ops::Range<usize> = 3..35;
const FLAGS: std::ops::Range<usize> = 53..55;

/// Which requests are traced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer {
    /// For requests without a trace of their caller's.
    pub(crate) others: Sampler,
    /// Says when a traced request arrived.
    pub(crate) clock: Clock,
}

/// A request that is traced.
pub(super) struct TracedRequest {
    pub(super) span: Span,
    /// Its trace; `None`: its caller's is nonsense, and none began here.
    pub(super) trace: Option<TraceRef>,
}

impl Tracer {
    /// Begins the span of a request, if that is traced. `method` is the path of a gRPC method.
    pub(super) fn trace(&self, headers: &HeaderMap, method: &str) -> Option<TracedRequest> {
        self.trace_under(headers.get(TRACEPARENT), headers, method)
    }

    /// The same for a request whose caller's trace context has already been looked up.
    pub(super) fn trace_under(
        &self,
        parent: Option<&HeaderValue>,
        headers: &HeaderMap,
        method: &str,
    ) -> Option<TracedRequest> {
        let is_traced = match parent {
            Some(parent) => is_sampled(parent.as_bytes()),
            None => self.others.chooses(),
        };
        is_traced.then(|| {
            let (span, id) = span(headers, method.trim_start_matches('/'));
            let trace = (id != TraceId::INVALID).then(|| TraceRef {
                id: u128::from_be_bytes(id.to_bytes()),
                began: self.clock.now(),
            });
            TracedRequest { span, trace }
        })
    }
}

/// A span, and the id of its trace.
fn span(headers: &HeaderMap, method: &str) -> (Span, TraceId) {
    let span = tracing::info_span!(
        target: "traced",
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.method = method.rsplit('/').next(),
        rpc.grpc.status_code = Empty,
        trace_id = Empty,
    );
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    let given = parent.span().span_context().trace_id();
    // Without an exporter there is no trace to be part of; the log has its id nevertheless.
    _ = span.set_parent(parent);
    let own = span.context().span().span_context().trace_id();
    let id = if own == TraceId::INVALID { given } else { own };
    span.record("trace_id", tracing::field::display(id));
    (span, id)
}

fn is_sampled(parent: &[u8]) -> bool {
    let flags = parent.get(FLAGS).and_then(|flags| str::from_utf8(flags).ok());
    flags.and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 1 == 1)
}

/// The id of the trace that the current request belongs to, if it is traced here.
pub(super) fn current_trace_id() -> Option<String> {
    let id = Span::current().context().span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// The id of the trace that a request belongs to, traced or not: for logs.
pub(super) fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let id = str::from_utf8(traceparent.get(ID)?).ok()?;
    id.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(id)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(parent: &[u8]) -> HeaderMap {
        HeaderValue::from_bytes(parent)
            .map(|value| HeaderMap::from_iter([(TRACEPARENT, value)]))
            .unwrap_or_default()
    }

    #[test]
    fn a_caller_decides_about_its_own_trace() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";
        let [sampled, unsampled] =
            ["1", "0"].map(|flag| headers(format!("{parent}{flag}").as_bytes()));
        let tracer = Tracer { others: Sampler::new(1), clock: Clock::default() };
        assert!(
            tracer.trace(&sampled, "/x/Check").is_some()
                && tracer.trace(&unsampled, "/x/Check").is_none()
        );
        assert!(tracer.trace(&HeaderMap::new(), "/x/Check").is_some());
        assert!(Tracer::default().trace(&HeaderMap::new(), "/x/Check").is_none());
        assert_eq!(
            trace_id(unsampled[TRACEPARENT].as_bytes()),
            Some("0af7651916cd43dd8448eb211c80319c")
        );
    }

    proptest! {
        #[test]
        fn no_parent_is_too_strange(parent in proptest::collection::vec(any::<u8>(), 0..70)) {
            let headers = headers(&parent);
            Tracer { others: Sampler::new(1), clock: Clock::default() }.trace(&headers, "/x/Check");
            headers.get(TRACEPARENT).and_then(|parent| trace_id(parent.as_bytes()));
        }
    }
}
