//! Instants as the database knows them and as the domain does.

use chrono::{DateTime, Utc};
use sea_orm::{
    DbBackend,
    sea_query::{ExprTrait, SimpleExpr, expr::Expr},
};

/// PostgreSQL knows `infinity`, `-infinity` and years far beyond chrono's, and sqlx panics when it decodes them. The
/// proto Timestamp ends with the year 9999. What lies outside of its range is moved to its ends before it is sent.
const EARLIEST: &str = "TIMESTAMPTZ '0001-01-01 00:00:00+00'";
const LATEST: &str = "TIMESTAMPTZ '9999-12-31 23:59:59+00'";

/// The same ends as seconds since 1970.
const EARLIEST_SECONDS: i64 = -62_135_596_800;
const LATEST_SECONDS: i64 = 253_402_300_799;

/// A column of instants, moved into the range that can be decoded.
pub(super) fn column(backend: DbBackend, column: SimpleExpr) -> SimpleExpr {
    // SQLite stores text; what cannot be decoded is an error there, not a panic.
    if backend != DbBackend::Postgres {
        return column;
    }
    Expr::case(column.clone().lt(Expr::cust(EARLIEST)), Expr::cust(EARLIEST))
        .case(column.clone().gt(Expr::cust(LATEST)), Expr::cust(LATEST))
        .finally(column)
        .into()
}

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
