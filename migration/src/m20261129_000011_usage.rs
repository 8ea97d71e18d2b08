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
        _ => [&tables, COMMENTS, &FIND.replace("{LOCK}", LOCK), WRITE].concat(),
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

/// Locks counters, and reads under these locks what a decision needs: the counters of these requests
/// and of the periods that their keys were taken from, what is said about the limits, the keys, and holds
/// that have run out. It decides nothing. One call is one message, whose statements are planned once a session,
/// also behind a pooler of transactions. What is planned while a table is empty must be right when it is large: by
/// its indexes.
const FIND: &str = "
    CREATE FUNCTION entitlement_usage_find(asked json, named json, skip_locked boolean, at timestamptz)
    RETURNS json LANGUAGE plpgsql SET search_path = public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $function$
    #variable_conflict use_column
    DECLARE
        found_counters json; found_limits json; found_keys json; found_holds json;
    BEGIN
        -- In order: who makes the same ones at the same time waits for the first, and holds none that
        -- the other wants.
        INSERT INTO entitlement_usage_counters (tenant_id, meter, period, used, held)
        SELECT DISTINCT a.tenant_id, a.meter, a.period, 0, 0
        FROM json_to_recordset(asked) a (tenant_id uuid, meter text COLLATE \"C\", period text COLLATE \"C\")
        JOIN tenants t ON t.id = a.tenant_id
        WHERE NOT EXISTS (SELECT FROM entitlement_usage_counters c
                          WHERE c.tenant_id = a.tenant_id AND c.meter = a.meter AND c.period = a.period)
        ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING;

        IF skip_locked THEN
            {LOCK} SKIP LOCKED) l;
        ELSE
            {LOCK}) l;
        END IF;

        -- Each statement sees what is committed by now: the limits after the locks.
        SELECT json_agg(json_build_array(
            a.tenant_id, a.meter, p.id IS NOT NULL, o.key IS NOT NULL, o.value,
            CASE WHEN o.ends_at IS NOT NULL THEN (EXTRACT(epoch FROM LEAST(GREATEST(o.ends_at,
                TIMESTAMPTZ '0001-01-01 00:00:00+00'), TIMESTAMPTZ '9999-12-31 23:59:59+00')) * 1000000)::bigint END,
            kl.key IS NOT NULL, kl.value,
            CASE a.meter WHEN 'users' THEN p.max_users::bigint
                         WHEN 'transactions_monthly' THEN p.max_transactions_monthly::bigint
                         ELSE (SELECT l.value FROM entitlement_plan_limits l WHERE l.plan_id = p.id AND l.key = a.meter) END))
        INTO found_limits
        FROM (SELECT DISTINCT tenant_id, meter FROM json_to_recordset(asked) a (tenant_id uuid, meter text)) a
        JOIN tenants t ON t.id = a.tenant_id
        LEFT JOIN plans p ON p.id = t.plan_id AND p.slug IS NOT NULL
        LEFT JOIN entitlement_limit_overrides o ON o.tenant_id = t.id AND o.key = a.meter
        LEFT JOIN entitlement_kept_limits kl ON kl.tenant_id = t.id AND kl.plan_id = p.id AND kl.key = a.meter;

        SELECT json_agg(json_build_array(k.tenant_id, k.meter, k.key, k.period, k.module_code, k.asked, k.amount, k.state,
                                         (EXTRACT(epoch FROM k.expires_at) * 1000000)::bigint))
        INTO found_keys
        FROM json_to_recordset(named) n (tenant_id uuid, meter text COLLATE \"C\", key text COLLATE \"C\")
        JOIN entitlement_usage_keys k ON k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key;

        SELECT json_agg(json_build_array(h.tenant_id, h.meter, h.key, h.period, h.module_code, h.asked, h.amount, h.state,
                                         (EXTRACT(epoch FROM h.expires_at) * 1000000)::bigint))
        INTO found_holds FROM (
            SELECT k.* FROM json_to_recordset(asked) a (tenant_id uuid, meter text COLLATE \"C\", period text COLLATE \"C\")
            CROSS JOIN LATERAL (
                SELECT k.* FROM entitlement_usage_keys k
                WHERE k.tenant_id = a.tenant_id AND k.meter = a.meter AND k.period = a.period
                  AND k.state = 'held' AND k.expires_at <= at
                LIMIT 2000) k) h;

        RETURN json_build_array(found_counters, found_limits, found_keys, found_holds);
    END
    $function$;";

/// The statement of [`FIND`] that locks, up to what becomes of rows that somebody else has locked.
const LOCK: &str = "SELECT json_agg(json_build_array(l.tenant_id, l.meter, l.period, l.used, l.held)) INTO found_counters FROM (
                SELECT c.* FROM (
                    SELECT a.tenant_id, a.meter, a.period
                    FROM json_to_recordset(asked) a (tenant_id uuid, meter text COLLATE \"C\", period text COLLATE \"C\")
                    UNION SELECT k.tenant_id, k.meter, k.period
                    FROM json_to_recordset(named) n (tenant_id uuid, meter text COLLATE \"C\", key text COLLATE \"C\")
                    JOIN entitlement_usage_keys k ON k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key
                    WHERE k.state <> 'released') w
                JOIN entitlement_usage_counters c ON c.tenant_id = w.tenant_id AND c.meter = w.meter AND c.period = w.period
                ORDER BY c.tenant_id, c.meter, c.period FOR NO KEY UPDATE OF c";

/// Writes what was decided. It is to be called by the transaction that holds the locks.
const WRITE: &str = "
    CREATE FUNCTION entitlement_usage_write(new_keys json, new_counters json, at timestamptz)
    RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $function$
    #variable_conflict use_column
    BEGIN
        INSERT INTO entitlement_usage_keys
            (tenant_id, meter, key, period, module_code, asked, amount, state, changed_at, expires_at)
        SELECT n.tenant_id, n.meter, n.key, n.period, n.module_code, n.asked, n.amount, n.state, at,
               TIMESTAMPTZ 'epoch' + n.until * INTERVAL '1 microsecond'
        FROM json_to_recordset(new_keys) n (tenant_id uuid, meter text, key text, period text, module_code text,
                                            asked bigint, amount bigint, state text, until bigint)
        ON CONFLICT (tenant_id, meter, key) DO UPDATE
        SET period = excluded.period, module_code = excluded.module_code, asked = excluded.asked,
            amount = excluded.amount, state = excluded.state, changed_at = excluded.changed_at,
            expires_at = excluded.expires_at;

        UPDATE entitlement_usage_counters c SET used = n.used, held = n.held
        FROM json_to_recordset(new_counters) n (tenant_id uuid, meter text, period text, used bigint, held bigint)
        WHERE c.tenant_id = n.tenant_id AND c.meter = n.meter AND c.period = n.period;
    END
    $function$;";
