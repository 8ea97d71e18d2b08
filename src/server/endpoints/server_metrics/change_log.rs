//! The metrics of the log of changes.

use super::values::{counter, gauge};
use crate::{observability::metrics::Sample, server::background::change_log::ChangeLogReport};

pub(super) fn samples(report: ChangeLogReport) -> Vec<Sample> {
    let ChangeLogReport { rows, bytes, oldest, horizon, folded } = report;
    let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
    vec![
        gauge(
            "change_log_rows",
            "Rows of the log of changes that are not folded yet; beyond 10 000 as PostgreSQL estimates",
            count(rows),
        ),
        gauge(
            "change_log_bytes",
            "What the log of changes takes on the disk, with its indexes; 0 on SQLite",
            count(bytes),
        ),
        gauge(
            "change_log_oldest_seconds",
            "How long ago the oldest row of the log of changes was written; it is folded when it is an hour old",
            oldest.as_secs_f64(),
        ),
        gauge(
            "change_log_horizon_seconds",
            "How long the oldest transaction of the database has been open; what was folded since cannot be removed",
            horizon.as_secs_f64(),
        ),
        counter(
            "change_log_folded",
            "Rows of the log of changes that this instance has folded",
            folded,
        ),
    ]
}
