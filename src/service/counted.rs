//! What requests count.

use super::{Api, asker::NotAdmitted, check::Judgement, gateway::Ruling, grpc::methods};
use crate::{domain::Reason, observability::metrics::Metrics};

/// A place for everything that requests count: all methods of the service, and all reasons.
pub fn metrics() -> Metrics {
    let reasons = Reason::ALL.map(Reason::word).to_vec();
    Metrics::new(methods(), reasons, Ruling::VERDICTS.to_vec(), NotAdmitted::WORDS.to_vec())
}

impl Api {
    /// Counts a decision that is given to a caller.
    pub(super) fn given<'a>(&self, judgement: Judgement<'a>) -> Judgement<'a> {
        self.metrics.decisions.add(judgement.decision.reason as usize);
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_number() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason:?}");
        }
    }
}
