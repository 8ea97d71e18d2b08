//! Reading what is new in the log, however old the oldest transaction is.
//!
//! New is what one snapshot shows and an earlier one does not, which is what was in progress then and
//! what began since: rows that were seen before are not looked at.

/// A query of the rows, `topic` and `tenant_id`, that the snapshot `now` shows and the earlier snapshot
/// `seen` does not. Both are expressions.
///
/// Equality is written as a range: for that PostgreSQL assumes few rows, whatever its statistics say,
/// and takes the index. A transaction that has not ended yet is not looked up, however many rows it
/// has written. Rows with transaction numbers in the future were restored from another cluster.
pub(in crate::changes) fn news(seen: &str, now: &str) -> String {
    format!(
        "SELECT topic, tenant_id FROM entitlement_changes
         WHERE xid >= pg_snapshot_xmax({seen}) AND xid < pg_snapshot_xmax({now})
         UNION ALL
         SELECT c.topic, c.tenant_id FROM pg_snapshot_xip({seen}) ended (xid),
            LATERAL (SELECT topic, tenant_id FROM entitlement_changes
                     WHERE xid BETWEEN ended.xid AND ended.xid OFFSET 0) c
         WHERE pg_visible_in_snapshot(ended.xid, {now})"
    )
}
