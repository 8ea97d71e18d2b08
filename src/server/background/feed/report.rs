//! What the feed says of itself.

use chrono::TimeDelta;

use super::Behind;
use crate::{
    clock::Uptime,
    server::background::{change_log::ChangeLogReport, condition::Cause, holding::Holding},
};

/// How changes are heard of at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum FeedMode {
    /// Not yet, or not at all: the database does not answer.
    #[default]
    Disconnected,
    /// As they are committed.
    Listening,
    /// By polling the log.
    Polling,
    /// Not at all: there is no log.
    Off,
    /// Not at all: triggers of the log are missing.
    Unarmed,
}

/// What the feed says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeedReport {
    pub(crate) mode: FeedMode,
    /// Changes that were found without a notice while it listened: their writers left the telling
    /// to another, or a poll was faster.
    pub(crate) unheard: u64,
    /// How full PostgreSQL's queue of notices is, from 0 to 1.
    pub(crate) queue_usage: f64,
    /// By how much the database's clock is ahead of this service's, as of the last answer. It is exact
    /// to half of what that took: some tenths of a millisecond nearby, and half a second at worst, for
    /// a poll that takes longer has failed (2.5 s for the first one after a failure). Zero on SQLite.
    pub(crate) clock_skew: TimeDelta,
    /// When the last poll was sent that has proven that every change is received, by the clock that
    /// bounds how long that is relied on.
    pub(crate) proven: Option<Uptime>,
    /// The database's role may not read the ERP's tables, or not all of their rows.
    pub(crate) is_denied: bool,
    /// Why changes could not be read the last time, if they could not.
    pub(crate) lost: Option<Cause>,
    /// Why the replica that checks are answered from is not known to be current, if it is not.
    pub(crate) behind: Option<Behind>,
    /// How much is held of all that there is.
    pub(crate) holding: Holding,
    /// What is known of the log.
    pub(crate) change_log: ChangeLogReport,
}
