//! Step 12: usage over time: sums by quarter hour and by day, leases, producers, and what the ERP's own
//! transactions count.

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
        connection.execute_unprepared(&steps(connection.get_database_backend())).await.map(drop)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

fn steps(backend: DbBackend) -> String {
    let common = [KEYS, SUMS, PRODUCERS].concat();
    match backend {
        DbBackend::Sqlite => common
            .replace(
                "tenant_id uuid NOT NULL",
                "tenant_id BLOB NOT NULL CHECK (typeof(tenant_id) = 'blob' AND length(tenant_id) = 16)",
            )
            .replace("producer_id uuid", "producer_id BLOB")
            // Micros since 1970.
            .replace("timestamptz NOT NULL DEFAULT 'epoch'", "INTEGER NOT NULL DEFAULT 0")
            .replace("timestamptz", "INTEGER")
            .replace("bigint", "INTEGER")
            .replace(" COLLATE \"C\"", "")
            .replace(" WITH (fillfactor = 70)", ""),
        _ => {
            let find = with_limits(&FIND.replace("{LOCK}", LOCK), "a.meter");
            let write = WRITE.replace("{ADD_TO_SUMS}", ADD_TO_SUMS);
            let functions = [find, write, with_limits(TAKE, "of_meter")].concat();
            [&common, COMMENTS, LOG, &functions.replace("{SETTINGS}", SETTINGS)].concat()
        }
    }
}

/// A function with what is said about the limit of this meter, and by which rows: whoever expects something
/// compares it with what was found, so that both must be written alike.
fn with_limits(function: &str, meter: &str) -> String {
    let function = function.replace("{LIMIT_SAID}", LIMIT_SAID).replace("{LIMIT_ROWS}", LIMIT_ROWS);
    function.replace("{METER}", meter)
}

/// What of a key is counted by now, and when it was used, by which it is summed up. What was counted
/// before this step is summed up on the first of its month.
const KEYS: &str = "
    ALTER TABLE entitlement_usage_keys ADD COLUMN used bigint NOT NULL DEFAULT 0;
    ALTER TABLE entitlement_usage_keys ADD COLUMN used_at timestamptz NOT NULL DEFAULT 'epoch';
    ALTER TABLE entitlement_usage_keys ADD COLUMN day varchar(10) COLLATE \"C\" NOT NULL DEFAULT '';
    ALTER TABLE entitlement_usage_keys ADD COLUMN corrects varchar(128) COLLATE \"C\" NOT NULL DEFAULT '';
    ALTER TABLE entitlement_usage_keys ADD COLUMN lease varchar(8) NOT NULL DEFAULT '' CHECK (lease IN ('', 'spent', 'returned', 'settled'));
    ALTER TABLE entitlement_usage_keys ADD COLUMN holder varchar(128) NOT NULL DEFAULT '';
    UPDATE entitlement_usage_keys SET used_at = changed_at,
        used = CASE state WHEN 'counted' THEN amount ELSE 0 END,
        day = CASE period WHEN '' THEN '' ELSE period || '-01' END;";

const SUMS: &str = "
    CREATE TABLE entitlement_usage_quarters (
        tenant_id uuid NOT NULL,
        meter varchar(50) COLLATE \"C\" NOT NULL,
        quarter timestamptz NOT NULL,
        module_code varchar(50) COLLATE \"C\" NOT NULL,
        amount bigint NOT NULL,
        events bigint NOT NULL,
        late bigint NOT NULL,
        recorded_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, meter, quarter, module_code)
    ) WITH (fillfactor = 70);
    CREATE INDEX entitlement_usage_quarters_old ON entitlement_usage_quarters (quarter);
    CREATE TABLE entitlement_usage_days (
        tenant_id uuid NOT NULL,
        meter varchar(50) COLLATE \"C\" NOT NULL,
        day varchar(10) COLLATE \"C\" NOT NULL,
        module_code varchar(50) COLLATE \"C\" NOT NULL,
        amount bigint NOT NULL,
        events bigint NOT NULL,
        late bigint NOT NULL,
        without_key bigint NOT NULL,
        recorded_at timestamptz NOT NULL,
        is_reported boolean NOT NULL DEFAULT false,
        PRIMARY KEY (tenant_id, meter, day, module_code)
    ) WITH (fillfactor = 70);
    CREATE INDEX entitlement_usage_days_unreported ON entitlement_usage_days (tenant_id, meter, day, module_code) WHERE NOT is_reported;
    INSERT INTO entitlement_usage_days (tenant_id, meter, day, module_code, amount, events, late, without_key, recorded_at)
    SELECT tenant_id, meter, day, module_code, CAST(SUM(used) AS bigint), COUNT(*), 0, 0, MAX(changed_at)
    FROM entitlement_usage_keys WHERE state = 'counted' AND period <> '' GROUP BY tenant_id, meter, day, module_code;";

