//! Folding the log, however old the oldest transaction is.
//!
//! It goes by snapshots, as [reading what is new](super::news) does: so it does not look at rows that
//! were folded before, and a transaction that never ends keeps no others' rows from being folded.

use super::{DEFINER, EVERYONE};

/// How long rows are kept: a program of an older version may not have read the log for half of this.
const KEPT: &str = "interval '1 hour'";
/// How long a step goes on taking rows. Its last batch comes on top.
const STEP: &str = "interval '20 milliseconds'";
/// The next batch is twice as large if one takes less than this.
const BATCH: &str = "interval '8 milliseconds'";
const FIRST_BATCH: u32 = 250;
/// A transaction of more rows than this is folded by tenant.
const LARGE: u32 = 50_000;
/// The rows that older programs fold by calling once every ten minutes.
const IN_ONE_CALL: u32 = 10_000;

/// Transactions from here on have not ended as far as the statement sees that asks: no row of this
/// cluster that it sees was written by one of them, but for those of its own transaction. Kept for a
/// later statement, which sees what was committed meanwhile, it would be wrong.
const UPCOMING: &str = "pg_snapshot_xmax(pg_current_snapshot())";

const LOG: &str = "to_regclass('public.entitlement_changes')::oid";

pub(super) fn tables() -> String {
    format!(
        "CREATE TABLE entitlement_horizons (
            seen_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
            snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot()
         );
         COMMENT ON TABLE entitlement_horizons IS
            'Which transactions had ended by then. Says which rows of entitlement_changes are old enough to fold.';
         {}",
        folding()
    )
}

fn folding() -> String {
    format!(
        "CREATE TABLE entitlement_folding (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            -- Another log, such as one that was restored, has other transactions.
            log oid NOT NULL,
            -- Whatever it shows has been folded. At first, nothing.
            folded pg_snapshot NOT NULL DEFAULT '1:1:',
            -- What it shows may have been folded.
            horizon pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
            -- The transaction that folding has come to between the two; NULL: nothing is being folded.
            reached xid8,
            -- How many rows of that one have been folded, and once they are many, up to which tenant.
            passed bigint NOT NULL DEFAULT 0,
            tenant uuid
         );
         COMMENT ON TABLE entitlement_folding IS
            'How far entitlement_changes has been folded: whoever last read it before horizon may have missed rows.';
         INSERT INTO entitlement_folding (log) VALUES ({LOG});"
    )
}

/// Brings the tables of older versions to the state of [`tables`], and makes the functions. What was seen so far is forgotten,
/// and folding begins in an hour.
pub(in crate::changes) fn upgrade() -> String {
    format!(
        "DELETE FROM entitlement_horizons;
         ALTER TABLE entitlement_horizons DROP COLUMN xid,
            ADD COLUMN snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
            ALTER COLUMN seen_at SET DEFAULT clock_timestamp();
         COMMENT ON TABLE entitlement_horizons IS
            'Which transactions had ended by then. Says which rows of entitlement_changes are old enough to fold.';
         {} {}",
        folding(),
        functions()
    )
}

pub(super) fn functions() -> String {
    format!("{} {}", step(), fold())
}

