//! Which requests are traced.

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SamplingDecision, ShouldSample};

use super::sampler::Sampler;

/// Which requests are to be traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TraceSampling {
    /// If a request has a trace of its caller's, the caller decides: it is traced if that is
    /// sampled. Otherwise it is as any other.
    pub callers_decide: bool,
    /// How many of the others are traced.
    pub share: TraceShare,
}

/// How many requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TraceShare {
    /// One in so many; 0: none.
    OneIn(u32),
    /// Those whose trace's id is within this share of all ids, from 0 (none) to 1 (all). Whoever
    /// goes by the same share comes to the same.
    Ratio(f64),
}

/// Decides which requests are traced. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct TraceSampler {
    /// The caller decides about a request that has a trace already.
    pub(crate) callers_decide: bool,
    others: Others,
}

#[derive(Clone, Debug)]
enum Others {
    OneIn(Sampler),
    Ratio(f64),
}

impl TraceSampler {
    pub(crate) fn new(sampling: TraceSampling) -> Self {
        let others = match sampling.share {
            TraceShare::OneIn(count) => Others::OneIn(Sampler::new(count)),
            TraceShare::Ratio(ratio) => Others::Ratio(ratio),
        };
        Self { callers_decide: sampling.callers_decide, others }
    }

    /// Is a request traced about which its caller does not decide? `trace` is the id of its
    /// caller's trace, if it has one.
    pub(crate) fn chooses(&self, trace: Option<TraceId>) -> bool {
        match &self.others {
            Others::OneIn(sampler) => sampler.chooses(),
            // Nothing is drawn where nothing is traced.
            Others::Ratio(ratio) if *ratio <= 0.0 => false,
            Others::Ratio(ratio) => {
                let id = trace.unwrap_or_else(|| fastrand::u128(1..).into());
                let sampler = SdkSampler::TraceIdRatioBased(*ratio);
                let sampled = sampler.should_sample(None, id, "", &SpanKind::Server, &[], &[]);
                sampled.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

impl Default for TraceSampler {
    /// Only callers decide.
    fn default() -> Self {
        Self::new(TraceSampling { callers_decide: true, share: TraceShare::OneIn(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_ids_is_chosen_and_the_same_ids_always() {
        let sampler = |ratio| {
            TraceSampler::new(TraceSampling {
                callers_decide: false,
                share: TraceShare::Ratio(ratio),
            })
        };
        let id = |low: u64| Some(TraceId::from(u128::from(low)));
        for (ratio, wanted) in [(0.0, [false; 3]), (0.25, [true, false, false]), (1.0, [true; 3])] {
            let ids = [id(1), id(1 << 62), id(u64::MAX)];
            assert_eq!(ids.map(|id| sampler(ratio).chooses(id)), wanted, "{ratio}");
        }
        let quarter = sampler(0.25);
        let chosen = (0..4000).filter(|_| quarter.chooses(None)).count();
        // Seven standard deviations.
        assert!((800..1200).contains(&chosen), "{chosen}");
    }
}