const PRODUCERS: &str = "
    CREATE TABLE entitlement_usage_producers (
        producer_id uuid PRIMARY KEY,
        sequence bigint NOT NULL,
        seen_at timestamptz NOT NULL
    );
    CREATE INDEX entitlement_usage_producers_old ON entitlement_usage_producers (seen_at);
    CREATE TABLE entitlement_usage_nights (
        meter varchar(50) PRIMARY KEY,
        day varchar(10) NOT NULL
    );";

const COMMENTS: &str = "
    COMMENT ON COLUMN entitlement_usage_keys.used IS
        'How much of it is counted as used: the amount less what was corrected; of a lease what is spent.';
    COMMENT ON TABLE entitlement_usage_quarters IS
        'What was used of each monthly meter in each quarter of an hour. Kept for 90 days.';
    COMMENT ON TABLE entitlement_usage_days IS
        'What was used of each monthly meter on each day of the servers'' time zone: the days of a month come to its counter. late: recorded more than an hour after it was used. without_key: by the sequence of a producer. is_reported: usage_metrics has it.';
    COMMENT ON TABLE entitlement_usage_producers IS
        'The last message that was counted of each process that adds up by itself. Forgotten after 35 days.';
    COMMENT ON TABLE entitlement_usage_nights IS
        'The last night for which a server has put a level right from the tenants'' own tables.';";

/// What the ERP's own transactions count: rows are only added, so that no transaction waits for another. They
/// are counted under their keys within a second, and then deleted.
const LOG: &str = "
    CREATE TABLE entitlement_usage_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant_id uuid NOT NULL,
        meter varchar(50) NOT NULL CHECK (meter <> ''),
        key varchar(128) NOT NULL CHECK (key <> ''),
        amount bigint NOT NULL CHECK (amount > 0),
        module_code varchar(50) NOT NULL,
        used_at timestamptz NOT NULL,
        refused varchar(20)
    );
    CREATE INDEX entitlement_usage_log_waiting ON entitlement_usage_log (id) WHERE refused IS NULL;
    COMMENT ON TABLE entitlement_usage_log IS
        'What entitlement_count has written and is not counted yet. refused: why it cannot be.';
    CREATE FUNCTION entitlement_count(tenant uuid, meter text, key text, amount bigint DEFAULT 1, module_code text DEFAULT '')
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    BEGIN
        IF tenant IS NULL OR COALESCE(meter, '') = '' OR length(meter) > 50 THEN
            RAISE EXCEPTION 'entitlement_count: a tenant and a meter must be given' USING ERRCODE = 'invalid_parameter_value';
        ELSIF key IS NULL OR key !~ '^[!-~]{1,128}$' THEN
            RAISE EXCEPTION 'entitlement_count: the key must be 1 to 128 printable ASCII characters, without blanks'
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF amount IS NULL OR amount < 1 OR amount > 1000000000000 THEN
            RAISE EXCEPTION 'entitlement_count: the amount must be 1 to 1000000000000' USING ERRCODE = 'invalid_parameter_value';
        ELSIF length(module_code) > 50 THEN
            RAISE EXCEPTION 'entitlement_count: the module code is too long' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        INSERT INTO public.entitlement_usage_log (tenant_id, meter, key, amount, module_code, used_at)
        VALUES (tenant, meter, key, amount, COALESCE(module_code, ''), clock_timestamp());
    END
    $function$;
    COMMENT ON FUNCTION entitlement_count(uuid, text, text, bigint, text) IS
        'Counts so much of a meter under a key, with the transaction that calls it: once if it commits, and not at all if it rolls back. Refuses nothing for a limit.';";

