//! Metrics, for Prometheus.
//!
//! What every request counts has its place before the first one comes: counting looks nothing up, takes no lock and
//! allocates nothing. Everything else is kept where it belongs, and read when somebody asks.
//!
//! No label holds what a caller or a customer may choose: no tenant, no module, no method that does not exist.

mod histogram;
mod label;
mod page;
mod rpc;

use std::{fmt, marker::PhantomData};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

pub(crate) use self::label::label;
pub(crate) use self::{
    label::Label,
    page::{Format, Page, Read, Reading, Value},
    rpc::{Rpcs, Stopwatch},
};
use super::counters::{Count, Sharded};

/// Things counted by the words of one label.
#[derive(Debug)]
pub(crate) struct Counts<L> {
    counts: Sharded<Box<[Count]>>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Counts<L> {
    fn default() -> Self {
        let counts = Sharded::new(|| L::ALL.iter().map(|_| Count::default()).collect());
        Self { counts, label: PhantomData }
    }
}

impl<L: Label> Counts<L> {
    /// One more, of this word.
    pub(crate) fn add(&self, word: L) {
        if let Some(count) = self.counts.mine().get(word.number()) {
            count.add();
        }
    }

    /// Writes a counter for each word of the label, whose name this is.
    pub(crate) fn encode(&self, name: &str, mut encoder: MetricEncoder) -> fmt::Result {
        for word in L::ALL {
            let counts = self.counts.each().filter_map(|counts| counts.get(word.number()));
            let count: u64 = counts.map(Count::get).sum();
            encoder.encode_family(&[(name, word.word())])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
