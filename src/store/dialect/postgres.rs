//! PostgreSQL's forms.

use entitlementd_migration::{
    all_triggers_armed, arming_of_triggers, may_read_tables, news_between,
};
use sea_orm::sea_query::{ExprTrait, SimpleExpr, expr::Expr};

use crate::store::TenantKey;

/// PostgreSQL knows `infinity`, `-infinity` and years far beyond chrono's, and sqlx panics when it
/// decodes them. The proto Timestamp ends with the year 9999. Values outside that range are clamped
/// in the query.
const EARLIEST: &str = "TIMESTAMPTZ '0001-01-01 00:00:00+00'";
const LATEST: &str = "TIMESTAMPTZ '9999-12-31 23:59:59+00'";

pub(super) const CLOCK: &str = "(EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint";

pub(super) fn instant(column: SimpleExpr) -> SimpleExpr {
    Expr::case(column.clone().lt(Expr::cust(EARLIEST)), Expr::cust(EARLIEST))
        .case(column.clone().gt(Expr::cust(LATEST)), Expr::cust(LATEST))
        .finally(column)
        .into()
}

/// NULL stays NULL: `LEAST` and `GREATEST` would pass it over.
pub(super) fn micros(column: &str) -> String {
    format!(
        "CASE WHEN {column} IS NOT NULL THEN \
         (EXTRACT(epoch FROM LEAST(GREATEST({column}, {EARLIEST}), {LATEST})) * 1000000)::bigint END"
    )
}

/// PostgreSQL must not see the lists until it runs the statement, hence the `SELECT` around them:
/// for short lists a custom plan looks cheaper to it, and making that plan takes several times as
/// long as the rows.
pub(super) const KEY_TABLES: [&str; 2] = [
    "unnest(CAST(string_to_array((SELECT $1), ',') AS uuid[])) i (id)",
    "unnest(string_to_array((SELECT $2), ',')) s (subdomain)",
];

/// Neither a UUID nor a label contains a comma.
pub(super) fn key_lists(keys: &[TenantKey]) -> [String; 2] {
    let (mut ids, mut subdomains) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            TenantKey::Id(id) => ids.push(id.uuid().to_string()),
            TenantKey::Subdomain(label) => subdomains.push(label.as_str()),
        }
    }
    [ids.join(","), subdomains.join(",")]
}

/// What identifies a server's history and a database of it. Fails on a standby.
const HISTORY: &str = "left(pg_walfile_name(pg_current_wal_lsn()), 8),
                                (SELECT oid FROM pg_database WHERE datname = current_database()),
                                to_regclass('entitlement_changes')::oid, pg_postmaster_start_time(),
                                pg_stat_get_bgwriter_stat_reset_time()";

/// A database's history, whether or not it has a log; NULL on a standby.
pub(in crate::store) fn history() -> String {
    format!(
        "SELECT CASE WHEN NOT pg_is_in_recovery() THEN concat_ws(' ', {HISTORY}) END AS history"
    )
}

/// `seen` is a snapshot: the visible transactions.
///
/// A history ends with a new timeline (promotion, point-in-time recovery), another database or
/// table (restore), a start of the server, and a crash, which resets its statistics: announced
/// commits may be lost if synchronous_commit is off. It also ends when a trigger was switched off or
/// on: what was written meanwhile left no row.
pub(super) fn log_since(seen: Option<&str>, most: usize) -> String {
    // That of a replica has another form, and another history in any case.
    let seen = seen.filter(|seen| seen.matches(':').count() == 2);
    let (armed, arming, readable) = (all_triggers_armed(), arming_of_triggers(), may_read_tables());
    let (folded, new) = seen.map_or_else(
        || {
            (
                "true".to_owned(),
                "SELECT NULL AS topic, NULL::uuid AS tenant_id WHERE false".to_owned(),
            )
        },
        |seen| {
            let seen = format!("'{seen}'::pg_snapshot");
            (was_folded_after(&seen), news_between(&seen, "state.snapshot"))
        },
    );
    format!(
        "SELECT state.history, state.snapshot::text AS seen, state.folded, state.armed, state.denied, state.queue_usage,
                state.clock, log.topic, log.tenant_id
         FROM (SELECT concat_ws(' ', {HISTORY}, {arming}) AS history,
                      pg_current_snapshot() AS snapshot, {folded} AS folded, {armed} AS armed,
                      NOT {readable} AS denied, pg_notification_queue_usage() AS queue_usage, {CLOCK} AS clock OFFSET 0) state
         LEFT JOIN LATERAL ({new}) log ON true
         LIMIT {most}"
    )
}

/// May rows have been folded that this snapshot does not show? Of two snapshots of one server, one
/// shows all that the other does.
fn was_folded_after(seen: &str) -> String {
    format!(
        "COALESCE((SELECT f.log = to_regclass('entitlement_changes')::oid
                      AND (pg_snapshot_xmax({seen}) < pg_snapshot_xmax(f.horizon)
                           OR EXISTS (SELECT FROM pg_snapshot_xip({seen}) late (xid)
                                      WHERE pg_visible_in_snapshot(late.xid, f.horizon)))
                   FROM entitlement_folding f), true)"
    )
}
