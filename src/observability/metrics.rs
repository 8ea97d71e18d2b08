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
use super::counters::{Count, Sharded};

/// What requests count.
#[derive(Debug)]
pub struct Metrics {
    /// Answers, and how long they took.
    pub rpcs: Rpcs,
    /// Decisions that were given.
    pub decisions: Words,
    /// What became of HTTP requests that proxies asked about.
    pub rulings: Words,
    /// Questions of callers that were refused, since they may not ask.
    pub caller_refusals: Words,
}

impl Metrics {
    /// With nothing counted: `methods` by their paths, and the reasons of decisions, the verdicts on HTTP requests and the
    /// reasons to refuse a caller in the order of their numbers.
    pub fn new(
        methods: Vec<String>,
        reasons: Vec<&'static str>,
        verdicts: Vec<&'static str>,
        refusals: Vec<&'static str>,
    ) -> Self {
        Self {
            rpcs: Rpcs::new(methods),
            decisions: Words::new("reason", reasons),
            rulings: Words::new("verdict", verdicts),
            caller_refusals: Words::new("reason", refusals),
        }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "How long answers took, by method and gRPC code; a stream's until it began";
        let durations = encoder.encode_descriptor("rpc_duration_seconds", help, None, MetricType::Histogram)?;
        self.rpcs.encode(durations)?;
        let help = "Decisions of CheckModule, BatchCheckModules, Authorize and about HTTP requests, by reason";
        let decisions = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        self.decisions.encode(decisions)?;
        let help = "HTTP requests that proxies asked about, by what became of them";
        let rulings = encoder.encode_descriptor("gateway_requests", help, None, MetricType::Counter)?;
        self.rulings.encode(rulings)?;
        let help = "Requests refused since their caller may not ask: unknown, too often, or beyond what it may";
        let refusals = encoder.encode_descriptor("caller_refusals", help, None, MetricType::Counter)?;
        self.caller_refusals.encode(refusals)
    }
}

/// Things counted by the words of one label.
#[derive(Debug)]
pub struct Words {
    label: &'static str,
    names: Vec<&'static str>,
    counts: Sharded<Box<[Count]>>,
}

impl Words {
    fn new(label: &'static str, words: Vec<&'static str>) -> Self {
        let count = words.len();
        Self { label, names: words, counts: Sharded::new(move || (0..count).map(|_| Count::default()).collect()) }
    }

    /// One more, of the word with this number.
    pub fn add(&self, word: usize) {
        if let Some(count) = self.counts.mine().get(word) {
            count.add();
        }
    }

    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (number, word) in self.names.iter().enumerate() {
            let count: u64 = self.counts.each().map(|counts| counts[number].get()).sum();
            encoder.encode_family(&[(self.label, *word)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
