//! `entitlementd tenant`: what an operator types.

use serde_json::Value;

use crate::harness::{Database, Row, id, process::run};

/// Exit code, standard output and standard error.
fn tenant(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    let output = run(&[&["tenant"], arguments, &["--database-url", &database.url]].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(database: &Database, arguments: &[&str]) -> String {
    let (code, output, error) = tenant(database, arguments);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    output
}

fn json(database: &Database, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(database, &[arguments, &["--json"]].concat())).unwrap()
}

async fn both() -> [Database; 2] {
    let databases = [Database::sqlite().await, Database::postgres().await];
    for database in &databases {
        database
            .mk_subscribed(1, "system_admin", Row { starts: -100_000_000, ..Row::default() })
            .await;
    }
    databases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_changed_and_shown_without_a_server() {
    for database in both().await {
        let preview = done(&database, &["enable", "tenant-1", "finance", "hrms", "--preview"]);
        assert!(preview.ends_with("a preview: nothing was changed\n"), "{preview}");
        let lines: Vec<String> = preview
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines[..9],
            [
                "tenant-1 BEFORE AFTER",
                "status active active",
                "plan - -",
                "plan's price - -",
                "beside it 2999.00 17997.00",
                "a month 2999.00 17997.00",
                "a year 32390.00 194370.00",
                "+ finance, without an end",
                "+ hrms, without an end",
            ]
        );
        assert!(!done(&database, &["show", "tenant-1"]).contains("finance"));

        let enabled = json(&database, &["enable", &id(1), "finance", "--expires-at", "2999-01-01"]);
        assert_eq!(enabled["added_module_codes"], serde_json::json!(["finance"]));
        assert_eq!(enabled["after"]["modules"][0]["ends_at"], "2999-01-01T00:00:00Z");
        let shown = done(&database, &["show", "tenant-1"]);
        let line = shown.lines().find(|line| line.starts_with("finance")).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, ["finance", "yes", "ENABLED", "2999-01-01T00:00:00Z"]);

        done(&database, &["set-status", "tenant-1", "suspended", "--reason", "unpaid since May"]);
        let shown = json(&database, &["show", "tenant-1"]);
        assert_eq!(
            (&shown["status"], &shown["modules"][0]["reason"]),
            (&"suspended".into(), &"TENANT_SUSPENDED".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_history_is_a_timeline_of_who_did_what_and_why() {
    for database in both().await {
        assert_eq!(
            done(&database, &["history", "tenant-1"]),
            "nothing was done to it through entitlementd\n"
        );
        done(&database, &["enable", "tenant-1", "finance", "--request-id", "r-1"]);
        done(&database, &["enable", "tenant-1", "finance", "--request-id", "r-1"]);
        done(
            &database,
            &["change-plan", "tenant-1", "starter", "--reason", "\u{1f69b} asked by phone"],
        );
        done(&database, &["disable", "tenant-1", "finance"]);
        done(&database, &["set-status", "tenant-1", "cancelled", "--reason", "left us"]);

        let history = done(&database, &["history", "tenant-1"]);
        let who = run_whoami();
        let told: Vec<&str> = history
            .lines()
            .map(|line| line.split_once("Z  ").map_or(line, |(_, told)| told))
            .collect();
        assert_eq!(
            told,
            [
                &format!("{who} (os_user)  EnableModules"),
                "    + finance, without an end",
                "    a month 2999.00 -> 12998.00",
                &format!("{who} (os_user)  ChangePlan"),
                "    because \u{1f69b} asked by phone",
                "    plan none -> starter",
                "    + d2c_storefront, without an end",
                "    + oms_fulfillment, without an end",
                "    a month 12998.00 -> 29998.00",
                &format!("{who} (os_user)  DisableModules"),
                "    - finance",
                "    a month 29998.00 -> 19999.00",
                &format!("{who} (os_user)  SetTenantStatus"),
                "    because left us",
                "    status active -> cancelled",
            ]
        );
        let newest = json(&database, &["history", &id(1), "--limit", "1"]);
        assert_eq!(
            (newest.as_array().unwrap().len(), &newest[0]["action"]),
            (1, &"SetTenantStatus".into())
        );
    }
}

fn run_whoami() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_ends_with_1_and_what_cannot_be_done_with_2() {
    let [database, _] = both().await;
    let (code, output, error) =
        tenant(&database, &["enable", "tenant-1", "sales_distribution", "nope"]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert_eq!(
        error,
        "refused: The module 'sales_distribution' requires 'oms_fulfillment', which is not enabled.\n\
         refused: There is no module 'nope'.\n"
    );
    for (arguments, complaint) in [
        (vec!["show", "nobody"], r#"there is no tenant "nobody""#),
        (vec!["history", "nobody"], r#"there is no tenant "nobody""#),
        (vec!["enable", "nobody", "finance"], "there is no such tenant"),
        (vec!["show", "a b"], "expected a UUID in 36-character form, or a subdomain"),
        (
            vec!["set-status", "tenant-1", "suspended"],
            "--reason is needed to suspend or cancel a tenant",
        ),
        (
            vec!["set-status", "tenant-1", "pending"],
            "[possible values: active, suspended, cancelled]",
        ),
        (vec!["enable", "tenant-1", "finance", "--reason", " "], "must be 1 to 500 characters"),
        (vec!["enable", "tenant-1"], "required arguments were not provided"),
    ] {
        let (code, output, error) = tenant(&database, &arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(error.contains(complaint), "{arguments:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_behind_is_not_written_to() {
    let database = Database::empty_postgres().await;
    let (code, _, error) = tenant(&database, &["enable", "tenant-1", "finance"]);
    assert_eq!(
        (code, error.as_str()),
        (2, "error: the database's schema is behind: run entitlementd migrate first\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_a_log_of_changes_is_written_to_where_that_is_said() {
    let database = Database::empty_postgres().await;
    assert!(
        run(&["migrate", "--changes", "off", "--database-url", &database.url]).status.success()
    );
    database.mk_tenant(1, "tenant-1", "active").await;
    assert_eq!(tenant(&database, &["enable", "tenant-1", "finance"]).0, 2);
    assert_eq!(
        json(&database, &["enable", "tenant-1", "finance", "--changes", "off"])["revision"],
        0
    );
}

/// The example that ships.
const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tenant-template");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_brought_in_with_its_schema() {
    for database in both().await {
        let onboard =
            ["onboard", "testcompany", "--name", "Test Company", "--tenant-template", TEMPLATE];
        let (code, _, error) = tenant(&database, &onboard);
        assert_eq!(code, 2, "{error}");
        let onboarded = done(&database, &[&onboard[..], &["--plan", "starter"]].concat());
        let wanted = if database.is_sqlite() {
            "no schema was made: SQLite has none"
        } else {
            "schema tenant_testcompany"
        };
        assert_eq!(onboarded.lines().next(), Some(wanted));
        assert_eq!(json(&database, &["show", "testcompany"])["status"], "active");
        let (code, _, error) =
            tenant(&database, &[&onboard[..], &["--module", "hrms,finance"]].concat());
        assert_eq!((code, error.as_str()), (1, "refused: This subdomain is already taken.\n"));
        let (code, _, error) =
            tenant(&database, &["onboard", "www", "--name", "X", "--plan", "starter"]);
        assert_eq!((code, error.as_str()), (1, "refused: This subdomain is reserved.\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_rolled_out_to_500_tenants_and_one_that_fails_stops_nobody() {
    let database = Database::postgres().await;
    for number in 1..=501 {
        let status = if number == 501 { "cancelled" } else { "active" };
        database.mk_tenant(number, &format!("tenant-{number}"), status).await;
        database.mk_subscription(number, "hrms", Row::default()).await;
    }
    // One has a table of its own in the way.
    database
        .execute(
            r#"CREATE SCHEMA "tenant_tenant-7"; CREATE TABLE "tenant_tenant-7".roles (id int)"#,
        )
        .await;
    let provision = ["provision", "--all", "--tenant-template", TEMPLATE];
    let (code, output, error) = tenant(&database, &provision);
    assert_eq!((code, output.as_str()), (1, "500 tenants looked at, 499 changed, 1 failed\n"));
    assert!(error.contains(&format!(
        "failed: {} the file _base/001_people.sql of the tenant template failed",
        id(7)
    )));
    let (code, output, _) = tenant(&database, &["verify", "--tenant-template", TEMPLATE]);
    assert_eq!(
        (code, output),
        (1, format!("{}: its schema was not made from a template\n", id(7)))
    );

    database.execute(r#"DROP TABLE "tenant_tenant-7".roles"#).await;
    assert_eq!(done(&database, &provision), "500 tenants looked at, 1 changed, 0 failed\n");
    assert_eq!(
        done(&database, &["verify", "--tenant-template", TEMPLATE]),
        "every schema is as the template says\n"
    );
    assert_eq!(done(&database, &provision), "500 tenants looked at, 0 changed, 0 failed\n");

    // Another template: a file is new, one was edited, and others are gone.
    let template = tempfile::tempdir().unwrap();
    let base = template.path().join("_base");
    std::fs::create_dir(&base).unwrap();
    std::fs::write(base.join("001_people.sql"), "SELECT 1").unwrap();
    std::fs::write(base.join("003_new.sql"), "SELECT 1").unwrap();
    let other = template.path().to_str().unwrap();
    let (code, output, _) = tenant(&database, &["verify", "tenant-1", "--tenant-template", other]);
    assert_eq!(
        (code, output.as_str()),
        (
            1,
            "tenant-1: lacks _base/003_new.sql; has an older _base/001_people.sql; has what the template lacks: \
             _base/002_audit.sql, hrms/001_employees.sql\n"
        )
    );
    let report = json(&database, &["provision", "tenant-1", "--tenant-template", other]);
    assert_eq!((&report["changed"], &report["failures"]), (&1.into(), &serde_json::json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_listed_and_deleted() {
    for database in both().await {
        database.mk_tenant(2, "gone", "cancelled").await;
        let listed = done(&database, &["list"]);
        let lines: Vec<Vec<&str>> =
            listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["SUBDOMAIN", "NAME", "STATUS", "PLAN", "ID"]);
        assert_eq!(lines[2], ["gone", "Tenant", "2", "cancelled", &id(2)]);
        assert_eq!(lines[3], ["2", "of", "2"]);
        assert_eq!(json(&database, &["list", "tenant", "--status", "active"])["total"], 1);
        assert_eq!(
            json(&database, &["list", "--limit", "1", "--after", &id(1)])["tenants"][0]["id"],
            id(2)
        );
        let (code, _, error) = tenant(&database, &["delete", "gone", "--name", "tenant 2"]);
        assert_eq!(
            (code, error.as_str()),
            (1, "refused: The tenant is not called that: repeat its name, letter by letter.\n")
        );
        let deleted = done(&database, &["delete", "gone", "--name", "Tenant 2"]);
        assert_eq!(deleted, format!("gone ({}) is deleted\n", id(2)));
        assert!(done(&database, &["history", &id(2)]).contains("DeleteTenant"));
    }
}
