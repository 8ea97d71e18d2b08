//! How to ask for the state of the log.

/// Rows are counted so far, and estimated beyond.
const COUNTED: &str = "10000";

pub(super) const SQLITE: &str = "
    SELECT CAST(count(*) AS bigint) AS log_rows, CAST(0 AS bigint) AS log_bytes,
           (julianday('now') - julianday(min(changed_at))) * 86400.0 AS oldest_seconds, NULL AS kind,
           NULL AS open_seconds
    FROM entitlement_changes";

/// Rows are looked for from where folding has come to: what was deleted before remains in the table
/// and its indexes for as long as an old transaction may want to see it.
///
/// Both ends of a range are given, for PostgreSQL then takes the index.
pub(super) fn postgres() -> String {
    let oldest = holders();
    format!(
        "WITH rest AS (
            SELECT changed_at FROM
                (SELECT GREATEST(pg_snapshot_xmax(folded), COALESCE(reached, '0')) AS low,
                        pg_snapshot_xmax(pg_current_snapshot()) AS high FROM entitlement_folding OFFSET 0) bounds,
                LATERAL (SELECT changed_at FROM entitlement_changes WHERE xid >= low AND xid < high
                         ORDER BY xid LIMIT {COUNTED}) rest
            UNION ALL
            SELECT late.changed_at FROM entitlement_folding f, pg_snapshot_xip(f.folded) late_xids (xid),
                LATERAL (SELECT changed_at FROM entitlement_changes
                         WHERE xid BETWEEN late_xids.xid AND late_xids.xid LIMIT {COUNTED}) late
            WHERE pg_visible_in_snapshot(late_xids.xid, pg_current_snapshot())
         )
         SELECT CASE WHEN counted < {COUNTED} THEN counted
                     ELSE GREATEST(counted, pg_stat_get_live_tuples(to_regclass('entitlement_changes'))) END AS log_rows,
                pg_total_relation_size(to_regclass('entitlement_changes')) AS log_bytes,
                EXTRACT(epoch FROM clock_timestamp() - oldest)::float8 AS oldest_seconds,
                holder.kind, holder.pid, holder.holder_user, holder.name, holder.holder_database, holder.open_seconds,
                holder.xid::text AS xid
         FROM (SELECT count(*) AS counted, min(changed_at) AS oldest FROM rest) log
         LEFT JOIN ({oldest}) holder ON true"
    )
}

/// A query of whose transaction sees the most of the past. A session that has only read is counted
/// for as long as its snapshot: when it took that is not to be known. Whoever takes one beside an old
/// transaction sees as much of the past, so that of equals the one whose own number it is is meant.
fn holders() -> String {
    let open_for = |since: &str| format!("EXTRACT(epoch FROM clock_timestamp() - {since})::float8");
    let (session, prepared) = (open_for("xact_start"), open_for("prepared"));
    format!(
        "SELECT all_holders.* FROM (
            SELECT 'session' AS kind, pid::text AS pid, usename::text AS holder_user, application_name AS name,
                   datname::text AS holder_database,
                   CASE WHEN backend_xid IS NOT NULL THEN {session} END AS open_seconds,
                   CASE WHEN age(backend_xmin) > age(backend_xid) OR backend_xid IS NULL
                        THEN backend_xmin ELSE backend_xid END AS xid,
                   COALESCE(age(backend_xmin) <= age(backend_xid), backend_xid IS NOT NULL) AS is_its_own
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker'
              AND (backend_xid IS NOT NULL
                   OR backend_xmin IS NOT NULL AND COALESCE(datname = current_database(), true))
            UNION ALL
            SELECT 'prepared', NULL, owner::text, gid, database::text, {prepared}, transaction, true FROM pg_prepared_xacts
            UNION ALL
            SELECT 'slot', NULL, NULL, slot_name::text, database::text, NULL, xmin, false FROM pg_replication_slots
            WHERE xmin IS NOT NULL) all_holders
         ORDER BY age(xid) DESC, is_its_own DESC LIMIT 1"
    )
}
