//! The metrics of the file in which what is held is kept.

use chrono::{DateTime, Utc};

use super::values::{counter, gauge, number};
use crate::{observability::metrics::Sample, server::background::state::State};

pub(super) fn samples(state: Option<&State>, now: DateTime<Utc>) -> Vec<Sample> {
    let report = state.map(State::report).unwrap_or_default();
    let age = report.rests_on.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
    vec![
        gauge(
            "state_file_age_seconds",
            "How long ago the database last vouched for what is in the state file; 0 without one",
            age,
        ),
        gauge(
            "state_file_bytes",
            "The size of the state file; 0 without one",
            number(usize::try_from(report.bytes).unwrap_or(usize::MAX)),
        ),
        counter(
            "state_file_failures",
            "Times that the state file was refused at the start, or could not be written",
            report.failures,
        ),
    ]
}
