//! What a database gets that lacks it: the ERP's tables, modules, plans. It is said beforehand.

use crate::harness::{Database, process};

const LIVE: &str = include_str!("../fixtures/variant_live.sql");
const ALEMBIC: &str = include_str!("../fixtures/variant_alembic.sql");

fn migrate(database: &Database, more: &[&str]) -> String {
    let arguments = [&["migrate", "--database-url", &database.url], more].concat();
    let output = process::run(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn text(database: &Database, sql: &str) -> String {
    database.one(sql).await.try_get_by_index::<String>(0).unwrap()
}

/// The columns and unique keys of some of the ERP's tables.
async fn shape(database: &Database) -> String {
    let tables = "('plans', 'modules', 'tenants', 'tenant_subscriptions')";
    let columns = format!(
        "SELECT string_agg(concat_ws(' ', table_name, column_name, udt_name), ', ' ORDER BY table_name, column_name)
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name IN {tables}"
    );
    let keys = format!(
        "SELECT string_agg(concat_ws(' ', relname, pg_get_constraintdef(c.oid)), ', ' ORDER BY relname, c.oid)
         FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
         WHERE contype = 'u' AND relnamespace = 'public'::regnamespace AND relname IN {tables}"
    );
    text(database, &columns).await + "\n" + &text(database, &keys).await
}

async fn count(database: &Database, table: &str) -> i64 {
    database.one(&format!("SELECT count(*) FROM {table}")).await.try_get_by_index(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_gets_the_tables_that_the_running_erp_reads() {
    for (flags, fixture) in
        [(&[][..], LIVE), (&["--variant", "erp"], LIVE), (&["--variant", "alembic"], ALEMBIC)]
    {
        let (made, erps) = (Database::empty_postgres().await, Database::empty_postgres().await);
        erps.execute(fixture).await;
        migrate(&made, flags);
        assert_eq!(shape(&made).await, shape(&erps).await, "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_missing_is_made_as_those_that_exist() {
    for (fixture, column) in [(ALEMBIC, "metadata"), (LIVE, "metric_metadata")] {
        let database = Database::empty_postgres().await;
        database.execute(fixture).await;
        database.execute("DROP TABLE IF EXISTS usage_metrics").await;
        let variant = if column == "metadata" { "alembic" } else { "erp" };
        let status = migrate(&database, &["--status"]);
        let adds = status.lines().find(|line| line.starts_with("adds     the tables ")).unwrap();
        assert!(adds.ends_with(&format!("usage_metrics (--variant {variant})")), "{status}");
        migrate(&database, &[]);
        database.execute(&format!("SELECT {column} FROM usage_metrics")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_added_is_said_and_nothing_is_added() {
    let database = Database::empty_postgres().await;
    let tables = "plans, modules, tenants, tenant_subscriptions, feature_flags, billing_history, usage_metrics";
    for (flags, catalogue) in [(&["--status"][..], true), (&["--status", "--no-catalogue"], false)]
    {
        let status = migrate(&database, flags);
        assert!(
            status.contains(&format!("adds     the tables {tables} (--variant erp)\n")),
            "{status}"
        );
        let line = "adds     10 modules and 4 plans (unless --no-catalogue)\n";
        assert_eq!(status.contains(line), catalogue, "{status}");
    }
    migrate(&database, &[]);
    assert!(!migrate(&database, &["--status"]).contains("adds"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_are_added_only_together_with_the_modules_that_they_name() {
    let module = "INSERT INTO modules (code, name) VALUES ('core', 'Core')";
    let plan = "INSERT INTO plans (name, slug, type) VALUES ('All', 'all', 'bundle')";
    for (rows, flags, modules, plans) in [
        ("", &[][..], 10, 4),
        ("", &["--no-catalogue"], 0, 0),
        (module, &[], 1, 0),
        (plan, &[], 10, 1),
        (plan, &["--no-catalogue"], 0, 1),
    ] {
        let database = Database::empty_postgres().await;
        database.execute(LIVE).await;
        database.execute(rows).await;
        let status = migrate(&database, &[&["--status"], flags].concat());
        let announced = modules == 10;
        assert_eq!(status.contains("adds     10 modules"), announced, "{rows} {flags:?}: {status}");
        assert_eq!(status.contains("and 4 plans"), plans == 4, "{rows} {flags:?}: {status}");
        migrate(&database, flags);
        let found = (count(&database, "modules").await, count(&database, "plans").await);
        assert_eq!(found, (modules, plans), "{rows} {flags:?}");
        // It stays as it was wanted.
        migrate(&database, &[]);
        assert_eq!(count(&database, "modules").await, modules, "{rows} {flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_lacks_is_said_first_and_what_was_migrated_has_been() {
    let database = Database::empty_postgres().await;
    database.execute(LIVE).await;
    // A bad setting stops it before it begins.
    let flags = ["migrate", "--database-url", &database.url, "--api-endpoints-prefix", "api"];
    assert_eq!(process::run(&flags).status.code(), Some(2));
    assert!(migrate(&database, &["--status"]).contains("pending  m20261123_000001_tables"));
    database.execute("CREATE ROLE nobodys LOGIN").await;
    let url = database.url.replace("postgres://postgres@", "postgres://nobodys@");
    let theirs = database.by_way_of(url).await;
    let status = migrate(&theirs, &["--status"]);
    assert!(status.contains("denied   the role nobodys may not read"), "{status}");
    database.execute("DROP ROLE nobodys").await;
    // What cannot be read of the catalogue is said, and undoes nothing.
    database
        .execute("INSERT INTO modules (code, name) VALUES ('core', 'Core'); ALTER TABLE modules ALTER display_order TYPE text")
        .await;
    assert!(migrate(&database, &[]).contains("applied  m20261123_000001_tables"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_among_the_endpoints_of_modules_are_counted_and_explained() {
    let database = Database::empty_postgres().await;
    database.execute(LIVE).await;
    database
        .execute(
            r#"INSERT INTO modules (code, name, api_endpoints) VALUES
            ('crm_service', 'CRM', '["crm", "service"]'), ('finance', 'Finance', '["/api/v1/billing", "billing", "a?b"]')"#,
        )
        .await;
    let unused = |status: &str| -> Vec<String> {
        status.lines().filter(|line| line.starts_with("unused")).map(str::to_owned).collect()
    };
    // Before anything is migrated, and afterwards.
    for status in [migrate(&database, &["--status"]), migrate(&database, &[])] {
        assert_eq!(
            unused(&status),
            [
                "unused   words in modules.api_endpoints that are no paths: 3, such as \"crm\" of the module crm_service. They close nothing; with --api-endpoints-prefix /api/v1 that one would be /api/v1/crm/**",
                "unused   module finance: the entry \"a?b\" of api_endpoints: a path begins with a slash",
            ]
        );
    }
    let status = migrate(&database, &["--status", "--api-endpoints-prefix", "/api/v1"]);
    assert_eq!(
        unused(&status),
        ["unused   module finance: the entry \"a?b\" of api_endpoints: a path begins with a slash"]
    );
}