/// Folds old rows into a number per tenant, for as long as it may hold its locks: one process at a
/// time, each batch in one statement, so that no reader ever sees a row and its number together, or
/// neither. Gives how many; 0: nothing is left to fold; NULL: somebody else is folding. The turn is a
/// lock that nobody can take who has no right to the table: anybody could hold an advisory one for
/// ever.
///
/// Old is what a snapshot shows that was taken an hour ago: `changed_at` says when a row was written,
/// and a long transaction may have committed it only now. Rows of transactions that are yet to come
/// were written by another cluster, and restored here: they could hide a change of the transaction
/// that will have their number. Others that were restored lie below all that has been folded; then
/// everything is looked through once more.
///
/// Rows are taken in the order of transactions, from where the step before ended: what was deleted
/// there remains in the index for as long as an old transaction may want to see it. Those of a large
/// transaction are taken by tenant, since its own deleted rows would be passed again in each step.
fn step() -> String {
    let (take, begin, advance) = (take_batch(), begin_round(), advance());
    let restored = may_fold_restored();
    format!(
        "CREATE OR REPLACE FUNCTION entitlement_fold_step() RETURNS bigint LANGUAGE plpgsql {DEFINER}
         -- Whatever statistics say, rows are read by an index, and in its order. What these settings
         -- make of costs must not look worth compiling.
         SET enable_sort = off SET enable_seqscan = off SET jit = off AS $function$
         DECLARE
            began CONSTANT timestamptz := clock_timestamp();
            state public.entitlement_folding;
            sample public.entitlement_horizons;
            phase text;
            most bigint := {FIRST_BATCH};
            since timestamptz;
            taken bigint;
            deleted bigint;
            last xid8;
            last_tenant uuid;
            total bigint := 0;
            was_folding boolean;
         BEGIN
            BEGIN
                SELECT * INTO state FROM public.entitlement_folding FOR UPDATE NOWAIT;
                IF NOT FOUND OR state.log <> {LOG} OR pg_snapshot_xmax(state.horizon) > {UPCOMING} THEN
                    DELETE FROM public.entitlement_horizons;
                    INSERT INTO public.entitlement_folding (log) VALUES ({LOG})
                    ON CONFLICT (one) DO UPDATE SET log = excluded.log, folded = excluded.folded,
                                                    horizon = excluded.horizon, reached = NULL,
                                                    passed = 0, tenant = NULL
                    RETURNING * INTO state;
                END IF;
            EXCEPTION WHEN lock_not_available OR serialization_failure THEN
                RETURN NULL;
            END;
            -- A crash that undoes it does no harm, and no standby is waited for.
            PERFORM set_config('synchronous_commit', 'off', true);
            {begin}
            phase := CASE WHEN state.reached IS NULL THEN 'none' WHEN state.tenant IS NULL THEN 'round' ELSE 'one' END;
            {restored}
            was_folding := state.reached IS NOT NULL;
            LOOP
                since := clock_timestamp();
                {take}
                total := total + deleted;
                {advance}
                EXIT WHEN total > 0 AND clock_timestamp() - began > {STEP};
                IF clock_timestamp() - since < {BATCH} THEN
                    most := most * 2;
                END IF;
            END LOOP;
            UPDATE public.entitlement_folding
            SET folded = state.folded, horizon = state.horizon, reached = state.reached,
                passed = state.passed, tenant = state.tenant
            WHERE was_folding OR total > 0;
            RETURN total;
         END
         $function$;"
    )
}

/// Notes what has ended by now, and begins another round if what was noted is old enough. Notes that
/// are of another cluster, or from before the clock was set back, go.
fn begin_round() -> String {
    format!(
        "DELETE FROM public.entitlement_horizons
            WHERE pg_snapshot_xmax(snapshot) > {UPCOMING} OR seen_at > clock_timestamp();
            IF NOT EXISTS (SELECT FROM public.entitlement_horizons WHERE seen_at > clock_timestamp() - interval '1 minute') THEN
                INSERT INTO public.entitlement_horizons DEFAULT VALUES ON CONFLICT DO NOTHING;
            END IF;
            IF state.reached IS NULL THEN
                SELECT * INTO sample FROM public.entitlement_horizons
                WHERE seen_at <= clock_timestamp() - {KEPT}
                  AND pg_snapshot_xmax(snapshot) >= pg_snapshot_xmax(state.horizon)
                ORDER BY seen_at DESC LIMIT 1;
                IF FOUND THEN
                    DELETE FROM public.entitlement_horizons WHERE seen_at <= sample.seen_at;
                    IF EXISTS (SELECT FROM public.entitlement_changes WHERE xid < pg_snapshot_xmin(state.folded)) THEN
                        state.folded := '1:1:';
                    END IF;
                    state.horizon := sample.snapshot;
                    state.reached := '0';
                END IF;
            END IF;"
    )
}

/// Restored rows are folded while no writer is open, and none begins: one whose transaction has the
/// number of such a row has found that in the place of its own, and added none. Until it has ended,
/// that row is its own. A snapshot from before it ended, as of a transaction that is to see one state
/// of things, would not tell. Who cannot have the lock is asked again with the next step.
fn may_fold_restored() -> String {
    format!(
        "IF current_setting('transaction_isolation') = 'read committed'
               AND EXISTS (SELECT FROM public.entitlement_changes WHERE xid >= {UPCOMING} AND xid <> pg_current_xact_id()) THEN
                BEGIN
                    LOCK TABLE public.entitlement_changes IN SHARE MODE NOWAIT;
                    phase := 'restored';
                EXCEPTION WHEN lock_not_available THEN
                    NULL;
                END;
            END IF;"
    )
}