/// The settings of the functions that count. Their statements are planned once a session, which is most of what
/// they cost otherwise. What is planned while a table is empty must be right when it is large: by its indexes.
pub(crate) const SETTINGS: &str = "SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off";

/// What those say who have a say about the limit of a meter.
const LIMIT_SAID: &str = "p.id IS NOT NULL, o.key IS NOT NULL, o.value,
                CASE WHEN o.ends_at IS NOT NULL THEN (EXTRACT(epoch FROM LEAST(GREATEST(o.ends_at,
                    TIMESTAMPTZ '0001-01-01 00:00:00+00'), TIMESTAMPTZ '9999-12-31 23:59:59+00')) * 1000000)::bigint END,
                kl.key IS NOT NULL, kl.value,
                CASE {METER} WHEN 'users' THEN p.max_users::bigint
                             WHEN 'transactions_monthly' THEN p.max_transactions_monthly::bigint
                             ELSE (SELECT l.value FROM entitlement_plan_limits l WHERE l.plan_id = p.id AND l.key = {METER}) END";

/// Their rows.
const LIMIT_ROWS: &str = "tenants t
            LEFT JOIN plans p ON p.id = t.plan_id AND p.slug IS NOT NULL
            LEFT JOIN entitlement_limit_overrides o ON o.tenant_id = t.id AND o.key = {METER}
            LEFT JOIN entitlement_kept_limits kl ON kl.tenant_id = t.id AND kl.plan_id = p.id AND kl.key = {METER}";

