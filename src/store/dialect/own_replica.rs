//! Reading the log of changes on a replica.
//!
//! There `pg_current_snapshot()` leaves out which transactions are in progress: it shows every one below
//! its end as ended, and a position made of it would pass over what they commit. So a position is made
//! of what a standby does tell: below which number every transaction has ended, and which of the others
//! are seen to have written to the log.

use entitlementd_migration::{all_triggers_armed, arming_of_triggers, may_read_tables};

use super::postgres::CLOCK;

/// Rows of transactions that one still in progress keeps in the position, at most. Beyond that
/// everything is read again with each look.
const MOST_SEEN: usize = 20_000;

/// What tells one run of a server from another, of itself or of another server behind the same address.
/// Within a run a standby only goes forward; one that was started anew may show less than before.
pub(in crate::store) const RUN: &str = "concat_ws(' ', (SELECT system_identifier FROM pg_control_system()),
    (SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass('entitlement_changes')::oid,
    extract(epoch FROM pg_postmaster_start_time()), extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()))";

/// How far the log was read on a replica: `low:high:seen,seen:folding`.
struct Seen<'a> {
    /// Every transaction below had ended.
    low: &'a str,
    /// Those from `low` on whose rows were seen.
    late: &'a str,
    /// Which state of folding was seen.
    folding: &'a str,
}

impl<'a> Seen<'a> {
    /// `None`: it was read on a primary, or there was too much to be told apart.
    fn parse(text: &'a str) -> Option<Self> {
        let [low, _, late, folding] = text.split(':').collect::<Vec<_>>()[..] else { return None };
        Some(Self { low, late, folding }).filter(|_| !low.is_empty())
    }

    /// May rows have been folded that were not seen? Those that were have ended below `low`, but for
    /// those of a round that has gone on since, beside a transaction that is older than the round.
    fn was_folded_after(&self) -> String {
        let Self { low, folding, .. } = self;
        format!(
            "COALESCE((SELECT f.log = to_regclass('entitlement_changes')::oid
                          AND pg_snapshot_xmax(f.horizon) > '{low}'::xid8 AND f.xmin::text <> '{folding}'
                       FROM entitlement_folding f), true)"
        )
    }

    /// The rows that are seen now and were not then. Both ends are given, for PostgreSQL then takes the
    /// index.
    fn news(&self) -> String {
        let Self { low, late, .. } = self;
        format!(
            "SELECT topic, tenant_id FROM entitlement_changes
             WHERE xid >= '{low}'::xid8 AND xid < pg_snapshot_xmax(state.now) AND xid <> ALL ('{{{late}}}'::xid8[])"
        )
    }
}

/// Reads the log from the last position, at most `most` rows, with the same columns as on a primary.
pub(in crate::store) fn log_since(seen: Option<&str>, most: usize) -> String {
    let (armed, arming, readable) = (all_triggers_armed(), arming_of_triggers(), may_read_tables());
    let none = || {
        let nothing = "SELECT NULL AS topic, NULL::uuid AS tenant_id WHERE false".to_owned();
        ("true".to_owned(), nothing)
    };
    let (folded, new) =
        seen.and_then(Seen::parse).map_or_else(none, |seen| (seen.was_folded_after(), seen.news()));
    format!(
        "SELECT state.history, state.seen, state.folded, state.armed, state.denied, state.queue_usage, state.clock,
                log.topic, log.tenant_id
         FROM (SELECT concat_ws(' ', {RUN}, {arming}) AS history, snapshot.now,
                      CASE WHEN seen.count < {MOST_SEEN}
                           THEN concat_ws(':', pg_snapshot_xmin(now), pg_snapshot_xmax(now), COALESCE(seen.all_seen, ''),
                                          COALESCE((SELECT f.xmin::text FROM entitlement_folding f), ''))
                           ELSE '' END AS seen,
                      {folded} AS folded, {armed} AS armed, NOT {readable} AS denied,
                      pg_notification_queue_usage() AS queue_usage, {CLOCK} AS clock
               FROM (SELECT pg_current_snapshot() AS now OFFSET 0) snapshot,
                    LATERAL (SELECT count(*) AS count, string_agg(DISTINCT xid::text, ',') AS all_seen
                             FROM (SELECT xid FROM entitlement_changes
                                   WHERE xid >= pg_snapshot_xmin(snapshot.now) AND xid < pg_snapshot_xmax(snapshot.now)
                                   LIMIT {MOST_SEEN}) rows) seen
               OFFSET 0) state
         LEFT JOIN LATERAL ({new}) log ON true
         LIMIT {most}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_a_primary_or_of_too_much_is_none_of_a_replica() {
        for text in ["725:728:725", "", ":::", "725:728:"] {
            assert!(Seen::parse(text).is_none(), "{text}");
        }
        let seen = Seen::parse("725:728:726,727:900").unwrap();
        assert_eq!((seen.low, seen.late, seen.folding), ("725", "726,727", "900"));
        assert_eq!(Seen::parse("725:725::900").unwrap().late, "");
    }
}
