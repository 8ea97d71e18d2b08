//! The log on PostgreSQL.

mod fold;
mod news;
mod triggers;

use sea_orm_migration::sea_orm::DbBackend;

pub(super) use self::{
    fold::upgrade as upgrade_folding,
    news::news,
    triggers::{arming, arming_of_each, triggers},
};
use super::{CHANNEL, MAX_ANNOUNCED, Watched, topic, watched};
use crate::LOCK;

/// Held by the one that notifies listeners.
const TELLING: i64 = LOCK + 2;

/// A setting of the writer's transaction, in which it counts the tenants that it has touched: a
/// mark for each, up to one more than are announced. Whatever else stands there, its length is a
/// number. Counting tenants in the log would be a read, and reads are what makes transactions fail
/// under SERIALIZABLE.
const TOUCHED: &str = "entitlementd.tenants_touched";

const EVERYONE: &str = "'00000000-0000-0000-0000-000000000000'";

/// What every function of ours begins with. It runs with its owner's rights, since the writer has
/// none on the log, and so must not find the writer's own functions and tables first.
const DEFINER: &str = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp";

pub(super) fn schema() -> String {
    let view = format!("CREATE {}", super::view(DbBackend::Postgres));
    [tables(), fold::tables(), functions(), fold::functions(), view].join("\n")
}

/// What the log's triggers run.
pub(super) fn functions() -> String {
    let mut functions: Vec<String> = watched().iter().map(changed).collect();
    functions.extend([announce(), truncated()]);
    functions.join("\n")
}

/// The functions that the ERP's writers run with the rights of the owner.
pub(crate) const DEFINERS: [&str; 15] = [
    "entitlement_tenants_changed",
    "entitlement_tenant_subscriptions_changed",
    "entitlement_feature_flags_changed",
    "entitlement_modules_changed",
    "entitlement_plans_changed",
    "entitlement_limit_overrides_changed",
    "entitlement_kept_features_changed",
    "entitlement_kept_limits_changed",
    "entitlement_time_zones_changed",
    "entitlement_features_changed",
    "entitlement_plan_features_changed",
    "entitlement_limits_changed",
    "entitlement_plan_limits_changed",
    "entitlement_tenants_truncated",
    "entitlement_catalogue_truncated",
];

fn tables() -> String {
    format!(
        "CREATE TABLE entitlement_changes (
            topic text NOT NULL,
            -- zeros: no single tenant
            tenant_id uuid NOT NULL DEFAULT {EVERYONE},
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            -- Holds the writer's own number, so that no other transaction waits for it or meets it.
            PRIMARY KEY (tenant_id, topic, xid)
         );
         CREATE INDEX entitlement_changes_xid ON entitlement_changes (xid);
         COMMENT ON TABLE entitlement_changes IS
            'Which tenants were changed by which transaction. Written by triggers, read and folded by entitlementd.';
         CREATE TABLE entitlement_folded_changes (
            topic text NOT NULL,
            tenant_id uuid NOT NULL,
            changes bigint NOT NULL,
            PRIMARY KEY (tenant_id, topic)
         );
         COMMENT ON TABLE entitlement_folded_changes IS
            'How many rows of entitlement_changes were folded away. Stays when a tenant is deleted: revisions never go back.';"
    )
}

/// The function that a row of a watched table calls when it has changed.
///
/// It compares inside: `UPDATE OF` overlooks what other triggers change, and both it and `WHEN`
/// would tie the ERP's columns to the trigger. A column that is gone, or of another type than this
/// session knew, is a change to be safe, and must not fail the ERP's write. Images are
/// compared, for types that know no equality, and because it is cheaper than an operator for each
/// column.
///
/// No function of a writer's may ever run here, with the owner's rights: whoever owns a table may
/// give its column a type of his own, with casts and an equality of his own. Comparing images runs
/// none, and a tenant's id is only looked at if it is a `uuid`; if it is not, every tenant may have
/// changed.
///
/// Every expression is made ready again in each transaction, which is most of what a short one
/// pays: so there are few, and none for a value that nobody looks at, such as what is returned.
/// In an insertion OLD is all NULL, in a deletion NEW.
pub(super) fn changed(watched: &Watched) -> String {
    let Watched { tenant, columns, keys, .. } = watched;
    let prefix = watched.prefix();
    let body = append_changed(watched);
    let [declare_keyed, keyed, append_keyed] =
        keys.map_or_else(Default::default, |(keys, topic)| {
            // The directory is who there is; for the others, a row that comes or goes is nobody's
            // yet, or no longer.
            let always = if topic == topic::DIRECTORY {
                "TG_OP <> 'UPDATE' OR"
            } else {
                "TG_OP = 'UPDATE' AND"
            };
            [
                "keyed boolean := true;".to_owned(),
                format!("keyed := {always} NOT {};", same(keys)),
                format!("IF keyed THEN {} END IF;", append(topic)),
            ]
        });
    let [declare_touched, is_id] = tenant.map_or_else(Default::default, |key| {
        [
            "touched text; is_id boolean := false;".to_owned(),
            format!("is_id := pg_typeof(NEW.{key}) = 'uuid'::regtype;"),
        ]
    });
    format!(
        "CREATE OR REPLACE FUNCTION {prefix}_changed() RETURNS trigger LANGUAGE plpgsql {DEFINER} AS $function$
         DECLARE {declare_keyed} {declare_touched}
         BEGIN
            BEGIN
                {is_id}
                IF {} THEN
                    RETURN NEW;
                END IF;
                {keyed}
            EXCEPTION WHEN undefined_column OR datatype_mismatch THEN
                NULL;
            END;
            {body}
            {append_keyed}
            RETURN NEW;
         END
         $function$;",
        same(columns)
    )
}

