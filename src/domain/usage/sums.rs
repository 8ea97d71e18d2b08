//! What is used, summed up by quarters of an hour and by days.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{MeterId, UsedAt};

/// What is recorded so long after it was used came late: whoever had read the sums before did not
/// see it.
const LATE: TimeDelta = TimeDelta::hours(1);

/// How long sums by the quarter of an hour span, in seconds.
const QUARTER: i64 = 15 * 60;

impl UsedAt {
    /// When its quarter of an hour begins.
    pub fn quarter(&self) -> DateTime<Utc> {
        let quarter = self.at.timestamp().div_euclid(QUARTER) * QUARTER;
        DateTime::from_timestamp(quarter, 0).unwrap_or_default()
    }
}

/// What is summed up.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SumId {
    /// What is used.
    pub meter: MeterId,
    /// The stored form of the day.
    pub day: Arc<str>,
    /// When the quarter of an hour begins, which is the same in every time zone.
    pub quarter: DateTime<Utc>,
    /// For which module; empty: none was named.
    pub module: Arc<str>,
}

/// What is added to a sum.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sum {
    /// How much.
    pub amount: i64,
    /// How many things.
    pub events: i64,
    /// What of it came late.
    pub late: i64,
    /// What of it has no key.
    pub without_key: i64,
}

/// What is added to sums, in order. Only what is used by the month is summed up.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<SumId, Sum>);

impl Sums {
    /// Adds so much, or takes it away.
    pub fn add(
        &mut self,
        meter: &MeterId,
        used_at: &UsedAt,
        module: &Arc<str>,
        added: Sum,
        now: DateTime<Utc>,
    ) {
        if used_at.day.is_empty() {
            return;
        }
        let id = SumId {
            meter: meter.clone(),
            day: Arc::clone(&used_at.day),
            quarter: used_at.quarter(),
            module: Arc::clone(module),
        };
        let sum = self.0.entry(id).or_default();
        sum.amount += added.amount;
        sum.events += added.events;
        sum.without_key += added.without_key;
        if now - used_at.at > LATE {
            sum.late += added.amount;
        }
    }

    /// All that adds something.
    pub fn iter(&self) -> impl Iterator<Item = (&SumId, Sum)> {
        self.0.iter().map(|(id, sum)| (id, *sum)).filter(|(_, sum)| *sum != Sum::default())
    }
}
