//! Adopted databases that lack columns which only administration needs.

use std::process::Output;

use crate::harness::{Database, Server, process};

const SCHEMA: &str = include_str!("../fixtures/variant_live.sql");
const ROWS: &str = include_str!("../fixtures/rows.sql");

async fn without(table: &str, column: &str) -> Database {
    let database = Database::empty_postgres().await;
    database.execute(SCHEMA).await;
    database.execute(&format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
    database
}

fn run(database: &Database, arguments: &[&str]) -> Output {
    process::run(&[arguments, &["--database-url", &database.url]].concat())
}

fn refused(output: Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_only_administrators_need_is_named_and_checks_are_answered() {
    for (table, column) in [("modules", "price_monthly"), ("tenant_subscriptions", "auto_renew")] {
        let database = without(table, column).await;
        // The fixture's rows name neither.
        database.execute(ROWS).await;
        let sentence = format!("the table {table} has no column {column}");
        for arguments in [&["migrate"][..], &["migrate", "--status"]] {
            let output = run(&database, arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let listed = String::from_utf8(output.stdout).unwrap();
            let missing: Vec<&str> =
                listed.lines().filter(|line| line.starts_with("missing")).collect();
            assert_eq!(missing.len(), 1, "{listed}");
            assert!(missing[0].starts_with(&format!("missing  {sentence}")), "{listed}");
        }
        for arguments in [
            &["tenant", "enable", "acme", "marketing"][..],
            &["tenant", "set-status", "acme", "suspended", "--reason", "unpaid"],
            &["plan", "upsert", "cheap", "--name", "Cheap"],
        ] {
            let error = refused(run(&database, arguments));
            assert!(error.contains(&sentence), "{arguments:?}: {error}");
        }
        let mut server = Server::start(database).await;
        assert!(server.check(1, "finance").await.allowed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_read_names_the_column() {
    let databases = [
        (Database::postgres().await, "modules", "price_yearly", "module"),
        (Database::sqlite().await, "modules", "price_yearly", "module"),
        (Database::postgres().await, "plans", "max_users", "plan"),
    ];
    for (database, table, column, command) in databases {
        database.execute(&format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
        let error = refused(run(&database, &[command, "list"]));
        assert!(error.contains(&format!("the table {table} has no column {column}")), "{error}");
        assert!(!error.contains("rejects a statement"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalogue_is_not_put_where_a_column_is_missing() {
    let database = without("modules", "price_monthly").await;
    let error = refused(run(&database, &["migrate"]));
    let sentence = "the table modules is empty and cannot be filled: the table modules has no column price_monthly";
    assert!(error.contains(sentence), "{error}");
}

/// What is listed as needed is all that is needed: every other column is dropped, and tenants live
/// their lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_needed_that_is_not_listed() {
    let database = Database::postgres().await;
    for (table, columns) in [
        ("plans", &["original_price_inr"][..]),
        ("modules", &["icon", "color"]),
        ("tenants", &["tenant_metadata"]),
        (
            "billing_history",
            &[
                "invoice_number",
                "billing_period_start",
                "billing_period_end",
                "amount",
                "tax_amount",
                "total_amount",
                "payment_method",
                "payment_transaction_id",
                "invoice_data",
                "paid_at",
                "due_date",
                "created_at",
                "updated_at",
            ],
        ),
        (
            "usage_metrics",
            &["module_code", "metric_type", "metric_value", "recorded_at", "metric_metadata"],
        ),
    ] {
        for column in columns {
            database.execute(&format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
        }
    }
    for arguments in [
        &["migrate"][..],
        &["tenant", "onboard", "acme", "--name", "Acme", "--plan", "starter"],
        &["tenant", "provision", "acme"],
        &["tenant", "enable", "acme", "finance"],
        &["tenant", "change-plan", "acme", "growth"],
        &["tenant", "disable", "acme", "crm_service"],
        &["module", "upsert", "finance", "--new-code", "money"],
        &["module", "upsert", "new", "--name", "New"],
        &["module", "list"],
        &["plan", "upsert", "starter", "--price", "1.00"],
        &["plan", "upsert", "new", "--name", "New"],
        &["plan", "list"],
        &["tenant", "list"],
        &["tenant", "show", "acme"],
        &["tenant", "history", "acme"],
        &["tenant", "set-status", "acme", "cancelled", "--reason", "left"],
        &["tenant", "delete", "acme", "--name", "Acme", "--reason", "left"],
    ] {
        let output = run(&database, arguments);
        let [listed, error] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{arguments:?}: {error}");
        assert!(!listed.contains("missing  "), "{listed}");
    }
}
