//! Counting requests by what became of them: a number for each combination that can occur.

use std::{collections::BTreeMap, fmt};

use http::StatusCode;
use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

use super::{RefusalKind, VerdictKind};
use crate::{
    domain::{FeatureReason, Reason},
    observability::{
        counters::{Counter, Sharded},
        metrics::{MetricLabel, label},
    },
};

label! {
    /// How a proxy asks.
    pub(in crate::service) enum ProxyProtocol {
        /// By Envoy's external authorization.
        ExtAuthz => "ext_authz",
        /// By forward auth over HTTP.
        ForwardAuth => "forward_auth",
    }
}

/// What became of a request, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::service) enum Outcome {
    /// It passes: nothing is asked of it.
    Public,
    /// It passes.
    Granted,
    /// It passes, although it would be refused.
    WouldDeny(RefusalKind),
    /// It does not pass.
    Refused(RefusalKind),
}

/// Where there is no reason.
const NONE: &str = "NONE";

impl Outcome {
    /// How many there are.
    const COUNT: usize = 2 + 2 * RefusalKind::COUNT;

    /// All, in the order of their numbers.
    fn all() -> impl Iterator<Item = Self> {
        let passing = [Self::Public, Self::Granted].into_iter();
        let shadow = RefusalKind::all().map(Self::WouldDeny);
        passing.chain(shadow).chain(RefusalKind::all().map(Self::Refused))
    }

    fn number(self) -> usize {
        match self {
            Self::Public => 0,
            Self::Granted => 1,
            Self::WouldDeny(kind) => 2 + kind.number(),
            Self::Refused(kind) => 2 + RefusalKind::COUNT + kind.number(),
        }
    }

    /// The kind of its verdict.
    pub(super) fn kind(self) -> VerdictKind {
        match self {
            Self::Public => VerdictKind::Public,
            Self::Granted => VerdictKind::Granted,
            Self::WouldDeny(_) => VerdictKind::WouldDeny,
            Self::Refused(_) => VerdictKind::Refused,
        }
    }

    /// Its verdict, reason and status.
    fn labels(self) -> (VerdictKind, &'static str, StatusCode) {
        let (reason, status) = match self {
            Self::Public | Self::Granted => (NONE, StatusCode::OK),
            Self::WouldDeny(kind) => (kind.reason(), StatusCode::OK),
            Self::Refused(kind) => (kind.reason(), kind.status()),
        };
        (self.kind(), reason, status)
    }

    /// A grant is no refusal, and of a denied module its own reason is told.
    fn can_occur(self) -> bool {
        let never = [
            RefusalKind::Denied(Reason::Enabled),
            RefusalKind::FeatureOff(FeatureReason::ModuleDenied),
        ];
        match self {
            Self::Public | Self::Granted => true,
            Self::WouldDeny(kind) | Self::Refused(kind) => !never.contains(&kind),
        }
    }
}

/// The numbers of requests that proxies asked about.
#[derive(Debug)]
pub(in crate::service) struct GatewayTally(Sharded<Box<[[Counter; Outcome::COUNT]]>>);

impl Default for GatewayTally {
    fn default() -> Self {
        let counters = || std::array::from_fn(|_| Counter::default());
        Self(Sharded::new(move || ProxyProtocol::ALL.iter().map(|_| counters()).collect()))
    }
}

impl GatewayTally {
    /// Counts a request.
    pub(in crate::service) fn add(&self, proxy: ProxyProtocol, outcome: Outcome) {
        self.0.mine()[proxy.number()][outcome.number()].add();
    }

    /// Writes a counter for each verdict, reason and status. Those that have not occurred are 0: of a
    /// counter that begins with its first events, Prometheus does not see that it has grown.
    pub(in crate::service) fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for proxy in ProxyProtocol::ALL {
            for ((verdict, reason, code), count) in self.series(*proxy) {
                let labels = [
                    ("proxy", proxy.word()),
                    ("verdict", verdict),
                    ("reason", reason),
                    ("code", code.as_str()),
                ];
                encoder
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    /// The counts by verdict, reason and status. What differs in the status that a refusal would have
    /// is one where all pass.
    fn series(
        &self,
        proxy: ProxyProtocol,
    ) -> BTreeMap<(&'static str, &'static str, StatusCode), u64> {
        let mut series = BTreeMap::new();
        for outcome in Outcome::all().filter(|outcome| outcome.can_occur()) {
            let counters = self.0.each().map(|all| &all[proxy.number()][outcome.number()]);
            let (verdict, reason, code) = outcome.labels();
            *series.entry((verdict.word(), reason, code)).or_default() +=
                counters.map(Counter::get).sum::<u64>();
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_number() {
        let all: Vec<_> = Outcome::all().collect();
        assert_eq!(all.len(), Outcome::COUNT);
        for (number, outcome) in all.into_iter().enumerate() {
            assert_eq!(outcome.number(), number, "{outcome:?}");
        }
    }
}
