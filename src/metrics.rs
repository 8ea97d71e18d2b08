//! Metrics, for Prometheus.
//!
//! What every request counts has its place before the first one comes: counting looks nothing up, takes no lock and
//! allocates nothing. Everything else is kept where it belongs, and read when somebody asks.
//!
//! No label holds what a caller or a customer may choose: no tenant, no module, no method that does not exist.

mod histogram;
mod page;
mod rpc;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

pub use self::{
    page::{Format, Page, Read, Reading, Value},
    rpc::{Rpcs, Stopwatch},
};
use crate::count::{Count, Sharded};

/// What requests count.
#[derive(Debug)]
pub struct Metrics {
    /// Answers, and how long they took.
    pub rpcs: Rpcs,
    /// Decisions that were given.
    pub decisions: Decisions,
}

impl Metrics {
    /// With nothing counted: `methods` by their paths, and the reasons of decisions in the order of their numbers.
    pub fn new(methods: Vec<String>, reasons: Vec<&'static str>) -> Self {
        Self { rpcs: Rpcs::new(methods), decisions: Decisions::new(reasons) }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "How long answers took, by method and gRPC code; a stream's until it began";
        let durations = encoder.encode_descriptor("rpc_duration_seconds", help, None, MetricType::Histogram)?;
        self.rpcs.encode(durations)?;
        let help = "Decisions of CheckModule, BatchCheckModules and Authorize, by reason";
        let decisions = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        self.decisions.encode(decisions)
    }
}

/// Decisions by reason.
#[derive(Debug)]
pub struct Decisions {
    reasons: Vec<&'static str>,
    counts: Sharded<Box<[Count]>>,
}

impl Decisions {
    fn new(reasons: Vec<&'static str>) -> Self {
        let count = reasons.len();
        Self { reasons, counts: Sharded::new(move || (0..count).map(|_| Count::default()).collect()) }
    }

    /// One more was given, for the reason of this number.
    pub fn add(&self, reason: usize) {
        if let Some(count) = self.counts.mine().get(reason) {
            count.add();
        }
    }

    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (number, reason) in self.reasons.iter().enumerate() {
            let count: u64 = self.counts.each().map(|counts| counts[number].get()).sum();
            encoder.encode_family(&[("reason", *reason)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
