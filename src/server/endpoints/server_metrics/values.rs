//! Samples, and the numbers in them.

use chrono::{DateTime, Utc};

use crate::observability::metrics::{Sample, Value};

pub(super) fn counter(name: &'static str, help: &'static str, count: u64) -> Sample {
    Sample { name, help, value: Value::Counter(count) }
}

pub(super) fn gauge(name: &'static str, help: &'static str, gauge: impl Into<Amount>) -> Sample {
    Sample { name, help, value: Value::Gauge(gauge.into().0) }
}

/// 1 for the word that holds, 0 for the others.
pub(super) fn one_of(label: &'static str, words: &[&'static str], holds: &str) -> Value {
    Value::Gauges(
        label,
        words.iter().map(|word| (*word, f64::from(u8::from(*word == holds)))).collect(),
    )
}

/// What a gauge shows.
pub(super) struct Amount(f64);

impl From<f64> for Amount {
    fn from(amount: f64) -> Self {
        Self(amount)
    }
}

impl From<usize> for Amount {
    fn from(count: usize) -> Self {
        Self(number(count))
    }
}

#[expect(clippy::cast_precision_loss, reason = "nothing that is counted here comes near 2^52")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 do not come near 2^52")]
pub(super) fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1e3
}
