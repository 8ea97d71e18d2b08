//! Instants as the database knows them and as the domain does.

use chrono::{DateTime, Utc};

/// The ends of what a proto Timestamp can hold, in seconds since 1970: the years 1 and 9999.
const EARLIEST_SECONDS: i64 = -62_135_596_800;
const LATEST_SECONDS: i64 = 253_402_300_799;

/// An instant at which something begins: the beginning of time is no instant.
pub(super) fn beginning(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.filter(|at| at.timestamp() > EARLIEST_SECONDS).map(within_range)
}

/// An instant at which something ends: the end of time is no instant.
pub(super) fn end(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.filter(|at| at.timestamp() < LATEST_SECONDS).map(within_range)
}

fn within_range(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp().clamp(EARLIEST_SECONDS, LATEST_SECONDS);
    if seconds == at.timestamp() { at } else { DateTime::from_timestamp(seconds, 0).unwrap_or(at) }
}
