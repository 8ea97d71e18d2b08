//! The metrics of requests.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::{
    Api, caller::NotAdmittedKind, check::Judgement, forward_auth::ProxyHeader,
    gateway::GatewayTally, usage::EventOutcome,
};
use crate::{
    domain::{FeatureReason, LimitReason, Reason},
    observability::{
        counters::ShardedGauge,
        metrics::{CounterFamily, Histograms, MetricLabel, Rpcs},
    },
    proto::Method,
};

/// The metrics of requests.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The numbers and durations of answers.
    pub rpcs: Rpcs<Timed>,
    /// Requests of proxies over HTTP that are being answered.
    pub forward_auth_in_flight: ShardedGauge,
    /// Questions of proxies over HTTP that are not set up as they must be, by the header.
    pub forward_auth_misconfigured: CounterFamily<ProxyHeader>,
    /// Decisions.
    pub decisions: CounterFamily<Reason>,
    /// Decisions about features.
    pub feature_decisions: CounterFamily<FeatureReason>,
    /// Decisions about limits.
    pub limit_decisions: CounterFamily<LimitReason>,
    /// What became of requests to reserve.
    pub reservations: CounterFamily<LimitReason>,
    /// What became of events that were recorded.
    pub recorded_events: CounterFamily<EventOutcome>,
    /// The outcomes of HTTP requests that proxies asked about.
    pub(super) gateway_requests: GatewayTally,
    /// Requests that were refused because their caller may not ask.
    pub caller_refusals: CounterFamily<NotAdmittedKind>,
}

/// What is timed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timed {
    /// The answers of a method.
    Rpc(Method),
    /// Those to proxies that ask over HTTP.
    ForwardAuth,
}

/// The methods, and what is timed beside them.
const TIMED: [Timed; Method::ALL.len() + 1] = {
    let mut all = [Timed::ForwardAuth; Method::ALL.len() + 1];
    let mut number = 0;
    while number < Method::ALL.len() {
        all[number] = Timed::Rpc(Method::ALL[number]);
        number += 1;
    }
    all
};

impl MetricLabel for Timed {
    const ALL: &'static [Self] = &TIMED;

    fn number(self) -> usize {
        match self {
            Self::Rpc(method) => method as usize,
            Self::ForwardAuth => Method::ALL.len(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Rpc(method) => method.name(),
            Self::ForwardAuth => "ForwardAuth",
        }
    }
}

impl MetricLabel for Reason {
    const ALL: &'static [Self] = &Self::ALL;

    fn number(self) -> usize {
        self as usize
    }

    fn word(self) -> &'static str {
        self.word()
    }
}

impl MetricLabel for FeatureReason {
    const ALL: &'static [Self] = &Self::ALL;

    fn number(self) -> usize {
        self as usize
    }

    fn word(self) -> &'static str {
        self.word()
    }
}

impl MetricLabel for LimitReason {
    const ALL: &'static [Self] = &Self::ALL;

    fn number(self) -> usize {
        self as usize
    }

    fn word(self) -> &'static str {
        self.word()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Decisions of CheckModule, BatchCheckModules, Authorize and IssueLease, and about HTTP requests";
        let decisions = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        self.decisions.encode("reason", decisions)?;
        let help = "Decisions of CheckFeature, BatchCheckFeatures, Authorize and IssueLease about features, and about HTTP requests: why each is on or off";
        let features =
            encoder.encode_descriptor("feature_decisions", help, None, MetricType::Counter)?;
        self.feature_decisions.encode("reason", features)?;
        let help = "Decisions of CheckLimit: what would hold where limits are enforced";
        let limits =
            encoder.encode_descriptor("limit_decisions", help, None, MetricType::Counter)?;
        self.limit_decisions.encode("reason", limits)?;
        let help = "Requests to reserve usage: how each stood to its limit, whether or not that is enforced";
        let reservations =
            encoder.encode_descriptor("usage_reservations", help, None, MetricType::Counter)?;
        self.reservations.encode("reason", reservations)?;
        let help = "Events of RecordUsage: what became of each";
        let events = encoder.encode_descriptor("usage_events", help, None, MetricType::Counter)?;
        self.recorded_events.encode("outcome", events)?;
        let help = "HTTP requests that proxies asked about: the verdict, its reason, and the status that the client gets; would_deny: passed although it would be refused. What Envoy is told as a status of gRPC counts in rpc_duration_seconds alone";
        let requests =
            encoder.encode_descriptor("gateway_requests", help, None, MetricType::Counter)?;
        self.gateway_requests.encode(requests)?;
        let help = "Questions over HTTP of proxies that are not set up as their dialect needs: the header that is missing, or comes more than once; :path: the path names no dialect";
        let misconfigured = encoder.encode_descriptor(
            "forward_auth_misconfigured",
            help,
            None,
            MetricType::Counter,
        )?;
        self.forward_auth_misconfigured.encode("header", misconfigured)?;
        let help = "Requests refused because their caller may not make them: unknown caller, rate exceeded, or a service, tenant or module that it may not use; enumeration: all tenants";
        let refusals =
            encoder.encode_descriptor("caller_refusals", help, None, MetricType::Counter)?;
        self.caller_refusals.encode("reason", refusals)
    }
}

impl Metrics {
    /// The durations of answers.
    pub(crate) fn rpc_durations(&self) -> Histograms {
        let help = "Durations of answers; of a stream, until it began. Health, reflection and unknown methods count as other; ForwardAuth: what proxies ask over HTTP, OK where it was judged";
        self.rpcs.histograms("rpc_duration_seconds", help)
    }
}

impl Api {
    /// Counts a decision that is given to a caller.
    pub(super) fn count_decision<'a>(&self, judgement: Judgement<'a>) -> Judgement<'a> {
        self.metrics.decisions.add(judgement.decision.reason);
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands_at_its_number<L: MetricLabel>() {
        for (number, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.number(), number, "{label:?}");
        }
    }

    #[test]
    fn each_word_stands_at_its_number() {
        stands_at_its_number::<Timed>();
        stands_at_its_number::<Reason>();
        stands_at_its_number::<FeatureReason>();
        stands_at_its_number::<LimitReason>();
        stands_at_its_number::<NotAdmittedKind>();
    }
}
