//! The log on SQLite, where writers are serialized, so that rows become visible in the order of
//! their ids.

use sea_orm_migration::sea_orm::DbBackend;

use super::{Trigger, Watched, topic};
use crate::tables::now;

/// The log's triggers that exist. SQLite cannot disarm one.
pub(super) const ARMED: &str = "SELECT name AS a, 'A' AS b FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'entitlement%'";

/// At most so many rows are folded in one transaction: nobody else writes meanwhile.
const MAX_FOLDED_AT_ONCE: u64 = 2_000;

/// Remembers up to which row the log was folded, by whatever program.
pub(super) const FOLDING: &str = "
    CREATE TABLE entitlement_folding (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        horizon INTEGER NOT NULL
    );
    INSERT INTO entitlement_folding VALUES (1, 0);
    CREATE TRIGGER entitlement_changes_folded AFTER DELETE ON entitlement_changes BEGIN
        UPDATE entitlement_folding SET horizon = max(horizon, OLD.id);
    END;";

pub(super) fn schema() -> String {
    let tables = r"
        CREATE TABLE entitlement_changes (
            -- AUTOINCREMENT: an id is never given again, not even when the newest rows were folded away.
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            topic TEXT NOT NULL,
            -- zeros: no single tenant
            tenant_id BLOB NOT NULL,
            changed_at TEXT NOT NULL DEFAULT NOW
        );
        CREATE INDEX entitlement_changes_tenant ON entitlement_changes (tenant_id, topic);
        CREATE TABLE entitlement_folded_changes (
            topic TEXT NOT NULL,
            tenant_id BLOB NOT NULL,
            changes INTEGER NOT NULL,
            PRIMARY KEY (tenant_id, topic)
        ) WITHOUT ROWID;
    ";
    let now = sea_orm_migration::prelude::Query::select().expr(now(DbBackend::Sqlite)).to_owned();
    let now = now.to_string(sea_orm_migration::prelude::SqliteQueryBuilder);
    tables.replace("NOW", now.trim_start_matches("SELECT "))
        + FOLDING
        + "CREATE "
        + &super::view(DbBackend::Sqlite)
}

pub(super) fn triggers(watched: &Watched) -> Vec<Trigger> {
    let table = watched.table;
    let own = |row: &str| match watched.tenant {
        Some(tenant) => append(
            topic::TENANT,
            &format!("{row}.{tenant}"),
            &format!("{row}.{tenant} IS NOT NULL"),
        ),
        None => append(watched.topic(), "zeroblob(16)", "true"),
    };
    let directory = match watched.keys {
        Some((_, topic::DIRECTORY)) => append(topic::DIRECTORY, "zeroblob(16)", "true"),
        _ => String::new(),
    };
    let mut update = own("NEW");
    if let Some(tenant) = watched.tenant {
        update += &append(
            topic::TENANT,
            &format!("OLD.{tenant}"),
            &format!("OLD.{tenant} IS NOT NEW.{tenant}"),
        );
    }
    if let Some((keys, topic)) = watched.keys {
        update += &append(topic, "zeroblob(16)", &differs(keys));
    }
    let trigger = |event: &str, when: String, body: String| {
        let name = format!("{}_{}", watched.prefix(), event.to_lowercase());
        let create =
            format!("CREATE TRIGGER {name} AFTER {event} ON {table} {when} BEGIN {body} END");
        Trigger { table, name, create }
    };
    vec![
        trigger("INSERT", String::new(), own("NEW") + &directory),
        trigger("UPDATE", format!("WHEN {}", differs(watched.columns)), update),
        trigger("DELETE", String::new(), own("OLD") + &directory),
    ]
}

fn append(topic: &str, tenant: &str, condition: &str) -> String {
    format!(
        "INSERT INTO entitlement_changes (topic, tenant_id) SELECT '{topic}', {tenant} WHERE {condition}; "
    )
}

fn differs(columns: &[&str]) -> String {
    let differs: Vec<String> =
        columns.iter().map(|column| format!("OLD.{column} IS NOT NEW.{column}")).collect();
    differs.join(" OR ")
}

/// Folds the oldest rows that are older than an hour into a number per tenant, up to 2 000 of them.
/// Must run in one transaction; the last statement deletes them.
pub fn fold() -> String {
    let old = format!(
        "SELECT id FROM entitlement_changes WHERE changed_at < strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-1 hour')
            ORDER BY id LIMIT {MAX_FOLDED_AT_ONCE}"
    );
    format!(
        "INSERT INTO entitlement_folded_changes (topic, tenant_id, changes)
            SELECT topic, tenant_id, count(*) FROM entitlement_changes WHERE id IN ({old}) GROUP BY topic, tenant_id
            ON CONFLICT (tenant_id, topic) DO UPDATE SET changes = changes + excluded.changes;
         DELETE FROM entitlement_changes WHERE id IN ({old});"
    )
}