/// The statement of [`FIND`] that locks, up to what becomes of rows that somebody else has locked.
const LOCK: &str = "SELECT json_agg(json_build_array(a.tenant_id, a.meter)) INTO locked
                FROM unnest(asked_tenants, asked_meters) a (tenant_id, meter)
                CROSS JOIN LATERAL (SELECT FROM entitlement_usage_counters c
                                    WHERE c.tenant_id = a.tenant_id AND c.meter = a.meter AND c.period = ''
                                    FOR NO KEY UPDATE";

/// Locks meters, and reads under these locks what a decision needs: the counters of these requests and of the
/// periods that their keys were taken from, what is said about the limits, the keys, and what has run out. It
/// decides nothing. One call is one message, also behind a pooler of transactions.
///
/// A meter is locked by its counter of no period. The first two lists name each meter once, in order; the other four
/// say of each request its tenant, meter, period and key.
///
/// What is LATERAL, with OFFSET 0, is no join that could go the other way round, through a table that is large by
/// then. What has run out is found in order, without a sort, so that it is found by the index of what is held, and not
/// among all keys of a meter.
const FIND: &str = "
    DROP FUNCTION entitlement_usage_find(json, json, boolean, timestamptz);
    CREATE FUNCTION entitlement_usage_find(
        asked_tenants uuid[], asked_meters text[],
        tenant_ids uuid[], meters text[], periods text[], names text[], skip_locked boolean, at timestamptz)
    RETURNS json LANGUAGE plpgsql {SETTINGS} AS $function$
    #variable_conflict use_column
    DECLARE
        locked json; found_counters json; found_limits json; found_keys json;
    BEGIN
        FOR attempt IN 1..2 LOOP
            -- In the order of the list: who wants the same ones at the same time waits for the first, and holds
            -- none that the other wants.
            IF skip_locked THEN
                {LOCK} SKIP LOCKED) l;
            ELSE
                {LOCK}) l;
            END IF;
            EXIT WHEN json_array_length(locked) = cardinality(asked_tenants) OR attempt = 2;

            INSERT INTO entitlement_usage_counters (tenant_id, meter, period, used, held)
            SELECT a.tenant_id, a.meter, '', 0, 0
            FROM unnest(asked_tenants, asked_meters) a (tenant_id, meter)
            WHERE NOT EXISTS (SELECT FROM entitlement_usage_counters c
                              WHERE c.tenant_id = a.tenant_id AND c.meter = a.meter AND c.period = '')
              AND EXISTS (SELECT FROM tenants t WHERE t.id = a.tenant_id)
            ORDER BY 1, 2
            ON CONFLICT DO NOTHING;
        END LOOP;

        -- It sees what is committed by now, after the locks.
        WITH asked AS MATERIALIZED (SELECT * FROM unnest(asked_tenants, asked_meters) a (tenant_id, meter)),
        found AS MATERIALIZED (
            SELECT k.* FROM unnest(tenant_ids, meters, names) n (tenant_id, meter, key)
            CROSS JOIN LATERAL (SELECT k.* FROM entitlement_usage_keys k
                                WHERE k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key OFFSET 0) k
            UNION ALL
            SELECT h.* FROM asked a CROSS JOIN LATERAL (
                SELECT k.* FROM entitlement_usage_keys k
                WHERE k.tenant_id = a.tenant_id AND k.meter = a.meter AND k.state = 'held' AND k.expires_at <= at
                ORDER BY k.expires_at LIMIT 2000) h),
        wanted AS (
            SELECT tenant_id, meter, period FROM unnest(tenant_ids, meters, periods) a (tenant_id, meter, period)
            UNION SELECT tenant_id, meter, period FROM found)
        SELECT
            (SELECT json_agg(json_build_array(w.tenant_id, w.meter, w.period, c.used, c.held))
             FROM wanted w CROSS JOIN LATERAL (
                SELECT c.used, c.held FROM entitlement_usage_counters c
                WHERE c.tenant_id = w.tenant_id AND c.meter = w.meter AND c.period = w.period OFFSET 0) c),
            (SELECT json_agg(l.said) FROM asked a CROSS JOIN LATERAL (SELECT json_build_array(
                a.tenant_id, a.meter, {LIMIT_SAID}) AS said
             FROM {LIMIT_ROWS}
             WHERE t.id = a.tenant_id OFFSET 0) l),
            (SELECT json_agg(json_build_array(
                k.tenant_id, k.meter, k.key, k.period, k.module_code, k.asked, k.amount, k.state,
                (EXTRACT(epoch FROM k.expires_at) * 1000000)::bigint, k.used,
                (EXTRACT(epoch FROM k.used_at) * 1000000)::bigint, k.day, k.corrects, k.lease, k.holder))
             FROM found k)
        INTO found_counters, found_limits, found_keys;

        RETURN json_build_array(locked, found_counters, found_limits, found_keys);
    END
    $function$;";

