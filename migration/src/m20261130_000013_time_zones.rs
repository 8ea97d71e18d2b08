//! Step 13: the time zones in which single tenants' months are counted.

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
        connection.execute_unprepared(&table(connection.get_database_backend())).await?;
        changes::replace_functions(manager).await?;
        changes::watch_own_tables(manager, &["entitlement_time_zones"]).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

/// It has no foreign key to a table of the ERP's, as none of ours.
fn table(backend: DbBackend) -> String {
    let (id, is_month, comments) = match backend {
        DbBackend::Sqlite => (
            "BLOB NOT NULL CHECK (typeof(tenant_id) = 'blob' AND length(tenant_id) = 16)",
            "from_month GLOB '[0-9][0-9][0-9][0-9]-0[1-9]' OR from_month GLOB '[0-9][0-9][0-9][0-9]-1[0-2]'",
            "",
        ),
        _ => ("uuid NOT NULL", "from_month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'", COMMENTS),
    };
    format!(
        "CREATE TABLE entitlement_time_zones (
            tenant_id {id},
            from_month char(7) NOT NULL CHECK ({is_month}),
            zone varchar(64) NOT NULL,
            PRIMARY KEY (tenant_id, from_month)
        );{comments}"
    )
}

const COMMENTS: &str = "
    COMMENT ON TABLE entitlement_time_zones IS
        'In which time zone the months of single tenants are counted, from a month on: a name of the IANA database; empty: that of the servers. Without a row it is that of the servers. A month that has begun keeps the zone that it began in.';
    COMMENT ON TABLE entitlement_usage_counters IS
        'How much of each limit is used: used is the sum of the counted keys of the same tenant, meter and period, held that of those that are held. period: empty for a level, 2026-11 for a month in the tenant''s time zone.';
    COMMENT ON TABLE entitlement_usage_days IS
        'What was used of each monthly meter on each day of the tenant''s time zone: the days of a month come to its counter. late: recorded more than an hour after it was used. without_key: by the sequence of a producer. is_reported: usage_metrics has it.';";
