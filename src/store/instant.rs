//! Conversion of instants between the database and the domain.

use chrono::{DateTime, Utc};

/// The range of a proto Timestamp, in seconds since 1970: the years 1 to 9999.
const EARLIEST_SECONDS: i64 = -62_135_596_800;
const LATEST_SECONDS: i64 = 253_402_300_799;

/// A start; the earliest instant stands for "always", and becomes `None`.
pub(super) fn beginning(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.filter(|at| at.timestamp() > EARLIEST_SECONDS).map(within_range)
}

/// An end; the latest instant stands for "never", and becomes `None`.
pub(super) fn end(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.filter(|at| at.timestamp() < LATEST_SECONDS).map(within_range)
}

fn within_range(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp().clamp(EARLIEST_SECONDS, LATEST_SECONDS);
    if seconds == at.timestamp() { at } else { DateTime::from_timestamp(seconds, 0).unwrap_or(at) }
}
