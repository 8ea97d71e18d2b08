//! Migrating databases of our own.

use std::process::Stdio;

use sea_orm::{ConnectionTrait, Statement};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{Database, Server, postgres, process};

/// An empty database of each kind. The folder goes when it is dropped.
async fn empty_databases() -> [(String, Option<tempfile::TempDir>); 2] {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("empty.db")).unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("empty.db").display());
    let name = postgres::shared().empty_database().await;
    [(sqlite, Some(folder)), (postgres::shared().url(&name), None)]
}

async fn count(database: &Database, sql: &str) -> i64 {
    let statement =
        Statement::from_string(database.connection.get_database_backend(), sql.to_owned());
    database
        .connection
        .query_one_raw(statement)
        .await
        .unwrap()
        .unwrap()
        .try_get_by_index(0)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_may_migrate_at_once() {
    for (url, _folder) in empty_databases().await {
        let start = |_| {
            let mut program = process::program();
            program
                .args(["migrate", "--database-url", &url])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            program.spawn().unwrap()
        };
        let all: Vec<_> = (0..4).map(start).collect();
        for one in all {
            let output = one.wait_with_output().unwrap();
            assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let status = process::run(&["migrate", "--status", "--database-url", &url]);
        let told = String::from_utf8(status.stdout).unwrap();
        assert_eq!(told.lines().filter(|line| line.starts_with("applied")).count(), 14, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_again_changes_nothing() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.execute("DELETE FROM plans WHERE slug = 'growth'").await;
        database.execute("UPDATE modules SET name = 'Ours' WHERE code = 'finance'").await;
        process::migrate(&database.url);
        assert_eq!(count(&database, "SELECT count(*) FROM plans").await, 3);
        assert_eq!(count(&database, "SELECT count(*) FROM modules WHERE name = 'Ours'").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_did_not_watch_endpoints_does_once_it_is_migrated() {
    let change = "UPDATE modules SET api_endpoints = '[\"/a\"]' WHERE code = 'finance'";
    let changes = "SELECT count(*) FROM entitlement_changes WHERE topic = 'catalogue'";
    for database in [Database::sqlite().await, Database::postgres().await] {
        // As the step before left it: whatever it watched, it was not the endpoints.
        database
            .execute("DELETE FROM entitlementd_migrations WHERE version LIKE '%_000006_%'")
            .await;
        database
            .execute(if database.is_sqlite() {
                "DROP TRIGGER entitlement_modules_update;
                 CREATE TRIGGER entitlement_modules_update AFTER UPDATE ON modules WHEN OLD.code IS NOT NEW.code
                 BEGIN INSERT INTO entitlement_changes (topic, tenant_id) VALUES ('catalogue', zeroblob(16)); END"
            } else {
                "CREATE OR REPLACE FUNCTION entitlement_modules_changed() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN RETURN NULL; END'"
            })
            .await;
        let before = count(&database, changes).await;
        database.execute(change).await;
        assert_eq!(count(&database, changes).await, before);
        process::migrate(&database.url);
        database.execute("UPDATE modules SET api_endpoints = '[]' WHERE code = 'finance'").await;
        assert_eq!(count(&database, changes).await, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_log_has_older_functions_has_this_programs_once_it_is_migrated() {
    let database = Database::postgres().await;
    let functions = "SELECT md5(string_agg(prosrc, '' ORDER BY proname)) FROM pg_proc WHERE proname LIKE 'entitlement_%'";
    let read = async || database.one(functions).await.try_get_by_index::<String>(0).unwrap();
    let ours = read().await;
    database.execute("DELETE FROM entitlementd_migrations WHERE version LIKE '%_000007_%'").await;
    for function in ["entitlement_tenants_changed", "entitlement_announce"] {
        let older = format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        );
        database.execute(&older).await;
    }
    assert_ne!(read().await, ours);
    process::migrate(&database.url);
    assert_eq!(read().await, ours);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalogue_has_ten_modules_and_four_plans() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        assert_eq!(count(&database, "SELECT count(*) FROM modules").await, 10);
        assert_eq!(count(&database, "SELECT count(*) FROM plans").await, 4);
        let yearly = "SELECT CAST(sum(price_yearly) AS bigint) FROM modules";
        assert_eq!(count(&database, yearly).await, 756_300);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_lists_pending_steps_and_writes_nothing() {
    for (url, _folder) in empty_databases().await {
        let output = process::run(&["migrate", "--status", "--database-url", &url]);
        assert!(output.status.success());
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told.lines().filter(|line| line.starts_with("pending")).count(), 14, "{told}");
        let again = process::run(&["migrate", "--status", "--database-url", &url]);
        assert_eq!(String::from_utf8(again.stdout).unwrap(), told);
    }
}

#[test]
fn those_who_only_look_make_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typo.db");
    let url = format!("sqlite:{}", path.display());
    for command in
        [vec!["migrate", "--status"], vec!["check", "--tenant", "acme", "--module", "finance"]]
    {
        let output =
            process::program().args(command).args(["--database-url", &url]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("typo.db"));
        assert!(!path.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_written_as_text_is_refused_by_sqlite() {
    let database = Database::sqlite().await;
    let text = "INSERT INTO tenants (id, name, subdomain, database_schema)
                VALUES ('00000000-0000-4000-8000-000000000001', 'A', 'a', 'tenant_a')";
    assert!(database.connection.execute_unprepared(text).await.is_err());
    database
        .execute(&text.replace(
            "'00000000-0000-4000-8000-000000000001'",
            "x'00000000000040008000000000000001'",
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_on_postgres_migrates_only_when_told_and_says_what_to_run() {
    let name = postgres::shared().empty_database().await;
    let url = postgres::shared().url(&name);
    let mut server = process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    server.wait_for("run: entitlementd migrate");
    drop(server);
    let mut server =
        process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url, "--migrate"]);
    server.wait_for("\"ready\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_behind_is_not_serving_and_is_looked_at_again() {
    let database = Database::empty_postgres().await;
    let url = database.url.clone();
    let server = Server::start_unready(database, &[]).await;
    assert_eq!(server.health("").await, ServingStatus::NotServing);
    assert_eq!(server.health("entitlement.v1.EntitlementService").await, ServingStatus::NotServing);
    process::migrate(&url);
    server.wait_until_ready().await;
    assert_eq!(server.health("entitlement.v1.EntitlementService").await, ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_ahead_is_served_while_every_column_is_there() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let newer = "INSERT INTO entitlementd_migrations (version, applied_at) VALUES ('m20991231_000009_newer', 0)";
        database.execute(newer).await;
        let output = process::run(&["migrate", "--database-url", &database.url]);
        assert!(
            output.status.success(),
            "nothing is pending: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            String::from_utf8(output.stdout).unwrap().contains("unknown  m20991231_000009_newer")
        );
        let mut server = Server::start(database).await;
        server.check(1, "finance").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_ahead_that_lacks_a_column_is_not_served() {
    let database = Database::postgres().await;
    database.execute("ALTER TABLE tenants RENAME COLUMN status TO state").await;
    let mut server =
        process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    server.wait_for("the table tenants has no column status");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_path_of_the_roles_own_misleads_no_migration_whatever_is_in_between() {
    for pooler in ["none", "session", "transaction"] {
        let database = Database::empty_postgres().await;
        let name = &database.name;
        database
            .execute(&format!(
                "CREATE SCHEMA erp; ALTER DATABASE {name} SET search_path = erp, public"
            ))
            .await;
        let migrated = process::run(&[
            "migrate",
            "--database-pooler",
            pooler,
            "--database-url",
            &database.url,
        ]);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let elsewhere = "SELECT count(*) FROM pg_class WHERE relnamespace = 'erp'::regnamespace";
        assert_eq!(count(&database, elsewhere).await, 0, "{pooler}");
        let server = Server::start_with(database, &["--database-pooler", pooler]).await;
        drop(server);
    }
}
