//! The triggers of the log.

use crate::changes::{Trigger, Watched, watched};

pub(in crate::changes) fn triggers() -> Vec<Trigger> {
    let mut triggers = vec![announcing()];
    for watched in watched() {
        let (Watched { table, tenant, .. }, prefix) = (&watched, watched.prefix());
        let row = format!("{prefix}_changed");
        let event = "AFTER INSERT OR UPDATE OR DELETE";
        triggers.push(trigger(
            table,
            &row,
            &format!("TRIGGER {row} {event} ON {table} FOR EACH ROW"),
            &row,
        ));
        let truncated = format!("{prefix}_truncated");
        let function = format!(
            "entitlement_{}_truncated",
            if tenant.is_some() { "tenants" } else { "catalogue" }
        );
        let head = format!("TRIGGER {truncated} AFTER TRUNCATE ON {table} FOR EACH STATEMENT");
        triggers.push(trigger(table, &truncated, &head, &function));
    }
    triggers
}

fn announcing() -> Trigger {
    let (table, name) = ("entitlement_changes", "entitlement_announce");
    let head = format!(
        "CONSTRAINT TRIGGER {name} AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    );
    trigger(table, name, &head, name)
}

/// It fires always: what a replication worker or a session that poses as one writes is a change too.
fn trigger(table: &'static str, name: &str, head: &str, function: &str) -> Trigger {
    let create = format!(
        "SET LOCAL client_min_messages = warning; -- not of what is not there to drop
         DROP TRIGGER IF EXISTS {name} ON {table};
         CREATE {head} EXECUTE FUNCTION {function}();
         ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};"
    );
    Trigger { table, name: name.to_owned(), create }
}

/// A query of the triggers that exist, `a`, and how each is armed, `b`.
pub(in crate::changes) fn arming_of_each() -> String {
    format!("SELECT t.tgname::text AS a, t.tgenabled::text AS b {}", there())
}

/// A text that is another one after any command about one of the triggers: between two looks it may
/// have been off, and on again. And once a watched table was rewritten, or has other partitions or
/// children: no trigger fires for what such a command writes. Columns are left out: one that is
/// renamed makes loads fail, and what is held is all that can be answered then.
pub(in crate::changes) fn arming() -> String {
    let tables: Vec<String> =
        watched().iter().map(|watched| format!("to_regclass('{}')", watched.table)).collect();
    format!(
        "SELECT md5(concat(
            (SELECT string_agg(concat_ws(' ', t.oid, t.xmin, t.tgenabled), ',' ORDER BY t.oid) {}),
            (SELECT string_agg(concat_ws(' ', c.oid, c.relfilenode), ',' ORDER BY c.oid)
             FROM (SELECT unnest(ARRAY[{tables}]::oid[]) AS id) watched
             JOIN LATERAL (SELECT watched.id AS id
                           UNION ALL SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = watched.id) tree ON true
             JOIN pg_class c ON c.oid = tree.id)))",
        there(),
        tables = tables.join(", ")
    )
}

fn there() -> String {
    let wanted: Vec<String> = triggers()
        .iter()
        .map(|trigger| format!("('{}', '{}')", trigger.table, trigger.name))
        .collect();
    format!(
        "FROM pg_trigger t
         JOIN (VALUES {}) wanted (tab, name) ON t.tgrelid = to_regclass(wanted.tab) AND t.tgname = wanted.name",
        wanted.join(", ")
    )
}
