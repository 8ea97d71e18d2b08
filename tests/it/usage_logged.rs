//! entitlement_count: what the ERP's own transactions count, and what its reports read.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

use crate::{
    harness::{Database, NOW, Server, id, until_so},
    on_both,
    usage::{Client, ORDERS, order, release, reserve, started},
};

/// PostgreSQL notes when something was used by its own clock, and the server's stands still: here it
/// notes the server's time.
async fn database() -> Database {
    let database = Database::postgres().await;
    let noted = format!(
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN NEW.used_at := '{NOW}'; RETURN NEW; END $$;
         CREATE TRIGGER noted BEFORE INSERT ON entitlement_usage_log FOR EACH ROW EXECUTE FUNCTION noted()"
    );
    database.execute(&noted).await;
    database
}

async fn used(client: &mut Client) -> i64 {
    release(client, ORDERS, "nothing").await.state.unwrap().used
}

fn count(key: &str, amount: i64) -> String {
    format!("SELECT entitlement_count('{}', '{ORDERS}', '{key}', {amount})", id(1))
}

async fn waiting(server: &Server) -> i64 {
    let sql = "SELECT count(*) AS number FROM entitlement_usage_log WHERE refused IS NULL";
    server.database.one(sql).await.try_get("", "number").unwrap()
}

