//! Folding the log of changes, and reading it beside transactions that never end.

use std::time::{Duration, Instant};

use entitlementd::{
    proto::v1::DecisionReason,
    store::{Change, ChangeLog, ConnectOptions, Durations, News, Poll, Pooler, Position, Store},
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    change_log::revision,
    harness::{Database, Row, Server, id, postgres, process},
    metrics::SHOWN,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// As if an hour had passed, so that all that has been committed is old.
async fn age(database: &Database) {
    let sql = if database.is_sqlite() {
        "UPDATE entitlement_changes SET changed_at = '2020-01-01T00:00:00.000+00:00'"
    } else {
        "DELETE FROM entitlement_horizons;
         INSERT INTO entitlement_horizons (seen_at) VALUES (now() - interval '61 minutes')"
    };
    database.execute(sql).await;
}

async fn number(database: &Database, sql: &str) -> i64 {
    database.one(sql).await.try_get_by_index(0).unwrap()
}

/// The rows of the log.
async fn rows(database: &Database) -> i64 {
    number(database, "SELECT count(*) FROM entitlement_changes").await
}

/// Folds all that is old, a step at a time, and gives how many rows each has folded.
async fn fold(database: &Database) -> Vec<i64> {
    let mut steps = Vec::new();
    loop {
        let step = database.one("SELECT entitlement_fold_step()").await;
        match step.try_get_by_index::<Option<i64>>(0).unwrap() {
            // A server that has just started looks whether there is something to fold.
            None => tokio::task::yield_now().await,
            Some(0) => return steps,
            Some(rows) => steps.push(rows),
        }
    }
}

/// So many transactions, each of which changes so many tenants. Those are nowhere but in the log.
async fn fill(database: &Database, transactions: u32, tenants: u32) {
    let write = format!(
        "INSERT INTO entitlement_changes (topic, tenant_id)
         SELECT 'tenant', lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, {tenants}) n"
    );
    for _ in 0..transactions {
        database.execute(&write).await;
    }
}

pub async fn open(database: &Database) -> Store {
    let options = ConnectOptions {
        url: &database.url,
        ca: None,
        pooler: Pooler::None,
        max_connections: 2,
        keeps_shares: false,
        durations: Durations {
            acquire: PATIENCE,
            connect: PATIENCE,
            start: PATIENCE,
            statement: Some(PATIENCE),
        },
        create: false,
    };
    Store::open(&options, ChangeLog::Wanted).await.unwrap()
}

async fn poll(store: &Store, since: Option<&Position>) -> Poll {
    store.poll(since).await.unwrap()
}

fn is_anything(poll: &Poll) -> bool {
    matches!(poll.news, News::Anything(_))
}

/// What changed, as far as it is known.
fn changes(poll: &Poll) -> &[Change] {
    match &poll.news {
        News::Changes(changes) => changes,
        News::Anything(_) => panic!("anything may have changed"),
    }
}

