//! Step 14: what was used and is all new is written down by one call.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::m20261130_000012_usage_over_time::{ADD_TO_SUMS, SETTINGS};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if connection.get_database_backend() == DbBackend::Sqlite {
            return Ok(());
        }
        let record = RECORD.replace("{SETTINGS}", SETTINGS).replace("{ADD_TO_SUMS}", ADD_TO_SUMS);
        connection.execute_unprepared(&record).await.map(drop)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

/// Counts so much under keys, if all of them are new, their tenants are there and their meters have been counted with
/// before; the lists are in order. False: it is not so, or somebody else has locked a meter, and nothing was done.
///
/// The keys come first, which is most of the work, and the locks last: who counts with the same meters at the same time
/// waits for the commit only. Nobody else can have read that a key is not there and count it as well: whoever reads
/// keys holds the lock, writes them under it, and then waits for this transaction or is waited for. In that case this
/// one gives way, for it waits for less time than it takes to find out who waits for whom.
const RECORD: &str = "
    CREATE FUNCTION entitlement_usage_record(
        key_tenants uuid[], key_meters text[], key_names text[], key_periods text[], key_modules text[], key_amounts bigint[],
        key_used_at bigint[], key_days text[],
        counter_tenants uuid[], counter_meters text[], counter_periods text[], counter_used bigint[],
        sum_tenants uuid[], sum_meters text[], sum_modules text[], sum_quarters bigint[], sum_days text[],
        sum_amounts bigint[], sum_events bigint[], sum_late bigint[], sum_without_key bigint[],
        at timestamptz)
    RETURNS boolean LANGUAGE plpgsql {SETTINGS} AS $function$
    #variable_conflict use_column
    DECLARE
        keys_are_new boolean; meters_are_there boolean; counted bigint;
    BEGIN
        INSERT INTO entitlement_usage_keys
            (tenant_id, meter, key, period, module_code, asked, amount, state, changed_at, used, used_at, day)
        SELECT n.tenant_id, n.meter, n.key, n.period, n.module_code, n.amount, n.amount, 'counted', at, n.amount,
               TIMESTAMPTZ 'epoch' + n.used_at * INTERVAL '1 microsecond', n.day
        FROM unnest(key_tenants, key_meters, key_names, key_periods, key_modules, key_amounts, key_used_at, key_days)
             n (tenant_id, meter, key, period, module_code, amount, used_at, day)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS counted = ROW_COUNT;
        keys_are_new := counted = cardinality(key_names);

        SELECT count(*) = cardinality(counter_tenants) INTO meters_are_there
        FROM unnest(counter_tenants, counter_meters) a (tenant_id, meter)
        CROSS JOIN LATERAL (SELECT FROM entitlement_usage_counters c JOIN tenants t ON t.id = c.tenant_id
                            WHERE c.tenant_id = a.tenant_id AND c.meter = a.meter AND c.period = '' AND keys_are_new
                            FOR NO KEY UPDATE OF c) l;
        IF NOT (keys_are_new AND meters_are_there) THEN
            RAISE EXCEPTION USING ERRCODE = 'UE001';
        END IF;

        WITH counters AS (
            INSERT INTO entitlement_usage_counters AS c (tenant_id, meter, period, used, held)
            SELECT n.tenant_id, n.meter, n.period, n.used, 0
            FROM unnest(counter_tenants, counter_meters, counter_periods, counter_used) n (tenant_id, meter, period, used)
            ON CONFLICT (tenant_id, meter, period) DO UPDATE SET used = c.used + excluded.used
            RETURNING c.used + c.held AS taken)
        SELECT count(taken) INTO counted FROM counters;

        {ADD_TO_SUMS}
        RETURN true;
    EXCEPTION WHEN SQLSTATE 'UE001' OR lock_not_available OR deadlock_detected OR numeric_value_out_of_range THEN
        RETURN false;
    END
    $function$;";
