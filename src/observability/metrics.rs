//! Metrics, for Prometheus.
//!
//! The counters of requests exist before the first request comes: counting looks nothing up, takes
//! no lock and allocates nothing. Everything else is kept by its owner, and read when the metrics
//! are scraped.
//!
//! No label has values that a caller or a customer can choose: no tenant, no module, no method that
//! does not exist.

mod histogram;
mod label;
mod page;
mod process;
mod rpc;

use std::{fmt, marker::PhantomData};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
/// What answers are counted by, of whatever protocol.
pub(crate) use tonic::Code;

pub(crate) use self::label::label;
pub(crate) use self::{
    histogram::{HistogramFamily, Histograms, TraceRef},
    label::MetricLabel,
    page::{Format, MetricSource, Page, Sample, Value},
    rpc::{Rpcs, Stopwatch},
};
use super::counters::{Counter, Sharded};

/// A counter for each value of one label.
#[derive(Debug)]
pub(crate) struct CounterFamily<L> {
    counts: Sharded<Box<[Counter]>>,
    label: PhantomData<L>,
}

impl<L: MetricLabel> Default for CounterFamily<L> {
    fn default() -> Self {
        let counts = Sharded::new(|| L::ALL.iter().map(|_| Counter::default()).collect());
        Self { counts, label: PhantomData }
    }
}

impl<L: MetricLabel> CounterFamily<L> {
    /// Counts one event with this label value.
    pub(crate) fn add(&self, word: L) {
        if let Some(count) = self.counts.mine().get(word.number()) {
            count.add();
        }
    }

    /// The current counts, by value of the label.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::ALL.iter().map(|word| {
            let counts = self.counts.each().filter_map(|counts| counts.get(word.number()));
            (word.word(), counts.map(Counter::get).sum())
        })
    }

    /// Writes a counter for each value of the label, which has this name.
    pub(crate) fn encode(&self, name: &str, mut encoder: MetricEncoder) -> fmt::Result {
        for (word, count) in self.counts() {
            encoder
                .encode_family(&[(name, word)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