/// Adds to the sums, in the order of their keys.
pub(crate) const ADD_TO_SUMS: &str = "IF sum_tenants <> '{}' THEN
            INSERT INTO entitlement_usage_quarters AS q (tenant_id, meter, quarter, module_code, amount, events, late, recorded_at)
            SELECT s.tenant_id, s.meter, TIMESTAMPTZ 'epoch' + s.quarter * INTERVAL '1 microsecond', s.module_code,
                   sum(s.amount), sum(s.events), sum(s.late), at
            FROM unnest(sum_tenants, sum_meters, sum_modules, sum_quarters, sum_amounts, sum_events, sum_late)
                 s (tenant_id, meter, module_code, quarter, amount, events, late)
            GROUP BY s.tenant_id, s.meter, s.quarter, s.module_code
            ON CONFLICT (tenant_id, meter, quarter, module_code) DO UPDATE
            SET amount = q.amount + excluded.amount, events = q.events + excluded.events,
                late = q.late + excluded.late, recorded_at = excluded.recorded_at;

            INSERT INTO entitlement_usage_days AS d (tenant_id, meter, day, module_code, amount, events, late, without_key, recorded_at)
            SELECT s.tenant_id, s.meter, s.day, s.module_code, sum(s.amount), sum(s.events), sum(s.late), sum(s.without_key), at
            FROM unnest(sum_tenants, sum_meters, sum_modules, sum_days, sum_amounts, sum_events, sum_late, sum_without_key)
                 s (tenant_id, meter, module_code, day, amount, events, late, without_key)
            GROUP BY s.tenant_id, s.meter, s.day, s.module_code
            ON CONFLICT (tenant_id, meter, day, module_code) DO UPDATE
            SET amount = d.amount + excluded.amount, events = d.events + excluded.events, late = d.late + excluded.late,
                without_key = d.without_key + excluded.without_key, recorded_at = excluded.recorded_at, is_reported = false;
        END IF;";

/// Writes what was decided: keys, counters, and what is added to sums, whose rows come in order. It is to be
/// called by the transaction that holds the locks.
const WRITE: &str = "
    DROP FUNCTION entitlement_usage_write(json, json, timestamptz);
    CREATE FUNCTION entitlement_usage_write(
        key_tenants uuid[], key_meters text[], key_names text[], key_periods text[], key_modules text[], key_asked bigint[],
        key_amounts bigint[], key_states text[], key_untils bigint[], key_used bigint[], key_used_at bigint[], key_days text[],
        key_corrects text[], key_leases text[], key_holders text[],
        counter_tenants uuid[], counter_meters text[], counter_periods text[], counter_used bigint[], counter_held bigint[],
        sum_tenants uuid[], sum_meters text[], sum_modules text[], sum_quarters bigint[], sum_days text[],
        sum_amounts bigint[], sum_events bigint[], sum_late bigint[], sum_without_key bigint[],
        at timestamptz)
    RETURNS void LANGUAGE plpgsql {SETTINGS} AS $function$
    #variable_conflict use_column
    BEGIN
        INSERT INTO entitlement_usage_keys
            (tenant_id, meter, key, period, module_code, asked, amount, state, changed_at, expires_at, used, used_at, day, corrects, lease, holder)
        SELECT n.tenant_id, n.meter, n.key, n.period, n.module_code, n.asked, n.amount, n.state, at,
               TIMESTAMPTZ 'epoch' + n.until * INTERVAL '1 microsecond', n.used,
               TIMESTAMPTZ 'epoch' + n.used_at * INTERVAL '1 microsecond', n.day, n.corrects, n.lease, n.holder
        FROM unnest(key_tenants, key_meters, key_names, key_periods, key_modules, key_asked, key_amounts, key_states, key_untils,
                    key_used, key_used_at, key_days, key_corrects, key_leases, key_holders)
             n (tenant_id, meter, key, period, module_code, asked, amount, state, until, used, used_at, day, corrects, lease, holder)
        ON CONFLICT (tenant_id, meter, key) DO UPDATE
        SET period = excluded.period, module_code = excluded.module_code, asked = excluded.asked,
            amount = excluded.amount, state = excluded.state, changed_at = excluded.changed_at,
            expires_at = excluded.expires_at, used = excluded.used, used_at = excluded.used_at, day = excluded.day,
            corrects = excluded.corrects, lease = excluded.lease, holder = excluded.holder;

        INSERT INTO entitlement_usage_counters (tenant_id, meter, period, used, held)
        SELECT * FROM unnest(counter_tenants, counter_meters, counter_periods, counter_used, counter_held)
        ON CONFLICT (tenant_id, meter, period) DO UPDATE SET used = excluded.used, held = excluded.held;

        {ADD_TO_SUMS}
    END
    $function$;";