/// Folds one batch: rows of transactions that are yet to come; those of the round, which are those of
/// transactions that were late at the end of the round before, and of those since; or, by tenant, those
/// of the one that folding has come to.
fn take_batch() -> String {
    format!(
        "WITH old AS (
        (SELECT ctid AS place, xid, tenant_id FROM public.entitlement_changes
         WHERE phase = 'restored' AND xid >= {UPCOMING} AND xid <> pg_current_xact_id() LIMIT most)
        UNION ALL
        (SELECT ctid, xid, tenant_id FROM public.entitlement_changes
         WHERE phase = 'one' AND xid BETWEEN state.reached AND state.reached AND tenant_id >= state.tenant
         ORDER BY tenant_id LIMIT most)
        UNION ALL
        (SELECT * FROM (
            SELECT c.place, late.xid, c.tenant_id FROM pg_snapshot_xip(state.folded) late (xid),
                LATERAL (SELECT ctid AS place, tenant_id FROM public.entitlement_changes
                         WHERE xid BETWEEN late.xid AND late.xid OFFSET 0) c
            WHERE phase = 'round' AND late.xid >= state.reached AND pg_visible_in_snapshot(late.xid, state.horizon)
            UNION ALL
            (SELECT ctid, xid, tenant_id FROM public.entitlement_changes
             WHERE phase = 'round' AND xid >= GREATEST(state.reached, pg_snapshot_xmax(state.folded))
               AND xid < pg_snapshot_xmax(state.horizon) AND pg_visible_in_snapshot(xid, state.horizon)
             ORDER BY xid LIMIT most)) of_round LIMIT most)
     ), gone AS (
        DELETE FROM public.entitlement_changes WHERE ctid = ANY (ARRAY(SELECT place FROM old))
        RETURNING topic, tenant_id
     ), counted AS (
        INSERT INTO public.entitlement_folded_changes AS f (topic, tenant_id, changes)
        SELECT topic, tenant_id, count(*) FROM gone GROUP BY topic, tenant_id
        ON CONFLICT (tenant_id, topic) DO UPDATE SET changes = f.changes + excluded.changes
     )
     SELECT count(*), (array_agg(xid ORDER BY xid DESC))[1], (array_agg(tenant_id ORDER BY tenant_id DESC))[1],
            (SELECT count(*) FROM gone)
     INTO taken, last, last_tenant, deleted FROM old;"
    )
}

/// Where the next batch begins. A batch that is not full was the last of its kind.
fn advance() -> String {
    format!(
        "IF taken = most AND phase = 'one' THEN
                    state.tenant := last_tenant;
                ELSIF taken = most AND phase = 'round' THEN
                    state.passed := CASE WHEN last = state.reached THEN state.passed + taken ELSE 0 END;
                    state.reached := last;
                    IF state.passed > {LARGE} THEN
                        phase := 'one';
                        state.tenant := {EVERYONE};
                    END IF;
                ELSIF taken = most THEN
                    NULL;
                ELSIF phase = 'restored' AND state.reached IS NOT NULL THEN
                    phase := CASE WHEN state.tenant IS NULL THEN 'round' ELSE 'one' END;
                ELSIF phase = 'one' THEN
                    phase := 'round';
                    state.reached := (state.reached::text::numeric + 1)::text;
                    state.passed := 0;
                    state.tenant := NULL;
                ELSE
                    state.folded := CASE phase WHEN 'round' THEN state.horizon ELSE state.folded END;
                    state.reached := NULL;
                    state.passed := 0;
                    EXIT;
                END IF;"
    )
}

/// What programs of older versions call.
fn fold() -> String {
    format!(
        "CREATE OR REPLACE FUNCTION entitlement_fold() RETURNS bigint LANGUAGE plpgsql {DEFINER} AS $function$
         DECLARE
            step bigint;
            total bigint := 0;
         BEGIN
            LOOP
                step := public.entitlement_fold_step();
                total := total + COALESCE(step, 0);
                EXIT WHEN COALESCE(step, 0) = 0 OR total >= {IN_ONE_CALL};
            END LOOP;
            RETURN total;
         END
         $function$;"
    )
}
