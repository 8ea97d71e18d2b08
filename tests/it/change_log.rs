//! The log of changes, written by triggers in the ERP's own transactions.

use entitlementd::proto::v1::CheckModuleRequest;
use sea_orm::{ConnectionTrait, Statement};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row as _, postgres::PgListener};

use crate::harness::{Database, Row, Server, id, postgres, process, server::check_request};

/// A tenant's revision, as anyone may read it.
pub async fn revision(database: &Database, tenant: u32) -> i64 {
    let sql = format!(
        "SELECT CAST(revision AS bigint) AS revision FROM entitlement_revisions WHERE tenant_id = {}",
        database.uuid(&id(tenant))
    );
    let statement = Statement::from_string(database.connection.get_database_backend(), sql);
    let row = database.connection.query_one_raw(statement).await.unwrap();
    row.map_or(0, |row| row.try_get("", "revision").unwrap())
}

async fn both() -> [Database; 2] {
    [Database::sqlite().await, Database::postgres().await]
}

/// Does this raise the tenant's revision?
async fn raises(database: &Database, tenant: u32, sql: &str) -> bool {
    let before = revision(database, tenant).await;
    database.execute(sql).await;
    let after = revision(database, tenant).await;
    assert!(after >= before, "{sql}: from {before} to {after}");
    after > before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_grows_with_each_change_that_matters_to_an_answer_and_with_no_other() {
    for database in both().await {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.mk_tenant(2, "other", "active").await;
        let [one, two] = [1, 2].map(|tenant| database.uuid(&id(tenant)));
        let flag = format!(
            "INSERT INTO feature_flags (tenant_id, module_code, feature_key) VALUES ({one}, 'finance', 'x')"
        );
        for (sql, matters) in [
            ("UPDATE tenants SET status = 'suspended'", true),
            ("UPDATE tenants SET status = 'suspended'", false),
            ("UPDATE tenants SET settings = '{\"a\": 1}'", false),
            ("UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'growth')", true),
            ("UPDATE tenant_subscriptions SET expires_at = '2030-01-01T00:00:00+00:00'", true),
            ("UPDATE tenant_subscriptions SET expires_at = '2030-01-01T00:00:00+00:00'", false),
            ("UPDATE tenant_subscriptions SET price_paid = 7, auto_renew = false", false),
            ("UPDATE tenant_subscriptions SET is_trial = true", true),
            (&flag, true),
            ("UPDATE feature_flags SET is_enabled = true", true),
            ("UPDATE plans SET name = 'Renamed'", false),
            ("UPDATE plans SET slug = 'grown' WHERE slug = 'growth'", true),
            ("UPDATE modules SET code = 'money' WHERE code = 'finance'", true),
            ("DELETE FROM feature_flags", true),
            ("DELETE FROM tenant_subscriptions", true),
        ] {
            assert_eq!(raises(&database, 1, sql).await, matters, "{sql}");
        }
        database.mk_subscription(1, "hrms", Row::default()).await;
        let before = [revision(&database, 1).await, revision(&database, 2).await];
        database.execute(&format!("UPDATE tenant_subscriptions SET tenant_id = {two}")).await;
        let after = [revision(&database, 1).await, revision(&database, 2).await];
        assert!(
            after[0] > before[0] && after[1] > before[1],
            "a row that moves raises both: {before:?} {after:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_deleted_and_made_again_does_not_start_anew() {
    for database in both().await {
        database.mk_subscribed(1, "finance", Row::default()).await;
        let tenant = database.uuid(&id(1));
        assert!(raises(&database, 1, &format!("DELETE FROM tenants WHERE id = {tenant}")).await);
        let deleted = revision(&database, 1).await;
        database.mk_tenant(1, "again", "active").await;
        assert!(revision(&database, 1).await > deleted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncate_raises_everyone() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_tenant(2, "two", "active").await;
    assert!(raises(&database, 1, "TRUNCATE tenant_subscriptions").await);
    assert!(raises(&database, 2, "TRUNCATE feature_flags").await);
    assert!(raises(&database, 2, "TRUNCATE modules CASCADE").await);
}

/// Notices that come in until one says `end`.
async fn heard(listener: &mut PgListener, database: &Database) -> Vec<String> {
    database.execute("NOTIFY entitlement_changes, 'end'").await;
    let mut heard = Vec::new();
    loop {
        match listener.recv().await.unwrap().payload() {
            "end" => return heard,
            payload => heard.push(payload.to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_announces_each_tenant_once_and_more_than_a_hundred_as_many() {
    let database = Database::postgres().await;
    for number in 0..101 {
        database.mk_tenant(number, &format!("t{number}"), "active").await;
    }
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("entitlement_changes").await.unwrap();
    let words = |heard: &[String]| {
        heard.iter().map(|one| one.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let twice = "UPDATE tenants SET status = 'pending' WHERE subdomain < 't2';
                 UPDATE tenants SET status = 'active' WHERE subdomain < 't2'";
    database.execute(&format!("BEGIN; {twice}; COMMIT")).await;
    let told = heard(&mut listener, &database).await;
    assert_eq!(words(&told), vec!["tenant"; 13], "t0, t1, t10 to t19 and t100: {told:?}");

    database
        .execute("BEGIN; UPDATE tenants SET status = 'x' WHERE subdomain < 't2'; ROLLBACK")
        .await;
    assert_eq!(heard(&mut listener, &database).await, Vec::<String>::new());

    database.execute("UPDATE tenants SET status = 'pending' WHERE subdomain <> 't0'").await;
    assert_eq!(words(&heard(&mut listener, &database).await), vec!["tenant"; 100]);

    let one_by_one: String = (0..101)
        .map(|number| format!("UPDATE tenants SET status = 'x' WHERE subdomain = 't{number}'; "))
        .collect();
    database.execute(&format!("BEGIN; {one_by_one} COMMIT")).await;
    assert_eq!(words(&heard(&mut listener, &database).await), ["many"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_at_the_same_time_one_tells_and_none_waits() {
    let database = Database::postgres().await;
    for number in [1, 2] {
        database.mk_tenant(number, &format!("t{number}"), "active").await;
    }
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("entitlement_changes").await.unwrap();
    // As far as it gets before it commits.
    let mut one = PgConnection::connect(&database.url).await.unwrap();
    let almost = "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; UPDATE tenants SET status = 'x' WHERE subdomain = 't1'";
    one.execute(sqlx::raw_sql(almost)).await.unwrap();
    assert!(raises(&database, 2, "UPDATE tenants SET status = 'x' WHERE subdomain = 't2'").await);
    one.execute(sqlx::raw_sql("COMMIT")).await.unwrap();
    let told = heard(&mut listener, &database).await;
    assert!(told.len() == 1 && told[0].ends_with(&id(1)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_needs_no_right_on_the_log_and_cannot_be_led_astray_by_its_own_search_path() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "one", "active").await;
    let role = format!("erp_{}", database.name);
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT, UPDATE ON tenants TO {role}; GRANT entitlementd_writer TO {role};
             CREATE SCHEMA AUTHORIZATION {role}; SET ROLE {role};
             CREATE TABLE {role}.entitlement_changes (tenant_id uuid, topic text);
             SET search_path = {role}, public; UPDATE tenants SET status = 'suspended'; RESET ROLE; RESET search_path"
        ))
        .await;
    assert_eq!(revision(&database, 1).await, 2);
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let mut writer = PgConnection::connect(&url).await.unwrap();
    let read = "SELECT revision FROM entitlement_revisions";
    assert_eq!(writer.fetch_one(sqlx::raw_sql(read)).await.unwrap().get::<i64, _>(0), 2);
    for forbidden in [
        "DELETE FROM public.entitlement_changes",
        "INSERT INTO public.entitlement_changes (topic) VALUES ('x')",
    ] {
        assert!(writer.execute(sqlx::raw_sql(forbidden)).await.is_err(), "{forbidden}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_writer_has_set_neither_fails_its_write_nor_keeps_it_from_being_announced() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "one", "active").await;
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("entitlement_changes").await.unwrap();
    let mut writer = PgConnection::connect(&database.url).await.unwrap();
    let own = "CREATE SCHEMA own;
               CREATE FUNCTION own.pg_notify(text, text) RETURNS void LANGUAGE sql AS '';
               CREATE FUNCTION own.always(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
               CREATE OPERATOR own.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = own.always);
               SET search_path = own, pg_catalog, public;
               SET entitlementd.tenants_touched = 'no number'";
    writer.execute(sqlx::raw_sql(own)).await.unwrap();
    writer.execute(sqlx::raw_sql("UPDATE tenants SET status = 'suspended'")).await.unwrap();
    let told = heard(&mut listener, &database).await;
    assert!(
        told.len() == 1 && told[0].starts_with("tenant ") && told[0].ends_with(&id(1)),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_columns_change_does_not_fail_the_erps_writes() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.execute("ALTER TABLE tenant_subscriptions DROP COLUMN is_trial").await;
    assert!(
        raises(&database, 1, "UPDATE tenant_subscriptions SET price_paid = 1").await,
        "a change, to be safe"
    );
    let to_json = "ALTER TABLE tenant_subscriptions ALTER COLUMN status DROP DEFAULT,
                   ALTER COLUMN status TYPE json USING to_json(status)";
    database.execute(&format!("DROP INDEX idx_tenant_subscriptions_status; {to_json}")).await;
    assert!(raises(&database, 1, "UPDATE tenant_subscriptions SET price_paid = 2").await);
}

/// One writer's rows, each by its place: a look-up through an index can fail under SERIALIZABLE by
/// itself.
async fn places(connection: &mut PgConnection, module: &str) -> Vec<String> {
    let sql = "SELECT s.ctid::text FROM tenant_subscriptions s JOIN modules m ON m.id = s.module_id WHERE m.code = $1";
    sqlx::query_scalar(sql).bind(module).fetch_all(connection).await.unwrap()
}

/// Changes each row in turn, in one transaction.
async fn change_all(
    connection: &mut PgConnection,
    level: &str,
    places: &mut [String],
    status: &str,
) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    transaction
        .execute(sqlx::raw_sql(AssertSqlSafe(format!("SET TRANSACTION ISOLATION LEVEL {level}"))))
        .await?;
    for place in places {
        let sql =
            "UPDATE tenant_subscriptions SET status = $1 WHERE ctid = $2::tid RETURNING ctid::text";
        *place =
            sqlx::query_scalar(sql).bind(status).bind(&*place).fetch_one(&mut *transaction).await?;
    }
    transaction.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_tenants_in_opposite_orders_neither_wait_nor_fail_at_any_isolation_level()
 {
    const TENANTS: u32 = 6;
    const ROUNDS: u32 = 25;
    const MODULES: [&str; 4] = ["finance", "hrms", "procurement", "marketing"];
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let database = Database::postgres().await;
        for tenant in 0..TENANTS {
            database.mk_tenant(tenant, &format!("t{tenant}"), "active").await;
            for module in MODULES {
                database.mk_subscription(tenant, module, Row::default()).await;
            }
        }
        let write = |writer: usize| {
            let url = database.url.clone();
            async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                // Whoever waits for a lock that another one holds until the end of its transaction
                // fails here.
                connection
                    .execute(sqlx::raw_sql(
                        "SET lock_timeout = '5s'; SET deadlock_timeout = '100ms'",
                    ))
                    .await
                    .unwrap();
                let mut places = places(&mut connection, MODULES[writer]).await;
                if writer.is_multiple_of(2) {
                    places.reverse();
                }
                for round in 0..ROUNDS {
                    change_all(&mut connection, level, &mut places, &format!("r{round}"))
                        .await
                        .unwrap();
                }
            }
        };
        let all: Vec<_> = (0..MODULES.len()).map(|writer| tokio::spawn(write(writer))).collect();
        for one in all {
            one.await.unwrap_or_else(|error| panic!("{level}: {error}"));
        }
        // The tenant, its four rows, and one for each commit.
        let commits = ROUNDS * MODULES.len() as u32;
        assert_eq!(revision(&database, 0).await, i64::from(5 + commits), "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_can_be_left_out_and_the_server_says_so() {
    let name = postgres::shared().empty_database().await;
    let url = postgres::shared().url(&name);
    let migrated = process::run(&["migrate", "--changes", "off", "--database-url", &url]);
    assert!(migrated.status.success());
    assert!(
        String::from_utf8(migrated.stdout).unwrap().contains("left out m20261123_000003_changes")
    );
    // The record is ours, and keeps its own.
    let guests = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid <> 'entitlement_audit'::regclass";
    assert_eq!(postgres::shared().run("psql", &["-Atc", guests, &name]).trim(), "0");

    let mut server = process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    server.wait_for("run: entitlementd migrate");
    let mut server = process::Process::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &url,
        "--changes",
        "off",
    ]);
    server.wait_for("changes are off");
    server.wait_for("\"ready\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_min_revision_reads_past_the_cache() {
    let mut server = Server::start(Database::postgres().await).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    assert!(server.check(1, "finance").await.allowed);
    server.database.set_status(1, "suspended").await;
    assert!(server.check(1, "finance").await.allowed, "held for its time to live");
    let request = CheckModuleRequest { min_revision: Some(1), ..check_request(1, "finance") };
    assert!(!server.check_request(request).await.unwrap().allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_were_lost_are_told_and_made_again() {
    let database = Database::postgres().await;
    database.execute("ALTER TABLE tenants DISABLE TRIGGER entitlement_tenants_changed").await;
    let status = process::run(&["migrate", "--status", "--database-url", &database.url]);
    let told = String::from_utf8(status.stdout).unwrap();
    assert!(
        told.contains("the table tenants has no armed trigger entitlement_tenants_changed"),
        "{told}"
    );
    let mut server =
        process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    server.wait_for("has no armed trigger");
    process::migrate(&database.url);
    server.wait_for("ready again");
}