/// The statements that add to the log that such a row has changed.
fn append_changed(watched: &Watched) -> String {
    match watched.tenant {
        Some(key) => {
            let [new, old] = ["NEW", "OLD"].map(|row| append_tenant(&format!("{row}.{key}")));
            format!(
                "IF NOT is_id THEN
                    {}
                 ELSE
                    IF NEW.{key} IS NOT NULL THEN {new} END IF;
                    IF OLD.{key} IS NOT NULL AND OLD.{key} IS DISTINCT FROM NEW.{key} THEN {old} END IF;
                 END IF;",
                append(topic::TENANTS)
            )
        }
        None => append(watched.topic()),
    }
}

/// Is an updated row the same in these columns? One that was not there before, or is no longer, is
/// not.
fn same(columns: &[&str]) -> String {
    let [old, new] = ["OLD", "NEW"].map(|row| {
        columns.iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ")
    });
    format!("record_image_eq(ROW({old}), ROW({new}))")
}

fn append(topic: &str) -> String {
    format!(
        "INSERT INTO public.entitlement_changes (topic) VALUES ('{topic}') ON CONFLICT DO NOTHING;"
    )
}

/// An assignment is evaluated in place, where `PERFORM` would run a query; the writer pays for
/// either.
fn append_tenant(tenant: &str) -> String {
    format!(
        "INSERT INTO public.entitlement_changes (topic, tenant_id) VALUES ('{}', {tenant}) ON CONFLICT DO NOTHING;
         IF FOUND THEN
            touched := set_config('{TOUCHED}', left(concat(current_setting('{TOUCHED}', true), '+'),
                                                    {MAX_ANNOUNCED} + 1), true);
         END IF;",
        topic::TENANT,
    )
}

fn truncated() -> String {
    let function = |name: &str, body: String| {
        format!(
            "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {DEFINER} AS $function$
             BEGIN {body} RETURN NULL; END $function$;"
        )
    };
    let tenants = append(topic::TENANTS) + &append(topic::DIRECTORY);
    // Without its modules, no tenant has what it had.
    let catalogue = append(topic::TENANTS) + &append(topic::CATALOGUE);
    function("entitlement_tenants_truncated", tenants)
        + &function("entitlement_catalogue_truncated", catalogue)
}

/// Notifies listeners, once the transaction is about to commit and it is known how many tenants it
/// has touched.
///
/// Transactions that notify commit one after the other, each until it is on disk: they hold a lock
/// of PostgreSQL's own through the flush, and share none. So only one of ours does at a time. The
/// others commit unannounced, and are found in the log: whoever receives the one looks there soon,
/// and until nothing more comes. Should the one be rolled back at the last moment, and nobody else
/// write, the others are found by the next regular poll.
///
/// It has the writer's own rights and search path, and so names everything in full: setting a path
/// for each call was a fifth of what it cost.
fn announce() -> String {
    let tell = |parts: &str| {
        format!("told := pg_catalog.pg_notify('{CHANNEL}', pg_catalog.concat_ws(' ', {parts}));")
    };
    format!(
        "CREATE OR REPLACE FUNCTION entitlement_announce() RETURNS trigger LANGUAGE plpgsql AS $function$
         DECLARE
            told text;
         BEGIN
            IF NOT pg_catalog.pg_try_advisory_xact_lock({TELLING}) THEN
                RETURN NEW;
            END IF;
            IF NEW.topic OPERATOR(pg_catalog.<>) '{}' THEN
                {}
            ELSIF pg_catalog.length(pg_catalog.current_setting('{TOUCHED}', true))
                  OPERATOR(pg_catalog.>) {MAX_ANNOUNCED} THEN
                -- Equal notices of one transaction are sent once.
                {}
            ELSE
                {}
            END IF;
            RETURN NEW;
         END
         $function$;",
        topic::TENANT,
        tell("NEW.topic, NEW.xid"),
        tell("'many', NEW.xid"),
        tell("NEW.topic, NEW.xid, NEW.tenant_id"),
    )
}