/// Takes so much under a key, if all is as expected: the limit is said to be the same, the key is new, nothing
/// has run out, and no more than `most` is taken afterwards. Null: it is not, or somebody else has locked the meter,
/// and nothing was done. It decides nothing: what is expected has been decided on.
const TAKE: &str = "
    CREATE FUNCTION entitlement_usage_take(
        of_tenant uuid, of_meter text, of_key text, this_period text, module text, taken bigint, new_state text, until bigint,
        micros bigint, this_day text, this_quarter bigint, most bigint, said text, at timestamptz)
    RETURNS json LANGUAGE plpgsql {SETTINGS} AS $function$
    #variable_conflict use_column
    DECLARE
        after json;
    BEGIN
        PERFORM FROM entitlement_usage_counters c
        WHERE c.tenant_id = of_tenant AND c.meter = of_meter AND c.period = '' FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;

        -- It sees what is committed by now, after the lock.
        WITH fits AS MATERIALIZED (
            SELECT FROM {LIMIT_ROWS}
            LEFT JOIN entitlement_usage_counters c ON c.tenant_id = t.id AND c.meter = of_meter AND c.period = this_period
            WHERE t.id = of_tenant AND COALESCE(c.used, 0) + COALESCE(c.held, 0) <= most - taken
              AND said = json_build_array(
                {LIMIT_SAID})::text
              AND NOT EXISTS (SELECT FROM entitlement_usage_keys k
                              WHERE k.tenant_id = of_tenant AND k.meter = of_meter AND k.key = of_key)
              AND COALESCE((SELECT k.expires_at > at FROM entitlement_usage_keys k
                            WHERE k.tenant_id = of_tenant AND k.meter = of_meter AND k.state = 'held'
                            ORDER BY k.expires_at LIMIT 1), true)),
        keyed AS (
            INSERT INTO entitlement_usage_keys
                (tenant_id, meter, key, period, module_code, asked, amount, state, changed_at, expires_at, used, used_at, day)
            SELECT of_tenant, of_meter, of_key, this_period, module, taken, taken, new_state, at,
                   TIMESTAMPTZ 'epoch' + until * INTERVAL '1 microsecond', CASE new_state WHEN 'held' THEN 0 ELSE taken END,
                   TIMESTAMPTZ 'epoch' + micros * INTERVAL '1 microsecond', this_day
            FROM fits),
        quartered AS (
            INSERT INTO entitlement_usage_quarters AS q (tenant_id, meter, quarter, module_code, amount, events, late, recorded_at)
            SELECT of_tenant, of_meter, TIMESTAMPTZ 'epoch' + this_quarter * INTERVAL '1 microsecond', module, taken, 1, 0, at
            FROM fits WHERE this_day <> '' AND new_state <> 'held'
            ON CONFLICT (tenant_id, meter, quarter, module_code) DO UPDATE
            SET amount = q.amount + excluded.amount, events = q.events + 1, recorded_at = excluded.recorded_at),
        dayed AS (
            INSERT INTO entitlement_usage_days AS d (tenant_id, meter, day, module_code, amount, events, late, without_key, recorded_at)
            SELECT of_tenant, of_meter, this_day, module, taken, 1, 0, 0, at
            FROM fits WHERE this_day <> '' AND new_state <> 'held'
            ON CONFLICT (tenant_id, meter, day, module_code) DO UPDATE
            SET amount = d.amount + excluded.amount, events = d.events + 1, recorded_at = excluded.recorded_at,
                is_reported = false),
        counted AS (
            INSERT INTO entitlement_usage_counters AS c (tenant_id, meter, period, used, held)
            SELECT of_tenant, of_meter, this_period, CASE new_state WHEN 'held' THEN 0 ELSE taken END,
                   CASE new_state WHEN 'held' THEN taken ELSE 0 END FROM fits
            ON CONFLICT (tenant_id, meter, period) DO UPDATE SET used = c.used + excluded.used, held = c.held + excluded.held
            RETURNING c.used, c.held)
        SELECT json_build_array(counted.used, counted.held) INTO after FROM counted;
        RETURN after;
    END
    $function$;";
