//! Whether a server is a replica of a primary, and how far it has come.

use sea_orm::QueryResult;

/// How far a replica has come.
#[derive(Clone, Debug)]
pub(in crate::store) struct Held {
    /// It holds every change up to this one, in the cache's numbering.
    pub(super) changes: u64,
    /// The position in the primary's log that it has replayed. A replica that has not come this far
    /// is another server behind the same address.
    pub(super) lsn: String,
    /// The primary's: a replica that has another one is none of that primary.
    pub(super) identity: String,
}

impl Held {
    /// Is a server a replica of that primary, and has it replayed the log up to that position? A
    /// promoted server is no longer a replica.
    pub(super) fn question(&self) -> String {
        let Self { lsn, identity, .. } = self;
        let own = identity_of(TIMELINE_OF_REPLICA);
        format!(
            "SELECT pg_is_in_recovery() AND {own} = '{identity}' AS belongs,
                    COALESCE(pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn, false) AS holds"
        )
    }
}

/// How a server stands to what is wanted of a replica.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Standing {
    Holds,
    Lags,
    /// It is no replica of the primary.
    Alien,
}

impl Standing {
    pub(super) fn of(rows: &[QueryResult]) -> Self {
        let says = |name| rows.first().is_some_and(|row| row.try_get("", name).unwrap_or(false));
        match (says("belongs"), says("holds")) {
            (true, true) => Self::Holds,
            (true, false) => Self::Lags,
            (false, _) => Self::Alien,
        }
    }
}

/// A cluster, a database of it, and the timeline of its log; the replicas of a primary have the same.
/// Positions in another log mean nothing: the primary may have moved without them. Nor do they after a
/// failover, if a replica has got more from the former primary than the present one has.
pub(in crate::store) fn identity_of(timeline: &str) -> String {
    format!(
        "concat_ws(' ', (SELECT system_identifier FROM pg_control_system()),
         (SELECT oid FROM pg_database WHERE datname = current_database()), {timeline})"
    )
}

pub(in crate::store) const TIMELINE_OF_PRIMARY: &str =
    "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";

/// A replica does not tell which timeline it replays. It remembers the one that it replayed when it last
/// made a restartpoint, and when it last wrote pages; and it shows which one it receives to roles that
/// may see that. A server in recovery never goes back to an earlier one. One that has just
/// gone on to another may still seem to be on the former one: then it is not used for a while.
pub(in crate::store) const TIMELINE_OF_REPLICA: &str =
    "GREATEST((SELECT timeline_id FROM pg_control_checkpoint()),
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
    (SELECT max(received_tli) FROM pg_stat_wal_receiver))";
