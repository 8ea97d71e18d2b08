//! The metrics of requests.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::{Api, caller::NotAdmittedKind, check::Judgement, gateway::VerdictKind};
use crate::{
    domain::Reason,
    observability::metrics::{CounterFamily, Histograms, MetricLabel, Rpcs},
    proto::Method,
};

/// The metrics of requests.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The numbers and durations of answers.
    pub rpcs: Rpcs<Method>,
    /// Decisions.
    pub decisions: CounterFamily<Reason>,
    /// The outcomes of HTTP requests that proxies asked about.
    pub gateway_requests: CounterFamily<VerdictKind>,
    /// Requests that were refused because their caller may not ask.
    pub caller_refusals: CounterFamily<NotAdmittedKind>,
}

impl MetricLabel for Method {
    const ALL: &'static [Self] = Self::ALL;

    fn number(self) -> usize {
        self as usize
    }

    fn word(self) -> &'static str {
        self.name()
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

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help =
            "Decisions of CheckModule, BatchCheckModules and Authorize, and about HTTP requests";
        let decisions = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        self.decisions.encode("reason", decisions)?;
        let help = "HTTP requests that proxies asked about, by verdict";
        let requests =
            encoder.encode_descriptor("gateway_requests", help, None, MetricType::Counter)?;
        self.gateway_requests.encode("verdict", requests)?;
        let help = "Requests refused because their caller may not make them: unknown caller, rate exceeded, or a service, tenant or module that it may not use; enumeration: all tenants";
        let refusals =
            encoder.encode_descriptor("caller_refusals", help, None, MetricType::Counter)?;
        self.caller_refusals.encode("reason", refusals)
    }
}

impl Metrics {
    /// The durations of answers.
    pub(crate) fn rpc_durations(&self) -> Histograms {
        let help = "Durations of answers; of a stream, until it began. Health, reflection and unknown methods count as other";
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
        stands_at_its_number::<Method>();
        stands_at_its_number::<Reason>();
        stands_at_its_number::<VerdictKind>();
        stands_at_its_number::<NotAdmittedKind>();
    }
}
