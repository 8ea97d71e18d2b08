//! Step 10: features and limits: what there are, what plans give, what single tenants have instead,
//! and what they keep of a plan that was changed.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::changes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(&tables(connection.get_database_backend())).await?;
        // The tables above are watched too, and more columns of these.
        changes::replace_functions(manager).await?;
        for table in ["plans", "feature_flags"] {
            changes::watch_columns_anew(manager, table).await?;
        }
        changes::watch_own_tables(manager, &WATCHED).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

const WATCHED: [&str; 7] = [
    "entitlement_features",
    "entitlement_plan_features",
    "entitlement_limits",
    "entitlement_plan_limits",
    "entitlement_limit_overrides",
    "entitlement_kept_features",
    "entitlement_kept_limits",
];

/// None has a foreign key to a table of the ERP's: an insert would lock a row there, and nothing of
/// ours may keep the ERP from deleting one. What is left behind is read by nobody.
fn tables(backend: DbBackend) -> String {
    let tables =
        [FEATURES, PLAN_FEATURES, LIMITS, PLAN_LIMITS, OVERRIDES, KEPT_FEATURES, KEPT_LIMITS];
    let tables = tables.concat();
    match backend {
        DbBackend::Sqlite => IDS
            .iter()
            .fold(tables, |tables, id| {
                // SQLite would accept an id written as text, and no statement would ever find it.
                let bytes = format!(
                    "{id} BLOB NOT NULL CHECK (typeof({id}) = 'blob' AND length({id}) = 16)"
                );
                tables.replace(&format!("{id} uuid NOT NULL"), &bytes)
            })
            .replace("jsonb", "TEXT")
            .replace("timestamptz", "TEXT")
            .replace("bigint", "INTEGER"),
        _ => tables + COMMENTS,
    }
}

/// The columns that hold UUIDs.
const IDS: [&str; 3] = ["tenant_id", "module_id", "plan_id"];

/// What values are called in `value_type`, and what kinds of limits there are. The database refuses
/// others, whoever writes them.
const FEATURES: &str = "
    CREATE TABLE entitlement_features (
        module_id uuid NOT NULL,
        key varchar(100) NOT NULL CHECK (key <> ''),
        name varchar(100) NOT NULL DEFAULT '',
        description text NOT NULL DEFAULT '',
        value_type varchar(10) NOT NULL DEFAULT 'json' CHECK (value_type IN ('bool', 'int64', 'string', 'json')),
        default_enabled boolean NOT NULL DEFAULT false,
        default_value jsonb,
        PRIMARY KEY (module_id, key)
    );";

const PLAN_FEATURES: &str = "
    CREATE TABLE entitlement_plan_features (
        plan_id uuid NOT NULL,
        module_id uuid NOT NULL,
        key varchar(100) NOT NULL,
        enabled boolean NOT NULL,
        value jsonb,
        PRIMARY KEY (plan_id, module_id, key)
    );";

const LIMITS: &str = "
    CREATE TABLE entitlement_limits (
        key varchar(50) PRIMARY KEY CHECK (key NOT IN ('', 'users', 'transactions_monthly')),
        name varchar(100) NOT NULL DEFAULT '',
        unit varchar(50) NOT NULL DEFAULT '',
        kind varchar(10) NOT NULL CHECK (kind IN ('level', 'monthly'))
    );";

const PLAN_LIMITS: &str = "
    CREATE TABLE entitlement_plan_limits (
        plan_id uuid NOT NULL,
        key varchar(50) NOT NULL CHECK (key NOT IN ('users', 'transactions_monthly')),
        value bigint CHECK (value >= 0),
        PRIMARY KEY (plan_id, key)
    );";

const OVERRIDES: &str = "
    CREATE TABLE entitlement_limit_overrides (
        tenant_id uuid NOT NULL,
        key varchar(50) NOT NULL,
        value bigint CHECK (value >= 0),
        ends_at timestamptz,
        reason varchar(500) NOT NULL DEFAULT '',
        PRIMARY KEY (tenant_id, key)
    );";

/// A plan that says nothing has no value either.
const KEPT_FEATURES: &str = "
    CREATE TABLE entitlement_kept_features (
        tenant_id uuid NOT NULL,
        plan_id uuid NOT NULL,
        module_id uuid NOT NULL,
        key varchar(100) NOT NULL,
        enabled boolean,
        value jsonb,
        kept_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, plan_id, module_id, key),
        CHECK (enabled IS NOT NULL OR value IS NULL)
    );";

const KEPT_LIMITS: &str = "
    CREATE TABLE entitlement_kept_limits (
        tenant_id uuid NOT NULL,
        plan_id uuid NOT NULL,
        key varchar(50) NOT NULL,
        value bigint CHECK (value >= 0),
        kept_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, plan_id, key)
    );";

const COMMENTS: &str = "
    COMMENT ON TABLE entitlement_features IS
        'Which features modules have: the type of their values, and what holds where neither tenant nor plan says anything.';
    COMMENT ON TABLE entitlement_plan_features IS
        'Which features plans switch on or off, and with which value.';
    COMMENT ON TABLE entitlement_limits IS
        'Which limits there are beside users and transactions_monthly, whose values are columns of plans. level: how many there are at a time; monthly: how many in a calendar month.';
    COMMENT ON TABLE entitlement_plan_limits IS
        'What plans limit. NULL: unlimited, as without a row.';
    COMMENT ON TABLE entitlement_limit_overrides IS
        'What single tenants have instead of the limit of their plan, until ends_at. NULL in value: unlimited; in ends_at: for good.';
    COMMENT ON TABLE entitlement_kept_features IS
        'What a plan said about a feature before it was changed at kept_at, for the tenants that keep it: as long as they are on that plan. NULL in enabled: it said nothing.';
    COMMENT ON TABLE entitlement_kept_limits IS
        'What a plan allowed before it was changed at kept_at, for the tenants that keep it: as long as they are on that plan. NULL in value: unlimited.';";