fn of_tenant(number: u32) -> Change {
    Change::Tenant(id(number).parse::<uuid::Uuid>().unwrap().into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folding_changes_no_revision_and_empties_the_log() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.execute("UPDATE tenants SET status = 'suspended'; TRUNCATE feature_flags").await;
    let before = revision(&database, 1).await;
    fold(&database).await;
    assert_ne!(rows(&database).await, 0, "rows are kept while a reader may lag");
    age(&database).await;
    fold(&database).await;
    assert_eq!(rows(&database).await, 0);
    assert_eq!(revision(&database, 1).await, before);
    database.set_status(1, "active").await;
    assert_eq!(revision(&database, 1).await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folding_on_sqlite_changes_no_revision_and_takes_no_more_than_it_may_at_once() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
                INSERT INTO entitlement_changes (topic, tenant_id) SELECT 'tenant', id FROM tenants, n";
    database.execute(many).await;
    let (before, all) = (revision(&database, 1).await, rows(&database).await);
    age(&database).await;
    let store = open(&database).await;
    store.fold().await.unwrap();
    let left = rows(&database).await;
    assert!(left < all && left > 1_000, "{left} of {all}");
    let server = Server::start_with(database.again().await, &SHOWN).await;
    server.until_metrics(|metrics| metrics.of("change_log_folded_total") == left as f64).await;
    assert_eq!(rows(&database).await, 0);
    assert_eq!(revision(&database, 1).await, before);
    database.set_status(1, "suspended").await;
    assert_eq!(revision(&database, 1).await, before + 1);
}

/// Many small transactions, and one that is larger than a step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_folded_in_small_steps_until_nothing_is_left() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    fill(&database, 30, 1_000).await;
    fill(&database, 1, 30_000).await;
    let own = format!("SELECT revision FROM entitlement_revisions WHERE tenant_id = '{}'", id(1));
    let all = "SELECT CAST(sum(revision) AS bigint) FROM entitlement_revisions";
    let (before, all_before) = (number(&database, &own).await, number(&database, all).await);
    let logged = rows(&database).await;
    assert!(logged > 60_000);

    // Two instances of which one has the turn; neither waits for the other.
    age(&database).await;
    let first = Server::start_with(database.again().await, &SHOWN).await;
    let second = Server::start_with(database.again().await, &SHOWN).await;
    let started = Instant::now();
    let mut most = 0;
    loop {
        let left = rows(&database).await;
        assert_eq!(number(&database, &own).await, before);
        if left == 0 {
            break;
        }
        most = most.max(left);
        assert!(started.elapsed() < PATIENCE, "{left} of {logged} rows are left");
    }
    assert!(most > 0, "it was seen while it went on");
    assert_eq!(number(&database, all).await, all_before);
    let folded = async |server: &Server| server.metrics().await.of("change_log_folded_total");
    assert_eq!(folded(&first).await + folded(&second).await, logged as f64);
    let state = "SELECT count(*) FROM entitlement_folding WHERE reached IS NULL";
    assert_eq!(number(&database, state).await, 1, "the round has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_is_folded_in_steps_and_so_are_those_around_it() {
    let database = Database::postgres().await;
    fill(&database, 1, 10).await;
    fill(&database, 1, 80_000).await;
    fill(&database, 1, 10).await;
    age(&database).await;
    let steps = fold(&database).await;
    assert!(steps.len() > 2, "{steps:?}");
    assert_eq!(steps.iter().sum::<i64>(), 80_020);
    let all = "SELECT CAST(sum(revision) AS bigint) FROM entitlement_revisions";
    assert_eq!((rows(&database).await, number(&database, all).await), (0, 80_020));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_folds_at_the_same_time_neither_waits_nor_counts_twice_at_any_isolation_level() {
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let database = Database::postgres().await;
        fill(&database, 2, 40_000).await;
        let all = "SELECT CAST(sum(revision) AS bigint) FROM entitlement_revisions";
        let before = number(&database, all).await;
        age(&database).await;
        let mut one = PgConnection::connect(&database.url).await.unwrap();
        let mut other = PgConnection::connect(&database.url).await.unwrap();
        let begin =
            format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM entitlement_changes");
        for connection in [&mut one, &mut other] {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(begin.clone()))).await.unwrap();
        }
        let step = "SELECT entitlement_fold_step()";
        let folded: Option<i64> = sqlx::query_scalar(step).fetch_one(&mut one).await.unwrap();
        assert!(folded.unwrap() > 0, "{level}");
        let meanwhile: Option<i64> = sqlx::query_scalar(step).fetch_one(&mut other).await.unwrap();
        assert_eq!(meanwhile, None, "{level}: somebody else is at it");
        one.execute("COMMIT").await.unwrap();
        let after: Option<i64> = sqlx::query_scalar(step).fetch_one(&mut other).await.unwrap();
        assert_eq!(after.is_some(), level == "READ COMMITTED", "{level}: {after:?}");
        other.execute("COMMIT").await.unwrap();
        assert_eq!(number(&database, all).await, before, "{level}");
        fold(&database).await;
        assert_eq!((number(&database, all).await, rows(&database).await), (before, 0), "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_never_ends_keeps_no_other_from_being_folded_and_is_not_missed() {
    let mut server = Server::start_fed(Database::postgres().await).await;
    let database = server.database.again().await;
    for tenant in [1, 2] {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
        server.until(tenant, "finance", DecisionReason::Enabled).await;
    }
    let before = [revision(&database, 1).await, revision(&database, 2).await];
    let old = database.connection.begin().await.unwrap();
    // In a subtransaction, whose own number the log does not hold.
    let suspend = "SAVEPOINT a; UPDATE tenants SET status = 'suspended' WHERE subdomain = 'tenant-1'; RELEASE a";
    old.execute_unprepared(suspend).await.unwrap();
    database.set_status(2, "suspended").await;
    server.until(2, "finance", DecisionReason::TenantSuspended).await;
    age(&database).await;
    fold(&database).await;
    assert_eq!(rows(&database).await, 0, "though the transaction is still open");
    assert_eq!(revision(&database, 2).await, before[1] + 1);
    assert_eq!(server.check(1, "finance").await.reason(), DecisionReason::Enabled);

    old.commit().await.unwrap();
    server.until(1, "finance", DecisionReason::TenantSuspended).await;
    assert_eq!((revision(&database, 1).await, rows(&database).await), (before[0] + 1, 1));
    age(&database).await;
    assert_eq!(fold(&database).await, [1], "late, and folded with what came after it");
    assert_eq!(revision(&database, 1).await, before[0] + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_that_ends_late_is_folded_whole() {
    let database = Database::postgres().await;
    let mut late = PgConnection::connect(&database.url).await.unwrap();
    let much = "BEGIN; INSERT INTO entitlement_changes (topic, tenant_id)
                SELECT 'tenant', lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, 70000) n";
    late.execute(sqlx::raw_sql(much)).await.unwrap();
    fill(&database, 1, 5).await;
    age(&database).await;
    assert_eq!(fold(&database).await, [5]);
    late.execute("COMMIT").await.unwrap();
    fill(&database, 3, 5).await;
    age(&database).await;
    assert_eq!(fold(&database).await.iter().sum::<i64>(), 70_015);
    let all = "SELECT CAST(sum(revision) AS bigint) FROM entitlement_revisions";
    assert_eq!((rows(&database).await, number(&database, all).await), (0, 70_020));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_is_told_what_has_changed_and_anything_if_that_was_folded() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let store = open(&database).await;
        let fold =
            async || while store.fold().await.unwrap() != entitlementd::store::FoldStep::Done {};
        database.mk_tenant(1, "one", "active").await;
        let long_ago = poll(&store, None).await.position;
        database.set_status(1, "suspended").await;
        assert_eq!(changes(&poll(&store, Some(&long_ago)).await), [of_tenant(1)]);
        let lately = poll(&store, Some(&long_ago)).await.position;
        assert!(changes(&poll(&store, Some(&lately)).await).is_empty());

        age(&database).await;
        fold().await;
        assert_eq!(rows(&database).await, 0);
        assert!(is_anything(&poll(&store, Some(&long_ago)).await));
        let lately = poll(&store, None).await.position;
        database.set_status(1, "active").await;
        assert_eq!(changes(&poll(&store, Some(&lately)).await), [of_tenant(1)]);
    }
}

/// Which of two positions is behind depends on what each has seen, and not on which is the later
/// transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_has_not_seen_a_late_transaction_is_behind_once_that_is_folded() {
    let database = Database::postgres().await;
    let store = open(&database).await;
    database.mk_tenant(1, "one", "active").await;
    database.mk_tenant(2, "two", "active").await;
    let late = database.connection.begin().await.unwrap();
    let change = "UPDATE tenants SET status = 'suspended' WHERE subdomain = 'one'";
    late.execute_unprepared(change).await.unwrap();
    database.set_status(2, "suspended").await;
    age(&database).await;
    let position = poll(&store, None).await.position;
    fold(&database).await;
    late.commit().await.unwrap();
    let told = poll(&store, Some(&position)).await;
    assert_eq!(changes(&told), [of_tenant(1)], "it is not among what was folded");
    age(&database).await;
    fold(&database).await;
    assert!(is_anything(&poll(&store, Some(&position)).await));
    assert_eq!(rows(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_restored_is_folded_and_a_lost_note_of_folding_misleads_nobody() {
    let database = Database::postgres().await;
    let store = open(&database).await;
    database.mk_tenant(1, "one", "active").await;
    let before = revision(&database, 1).await;
    // Of another cluster: its transactions have ended long since, or are yet to come here.
    let foreign = "INSERT INTO entitlement_changes (topic, tenant_id, xid) SELECT 'tenant', id, xid::text::xid8
                   FROM tenants, unnest(ARRAY[5, 1000000000]) xid;
                   UPDATE entitlement_folding SET log = 1, horizon = '2000000000:2000000000:'";
    database.execute(foreign).await;
    let position = poll(&store, None).await.position;
    assert!(changes(&poll(&store, Some(&position)).await).is_empty(), "another log's horizon");
    fold(&database).await;
    age(&database).await;
    fold(&database).await;
    assert_eq!((rows(&database).await, revision(&database, 1).await), (0, before + 2));

    let below = "INSERT INTO entitlement_changes (topic, tenant_id, xid) SELECT 'tenant', id, '6' FROM tenants";
    database.execute(below).await;
    age(&database).await;
    fold(&database).await;
    assert_eq!((rows(&database).await, revision(&database, 1).await), (0, before + 3));

    let position = poll(&store, None).await.position;
    database.execute("DELETE FROM entitlement_folding").await;
    assert!(is_anything(&poll(&store, Some(&position)).await));
    fold(&database).await;
    let position = poll(&store, None).await.position;
    assert!(changes(&poll(&store, Some(&position)).await).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_while_a_step_of_folding_runs_is_not_folded() {
    let database = Database::postgres().await;
    let (store, folder, writer) =
        (open(&database).await, database.again().await, database.again().await);
    database.mk_tenant(1, "one", "active").await;
    // A note that the step will remove, and that somebody else holds: so it waits there.
    let note = "INSERT INTO entitlement_horizons (seen_at) VALUES (now() + interval '1 day')";
    database.execute(note).await;
    let position = poll(&store, None).await.position;
    let holder = database.connection.begin().await.unwrap();
    holder.execute_unprepared("SELECT FROM entitlement_horizons FOR UPDATE").await.unwrap();
    let step = tokio::spawn(async move { fold(&folder).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND query LIKE '%fold_step%' AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + PATIENCE;
    while number(&writer, waits).await == 0 {
        assert!(Instant::now() < deadline, "it waits for the note");
    }
    writer.set_status(1, "suspended").await;
    holder.rollback().await.unwrap();
    assert_eq!(step.await.unwrap(), [0; 0], "nothing is old");
    assert_eq!(changes(&poll(&store, Some(&position)).await), [of_tenant(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_that_folds_has_changed_itself_is_not_folded() {
    let database = Database::postgres().await;
    let store = open(&database).await;
    database.mk_tenant(1, "one", "active").await;
    let position = poll(&store, None).await.position;
    let both = "UPDATE tenants SET status = 'suspended'; SELECT entitlement_fold_step()";
    let transaction = database.connection.begin().await.unwrap();
    transaction.execute_unprepared(both).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(changes(&poll(&store, Some(&position)).await), [of_tenant(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_row_that_an_open_writer_takes_for_its_own_is_not_folded() {
    // Nobody else takes numbers of transactions there.
    let cluster = postgres::Cluster::start(&["autovacuum=off"]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let database = Database::on(&cluster, name).await;
    let store = open(&database).await;
    database.mk_tenant(1, "one", "active").await;
    let restore = "INSERT INTO entitlement_changes (topic, tenant_id, xid)
                   SELECT 'tenant', id, (pg_current_xact_id()::text::numeric + 1)::text::xid8 FROM tenants";
    database.execute(restore).await;
    let position = poll(&store, None).await.position;
    let writer = database.connection.begin().await.unwrap();
    writer.execute_unprepared("UPDATE tenants SET status = 'suspended'").await.unwrap();
    let others = database.again().await;
    let met = "SELECT count(*) FROM entitlement_changes WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())";
    assert_eq!(number(&others, met).await, 1, "the row has the number of the writer's transaction");
    assert_eq!(fold(&others).await, [0; 0]);
    writer.commit().await.unwrap();
    assert_eq!(changes(&poll(&store, Some(&position)).await), [of_tenant(1)]);
    assert_eq!(fold(&others).await, [0; 0], "it is a row like any other now");
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_folds_what_was_restored_from_a_cluster_that_was_ahead() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "one", "active").await;
    let before = revision(&database, 1).await;
    let restore = "INSERT INTO entitlement_changes (topic, tenant_id, xid)
                   SELECT 'tenant', id, xid::text::xid8 FROM tenants, generate_series(1000000000, 1000001000) xid";
    database.execute(restore).await;
    process::migrate(&database.url);
    let ahead = "SELECT count(*) FROM entitlement_changes WHERE xid >= '1000000000'";
    assert_eq!((number(&database, ahead).await, revision(&database, 1).await), (0, before + 1001));
}

/// The newest statement that reads this database's log from a position, if that shows a transaction.
fn poll_that_has_seen(database: &Database, transaction: i64) -> Option<String> {
    let log = postgres::shared().log();
    let begin = format!("{} LOG:  statement: SELECT state.history", database.name);
    let (begin, _) = log.rmatch_indices(&begin).find(|(at, _)| {
        let rest = log[*at..].split_once("LIMIT");
        rest.is_some_and(|(statement, _)| statement.contains("ended (xid)"))
    })?;
    let statement = log[begin..].split_once("statement: ")?.1;
    // What follows on the next line belongs to it if it is indented.
    let lines: Vec<&str> = statement.split('\n').collect();
    let end = lines[1..].iter().position(|line| !line.starts_with('\t'))?;
    let statement = lines[..=end].join("\n");
    let seen = statement.split_once("'::pg_snapshot")?.0.rsplit_once('\'')?.1;
    let upcoming: i64 = seen.split(':').nth(1)?.parse().ok()?;
    (transaction < upcoming).then_some(statement)
}

/// What a look at this database's log does when it is run again, of a server that has seen all that is
/// committed now: how many rows of the log it takes into its hands.
async fn rows_read_by_a_poll(database: &Database) -> u64 {
    let newest = "SELECT CAST(CAST(max(xid) AS text) AS bigint) FROM entitlement_changes";
    let newest = number(database, newest).await;
    let deadline = Instant::now() + PATIENCE;
    let poll = loop {
        if let Some(poll) = poll_that_has_seen(database, newest) {
            break poll;
        }
        assert!(Instant::now() < deadline, "it polls");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {poll}");
    let plan: Value = database.one(&explain).await.try_get_by_index(0).unwrap();
    rows_of_log(&plan[0]["Plan"])
}

fn rows_of_log(plan: &Value) -> u64 {
    let below: u64 = plan["Plans"].as_array().into_iter().flatten().map(rows_of_log).sum();
    if plan["Relation Name"] != "entitlement_changes" {
        return below;
    }
    let each = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
    let each: f64 = each.iter().filter_map(|field| plan[field].as_f64()).sum();
    below + (each * plan["Actual Loops"].as_f64().unwrap()) as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_an_old_transaction_a_poll_reads_only_what_is_new() {
    let mut server = Server::start_fed(Database::postgres().await).await;
    let database = server.database.again().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    let old = database.connection.begin().await.unwrap();
    old.execute_unprepared("UPDATE tenants SET name = 'x', plan_id = NULL").await.unwrap();
    // It has written much itself, too.
    let much = "INSERT INTO entitlement_changes (topic, tenant_id)
                SELECT 'tenant', lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, 5000) n";
    old.execute_unprepared(much).await.unwrap();
    let others = database.again().await;
    fill(&others, 1, 50_000).await;
    // Whatever PostgreSQL believes of the table: nothing, and that one transaction wrote all of it.
    for statistics in ["SELECT 1", "ANALYZE entitlement_changes"] {
        others.execute(statistics).await;
        let suspended = "UPDATE tenant_subscriptions SET status = 'suspended'";
        others.execute(suspended).await;
        server.until(1, "finance", DecisionReason::SubscriptionSuspended).await;
        others.execute("UPDATE tenant_subscriptions SET status = 'active'").await;
        server.until(1, "finance", DecisionReason::Enabled).await;
        let read = rows_read_by_a_poll(&others).await;
        assert!(read < 10, "{statistics}: {read} rows");
    }
    old.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_older_programs_fold_is_brought_up_to_date_and_they_go_on() {
    let database = Database::postgres().await;
    let all = "SELECT CAST(sum(revision) AS bigint) FROM entitlement_revisions";
    let older = "DROP TABLE entitlement_folding; DROP FUNCTION entitlement_fold_step();
                 ALTER TABLE entitlement_horizons DROP COLUMN snapshot,
                    ADD COLUMN xid xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot());
                 CREATE OR REPLACE FUNCTION entitlement_fold() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
                 DELETE FROM entitlementd_migrations WHERE version LIKE '%_000009_%'";
    database.execute(older).await;
    database.execute("INSERT INTO entitlement_horizons VALUES (now() - interval '2 hours')").await;
    process::migrate(&database.url);
    fill(&database, 1, 15_000).await;
    // As they call it.
    let fold = "SELECT entitlement_fold()";
    assert_eq!(number(&database, fold).await, 0, "rows are kept for an hour");
    age(&database).await;
    let folded = number(&database, fold).await;
    assert!((10_000..15_001).contains(&folded), "{folded}");
    number(&database, fold).await;
    assert_eq!((rows(&database).await, number(&database, all).await), (0, 15_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_keeps_the_log_from_becoming_shorter_is_named_until_he_ends() {
    let cluster = postgres::Cluster::start(&["max_prepared_transactions=2"]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let database = Database::on(&cluster, name).await;
    let prepare = "BEGIN; CREATE TABLE of_the_erp (); PREPARE TRANSACTION 'month end 7'";
    database.execute(prepare).await;
    let url = format!("{}?application_name=nightly", database.url);
    let mut nightly = PgConnection::connect(&url).await.unwrap();
    nightly.execute("BEGIN; CREATE TEMPORARY TABLE mine ()").await.unwrap();

    let flags = ["--listen", "127.0.0.1:0", "--old-transaction-after", "1ms", "--database-url"];
    let mut server = process::Process::serve(&[&flags[..], &[&database.url]].concat());
    let line = server.wait_for("a transaction has been open for");
    assert!(line.contains("month end 7") && line.contains("ROLLBACK PREPARED"), "{line}");
    let watching = Server::start_with(database.again().await, &SHOWN).await;
    watching.until_metrics(|metrics| metrics.of("change_log_horizon_seconds") > 0.0).await;
    watching.until_metrics(|metrics| metrics.of("change_log_bytes") > 0.0).await;

    database.execute("ROLLBACK PREPARED 'month end 7'").await;
    let line = server.wait_for("a transaction has been open for");
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut nightly).await.unwrap();
    let end = format!("pg_terminate_backend({pid})");
    assert!(line.contains("nightly") && line.contains(&end), "{line}");
    nightly.execute("ROLLBACK").await.unwrap();
    let line = server.wait_for("has ended");
    assert!(line.contains("nightly"), "{line}");
    cluster.stop();
}