async fn until_counted(server: &Server) {
    until_so("the log is counted", async || waiting(server).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_counts_is_counted_once_if_it_commits() {
    let (server, mut client) = started(database().await, &[]).await;
    let erp = server.database.again().await;
    let kept = erp.connection.begin().await.unwrap();
    let undone = erp.connection.begin().await.unwrap();
    kept.execute_unprepared(&count("o-1", 8)).await.unwrap();
    undone.execute_unprepared(&count("o-2", 8)).await.unwrap();
    // It waits for nobody, and nobody for it: reservations go on meanwhile.
    assert!(reserve(&mut client, order("o-3", 1)).await.granted);
    kept.commit().await.unwrap();
    undone.rollback().await.unwrap();
    until_counted(&server).await;
    assert_eq!(used(&mut client).await, 9);
    // Again, by hand or by RecordUsage or ReserveUsage: it is the same order.
    erp.execute(&count("o-1", 8)).await;
    until_counted(&server).await;
    assert!(reserve(&mut client, order("o-1", 8)).await.repeated_request);
    assert_eq!(used(&mut client).await, 9);
    // It refuses nothing for a limit.
    erp.execute(&count("o-4", 8)).await;
    until_counted(&server).await;
    assert_eq!(used(&mut client).await, 17);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_counts_was_used_when_it_said_so_by_the_databases_clock() {
    let database = Database::postgres().await;
    let transaction = database.connection.begin().await.unwrap();
    transaction.execute_unprepared(&count("o-1", 8)).await.unwrap();
    // now() is when the transaction began.
    let sql =
        "SELECT used_at > now() AND used_at <= clock_timestamp() AS so FROM entitlement_usage_log";
    let query = Statement::from_string(DbBackend::Postgres, sql);
    let row = transaction.query_one_raw(query).await.unwrap().unwrap();
    let is_so: bool = row.try_get("", "so").unwrap();
    assert!(is_so);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_count_what_was_logged_once() {
    let (server, mut client) = started(database().await, &[]).await;
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let _other = Server::start_with(server.database.again().await, &flags).await;
    let many = format!(
        "SELECT entitlement_count('{}', '{ORDERS}', 'o-' || n) FROM generate_series(1, 3000) n",
        id(1)
    );
    for _ in 0..2 {
        server.database.execute(&many).await;
    }
    until_counted(&server).await;
    assert_eq!(used(&mut client).await, 3000);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_counted_stays_and_says_why() {
    let (server, mut client) = started(database().await, &[]).await;
    let database = &server.database;
    for sql in [
        count("o-1", 8),
        count("o-1", 9),
        format!("SELECT entitlement_count('{}', '{ORDERS}', 'o-2')", id(7)),
        format!("SELECT entitlement_count('{}', 'stars', 'o-3')", id(1)),
        format!("SELECT entitlement_count('{}', 'users', 'ann')", id(1)),
        format!("SELECT entitlement_count('{}', '{ORDERS}', 'o-5', 1, 'moon')", id(1)),
    ] {
        database.execute(&sql).await;
        until_counted(&server).await;
    }
    let row = database.one("SELECT string_agg(key || ': ' || refused, ', ' ORDER BY id) AS why FROM entitlement_usage_log").await;
    let why: String = row.try_get("", "why").unwrap();
    assert_eq!(
        why,
        "o-1: conflict, o-2: unknown tenant, o-3: unknown meter, ann: unknown meter, o-5: unknown module"
    );
    assert_eq!(used(&mut client).await, 8);
    for bad in [
        count("", 1),
        count("a b", 1),
        count("o-9", 0),
        count("o-9", -1),
        format!("SELECT entitlement_count(NULL, '{ORDERS}', 'o-9')"),
        format!("SELECT entitlement_count('{}', '', 'o-9')", id(1)),
        format!("SELECT entitlement_count('{}', '{ORDERS}', NULL)", id(1)),
    ] {
        let error = database.try_execute(&bad).await.unwrap_err().to_string();
        assert!(error.contains("entitlement_count: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_defined_a_moment_ago_is_known_to_the_log() {
    let (server, _) = started(database().await, &[]).await;
    server
        .database
        .execute("INSERT INTO entitlement_limits (key, kind) VALUES ('mails', 'monthly')")
        .await;
    let many = format!(
        "SELECT entitlement_count('{0}', '{ORDERS}', 'o-' || n) FROM generate_series(1, 600) n;
         SELECT entitlement_count('{0}', 'mails', 'm-1')",
        id(1)
    );
    server.database.execute(&many).await;
    until_counted(&server).await;
    let refused = "SELECT count(*) AS number FROM entitlement_usage_log";
    let refused: i64 = server.database.one(refused).await.try_get("", "number").unwrap();
    assert_eq!(refused, 0);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_somebody_sits_on_keeps_only_its_own_log_waiting() {
    let (server, mut client) = started(database().await, &[]).await;
    let database = &server.database;
    database.mk_subscribed(2, "finance", crate::harness::Row::default()).await;
    assert!(reserve(&mut client, order("before", 1)).await.granted);
    let sitting = database.again().await.connection.begin().await.unwrap();
    let sit = "SELECT FROM entitlement_usage_counters FOR UPDATE";
    sitting.execute_unprepared(sit).await.unwrap();
    let both = format!(
        "SELECT entitlement_count('{}', '{ORDERS}', 'a-' || n) FROM generate_series(1, 600) n;
         SELECT entitlement_count('{}', '{ORDERS}', 'b')",
        id(1),
        id(2)
    );
    database.execute(&both).await;
    until_so("only the locked one waits", async || waiting(&server).await == 600).await;
    sitting.rollback().await.unwrap();
    until_counted(&server).await;
    assert_eq!(used(&mut client).await, 601);
    database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_the_erps_table_does_not_take_keeps_no_other_out() {
    let (server, mut client) = started(database().await, &[]).await;
    let database = &server.database;
    database.limit_of_plan("starter", "max_transactions_monthly", "NULL").await;
    database.mk_subscribed(2, "finance", crate::harness::Row::default()).await;
    // More than its column holds.
    let most = 1_000_000_000_000;
    for number in 0..11 {
        assert!(reserve(&mut client, order(&format!("o-{number}"), most)).await.granted);
    }
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.module_code = 'finance' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON usage_metrics FOR EACH ROW EXECUTE FUNCTION refuse()";
    database.execute(refuse).await;
    let of = |tenant, key: &str, module: &str| entitlementd::proto::v1::ReserveUsageRequest {
        tenant_id: id(tenant),
        module_code: module.into(),
        ..order(key, 3)
    };
    for request in [of(2, "a", "finance"), of(2, "b", "")] {
        assert!(reserve(&mut client, request).await.granted);
    }
    let store = crate::folding::open(database).await;
    let reported = store.report_usage(None, chrono_tz::UTC).await.unwrap();
    assert_eq!(reported.refused, 1, "{reported:?}");
    let rows = "SELECT string_agg(CAST(metric_value AS text), ' ' ORDER BY metric_value) AS all_values FROM usage_metrics";
    let rows: String = database.one(rows).await.try_get("", "all_values").unwrap();
    assert_eq!(rows, "3.00 9999999999999.00");
    // It is found again.
    database.execute("DROP TRIGGER refuse ON usage_metrics").await;
    assert_eq!(store.report_usage(None, chrono_tz::UTC).await.unwrap().refused, 0);
    let number: i64 = database
        .one("SELECT count(*) AS number FROM usage_metrics")
        .await
        .try_get("", "number")
        .unwrap();
    assert_eq!(number, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_counts_in_the_database_who_was_not_given_that() {
    let (server, _) = started(database().await, &[]).await;
    let database = &server.database;
    let role = format!("shop_{}", std::process::id());
    database.execute(&format!("CREATE ROLE {role}")).await;
    let as_shop = |sql: &str| format!("SET LOCAL ROLE {role}; {sql}");
    let refused = database.try_execute(&as_shop(&count("o-1", 1))).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    database.execute(&format!("GRANT entitlementd_count TO {role}")).await;
    database.execute(&as_shop(&count("o-1", 1))).await;
    for sql in [
        "SELECT * FROM entitlement_usage_log",
        "DELETE FROM entitlement_usage_log",
        "INSERT INTO entitlement_usage_counters DEFAULT VALUES",
    ] {
        let refused = database.try_execute(&as_shop(sql)).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{sql}: {refused}");
    }
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

on_both! {
    async fn the_erps_reports_find_a_row_for_each_day_meter_and_module(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let database = &server.database;
        let tenant = database.uuid(&id(1));
        let theirs = format!("INSERT INTO usage_metrics (id, tenant_id, module_code, metric_type, metric_value) VALUES ({}, {tenant}, 'finance', '{ORDERS}', 77)", database.uuid(&id(99)));
        database.execute(&theirs).await;
        assert!(reserve(&mut client, order("o-1", 4)).await.granted);
        let of_module = entitlementd::proto::v1::ReserveUsageRequest { module_code: "finance".into(), ..order("o-2", 3) };
        assert!(reserve(&mut client, of_module).await.granted);
        let store = crate::folding::open(database).await;
        let reported = async || {
            let all = store.report_usage(None, chrono_tz::UTC).await.unwrap();
            assert_eq!(all.refused, 0, "{all:?}");
            let sum = "SELECT count(*) AS rows, CAST(SUM(metric_value) AS bigint) AS total FROM usage_metrics";
            let row = database.one(sum).await;
            (row.try_get::<i64>("", "rows").unwrap(), row.try_get::<i64>("", "total").unwrap())
        };
        assert_eq!(reported().await, (3, 84));
        assert_eq!(reported().await, (3, 84), "once");
        release(&mut client, ORDERS, "o-1").await;
        server.clock.advance(TimeDelta::days(1));
        assert!(reserve(&mut client, order("o-4", 2)).await.granted);
        assert_eq!(reported().await, (4, 82));
        let row = database.one("SELECT count(*) AS rows FROM usage_metrics WHERE module_code IS NULL AND metric_type = 'transactions_monthly' AND recorded_at IS NOT NULL").await;
        assert_eq!(row.try_get::<i64>("", "rows").unwrap(), 2);
    }
}
