//! What was refused last, for whoever asks why.

use std::{collections::VecDeque, sync::Arc};

use chrono::{DateTime, Utc};
use moka::{policy::EvictionPolicy, sync::Cache};
use parking_lot::Mutex;

use crate::domain::{LimitReason, MeterId, UsageKey};

/// Refusals of a meter that are remembered.
const MOST: usize = 20;

/// Meters whose refusals are remembered. With more, those go that nobody was refused of for the
/// longest time.
const MOST_METERS: u64 = 1_000;

/// A reservation that was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The key that was asked for.
    pub key: UsageKey,
    /// The module that it was for; empty: none was named.
    pub module: Arc<str>,
    /// How much was asked for.
    pub amount: i64,
    /// Why it was refused.
    pub reason: LimitReason,
    /// When.
    pub at: DateTime<Utc>,
}

/// The refusals of each meter, the newest first.
#[derive(Debug)]
pub(super) struct Refusals(Cache<MeterId, Arc<Mutex<VecDeque<Refusal>>>>);

impl Default for Refusals {
    fn default() -> Self {
        let cache = Cache::builder().max_capacity(MOST_METERS);
        Self(cache.eviction_policy(EvictionPolicy::lru()).build())
    }
}

impl Refusals {
    pub(super) fn add(&self, meter: &MeterId, refusal: Refusal) {
        let of_meter = self.0.get_with_by_ref(meter, Arc::default);
        let mut of_meter = of_meter.lock();
        of_meter.truncate(MOST - 1);
        of_meter.push_front(refusal);
    }

    pub(super) fn of(&self, meter: &MeterId) -> Vec<Refusal> {
        let of_meter = self.0.get(meter);
        of_meter.map(|refusals| refusals.lock().iter().cloned().collect()).unwrap_or_default()
    }
}
