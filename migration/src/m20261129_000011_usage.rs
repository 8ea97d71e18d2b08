//! Step 11: usage: counters, and the keys that they are the sums of.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(&tables(connection.get_database_backend())).await.map(drop)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

/// None has a foreign key to a table of the ERP's: each count would lock a row there.
fn tables(backend: DbBackend) -> String {
    let tables = [COUNTERS, KEYS, INDEXES].concat();
    match backend {
        DbBackend::Sqlite => tables
            .replace(
                "tenant_id uuid NOT NULL",
                "tenant_id BLOB NOT NULL CHECK (typeof(tenant_id) = 'blob' AND length(tenant_id) = 16)",
            )
            // Micros since 1970.
            .replace("timestamptz", "INTEGER")
            .replace("bigint", "INTEGER")
            .replace(" COLLATE \"C\"", "")
            .replace(STORAGE, ""),
        _ => tables + COMMENTS,
    }
}

/// A counter is rewritten with each count: room on its page lets PostgreSQL do that in place, and it
/// is cleaned up by the number of its dead versions rather than by the size of the table.
const STORAGE: &str = " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)";

const COUNTERS: &str = "
    CREATE TABLE entitlement_usage_counters (
        tenant_id uuid NOT NULL,
        meter varchar(50) COLLATE \"C\" NOT NULL CHECK (meter <> ''),
        period varchar(7) COLLATE \"C\" NOT NULL,
        used bigint NOT NULL CHECK (used >= 0),
        held bigint NOT NULL CHECK (held >= 0),
        PRIMARY KEY (tenant_id, meter, period)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);";

const KEYS: &str = "
    CREATE TABLE entitlement_usage_keys (
        tenant_id uuid NOT NULL,
        meter varchar(50) COLLATE \"C\" NOT NULL,
        key varchar(128) COLLATE \"C\" NOT NULL CHECK (key <> ''),
        period varchar(7) COLLATE \"C\" NOT NULL,
        module_code varchar(50) NOT NULL DEFAULT '',
        asked bigint NOT NULL CHECK (asked > 0),
        amount bigint NOT NULL CHECK (amount > 0),
        state varchar(8) NOT NULL CHECK (state IN ('counted', 'held', 'released')),
        changed_at timestamptz NOT NULL,
        expires_at timestamptz,
        PRIMARY KEY (tenant_id, meter, key),
        CHECK ((state = 'held') = (expires_at IS NOT NULL))
    );";

/// For holds that run out, and for what is forgotten in time.
const INDEXES: &str = "
    CREATE INDEX entitlement_usage_keys_held ON entitlement_usage_keys (tenant_id, meter, expires_at) WHERE state = 'held';
    CREATE INDEX entitlement_usage_keys_monthly ON entitlement_usage_keys (period) WHERE period <> '';
    CREATE INDEX entitlement_usage_keys_released ON entitlement_usage_keys (changed_at) WHERE state = 'released';";

const COMMENTS: &str = "
    COMMENT ON TABLE entitlement_usage_counters IS
        'How much of each limit is used: used is the sum of the counted keys of the same tenant, meter and period, held that of those that are held. period: empty for a level, 2026-11 for a month in the servers'' time zone.';
    COMMENT ON TABLE entitlement_usage_keys IS
        'What was counted, each thing once under its own name: an order, a user. held: returns by itself at expires_at.';";
