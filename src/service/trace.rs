//! Which requests are traced, and under whose trace: [W3C trace context](https://www.w3.org/TR/trace-context/).
//!
//! A request costs a span only if it is traced. If the caller has a trace, the caller decides; of
//! other requests, one in N is traced.

mod within;

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use self::within::span_of_request;
pub(super) use self::within::within;
use super::decision_records::{DENIED, GRANTED};
use crate::{
    clock::Clock,
    observability::{metrics::TraceRef, trace_sampling::TraceSampler},
};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The positions of the trace's id and of the flags in `00-<32 digits>-<16 digits>-<2 digits>`, and
/// its length.
const ID: std::ops::Range<usize> = 3..35;
const FLAGS: std::ops::Range<usize> = 53..55;

/// Which requests are traced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer {
    pub(crate) sampler: TraceSampler,
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
    /// Begins the span of a request that a proxy sends over HTTP, if it is traced.
    pub(super) fn http_span(&self, headers: &HeaderMap, name: &str) -> Option<TracedRequest> {
        self.traces(headers.get(TRACEPARENT)).then(|| self.begin(headers, name, None))
    }

    /// Begins the span of a gRPC request whose caller's trace context has already been looked up, if
    /// it is traced. `path` is that of its method.
    pub(super) fn rpc_span(
        &self,
        parent: Option<&HeaderValue>,
        headers: &HeaderMap,
        path: &str,
    ) -> Option<TracedRequest> {
        let method = path.trim_start_matches('/');
        self.traces(parent).then(|| self.begin(headers, method, method.rsplit('/').next()))
    }

    fn begin(&self, headers: &HeaderMap, name: &str, rpc: Option<&str>) -> TracedRequest {
        let (span, id) = span(headers, name, rpc);
        let trace = (id != TraceId::INVALID)
            .then(|| TraceRef { id: u128::from_be_bytes(id.to_bytes()), began: self.clock.now() });
        TracedRequest { span, trace }
    }

    fn traces(&self, parent: Option<&HeaderValue>) -> bool {
        match parent.map(HeaderValue::as_bytes) {
            None => self.sampler.chooses(None),
            Some(parent) if self.sampler.callers_decide => is_sampled(parent),
            Some(parent) => {
                let id = trace_id(parent).and_then(|id| TraceId::from_hex(id).ok());
                self.sampler.chooses(id)
            }
        }
    }
}

/// A span, and the id of its trace. What is decided is recorded later: see [`record_decision`].
fn span(headers: &HeaderMap, name: &str, rpc: Option<&str>) -> (Span, TraceId) {
    let span = tracing::info_span!(
        target: "traced",
        "rpc",
        otel.name = name,
        otel.kind = "server",
        rpc.system = rpc.map(|_| "grpc"),
        rpc.method = rpc,
        rpc.grpc.status_code = Empty,
        entitlement.decision = Empty,
        entitlement.reason = Empty,
        http.route = Empty,
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

/// Records in the current request's span what was decided, why, and for an HTTP request by which
/// rule. A request that is not traced costs a look.
pub(super) fn record_decision(decision: &str, reason: &str, route: Option<&str>) {
    let Some(span) = span_of_request() else { return };
    span.record("entitlement.decision", decision).record("entitlement.reason", reason);
    if let Some(route) = route {
        span.record("http.route", route);
    }
}

/// The same for several decisions in one answer: `mixed` if some are granted and some denied, with
/// each reason once.
pub(super) fn record_words(decisions: impl Iterator<Item = (bool, &'static str)> + Clone) {
    if span_of_request().is_none() {
        return;
    }
    let granted = decisions.clone().filter(|(granted, _)| *granted).count();
    let decision = match granted {
        0 => DENIED,
        _ if granted == decisions.clone().count() => GRANTED,
        _ => "mixed",
    };
    let reasons: BTreeSet<_> = decisions.map(|(_, reason)| reason).collect();
    let reasons: Vec<_> = reasons.into_iter().collect();
    record_decision(decision, &reasons.join(","), None);
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
    use crate::observability::trace_sampling::{TraceSampling, TraceShare};

    fn tracer(callers_decide: bool, share: TraceShare) -> Tracer {
        let sampler = TraceSampler::new(TraceSampling { callers_decide, share });
        Tracer { sampler, clock: Clock::default() }
    }

    fn is_traced(tracer: &Tracer, headers: &HeaderMap) -> bool {
        tracer.rpc_span(headers.get(TRACEPARENT), headers, "/x/Check").is_some()
    }

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
        let callers = tracer(true, TraceShare::OneIn(1));
        assert!(is_traced(&callers, &sampled) && !is_traced(&callers, &unsampled));
        assert!(is_traced(&callers, &HeaderMap::new()));
        assert!(!is_traced(&Tracer::default(), &HeaderMap::new()));
        // Where callers do not decide, theirs are as any other.
        for (ratio, wanted) in [(1.0, true), (0.0, false)] {
            let own = tracer(false, TraceShare::Ratio(ratio));
            assert_eq!([&sampled, &unsampled].map(|headers| is_traced(&own, headers)), [wanted; 2]);
        }
        assert_eq!(
            trace_id(unsampled[TRACEPARENT].as_bytes()),
            Some("0af7651916cd43dd8448eb211c80319c")
        );
    }

    proptest! {
        #[test]
        fn no_parent_is_too_strange(parent in proptest::collection::vec(any::<u8>(), 0..70)) {
            let headers = headers(&parent);
            for callers_decide in [true, false] {
                is_traced(&tracer(callers_decide, TraceShare::Ratio(0.5)), &headers);
            }
            headers.get(TRACEPARENT).and_then(|parent| trace_id(parent.as_bytes()));
        }
    }
}
