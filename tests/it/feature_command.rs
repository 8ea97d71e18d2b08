//! `entitlementd feature`, `limit`, and what they do to plans and tenants.

use serde_json::{Value, json};

use crate::harness::{Database, Row, id, process::run};

/// Exit code, standard output and standard error.
fn command(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    let output = run(&[arguments, &["--database-url", &database.url]].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What it prints, without what aligns it.
fn done(database: &Database, arguments: &[&str]) -> Vec<String> {
    let (code, output, error) = command(database, arguments);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    output.lines().map(words).collect()
}

fn refused(database: &Database, arguments: &[&str]) -> String {
    let (code, _, error) = command(database, arguments);
    assert_eq!(code, 1, "{arguments:?}: {error}");
    error
}

fn told(database: &Database, arguments: &[&str]) -> Value {
    let (code, output, error) = command(database, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{arguments:?}: {error}");
    serde_json::from_str(&output).unwrap()
}

async fn both() -> [Database; 2] {
    let databases = [Database::sqlite().await, Database::postgres().await];
    for database in &databases {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
    }
    databases
}

const DEFINE: [&str; 9] = [
    "feature",
    "define",
    "finance",
    "rows",
    "--value-type",
    "int64",
    "--default-value",
    "7",
    "--name=Rows",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_and_limits_are_defined_listed_and_said_by_plans() {
    for database in both().await {
        let preview = done(&database, &[&DEFINE[..], &["--preview"]].concat());
        assert_eq!(preview.last().unwrap(), "a preview: nothing was changed");
        assert_eq!(done(&database, &["feature", "list"]), ["FEATURE TYPE DEFAULT PLANS NAME"]);
        done(&database, &DEFINE);
        let growth = ["plan", "set-feature", "growth", "finance", "rows", "on", "--value", "9"];
        let changed = told(&database, &growth);
        assert_eq!(
            changed["after"]["plans"],
            json!([{"plan_slug": "growth", "enabled": true, "value": 9}])
        );
        assert_eq!(
            done(&database, &["feature", "list", "--module", "finance"])[1],
            "finance/rows int64 off, 7 growth: on, 9 Rows"
        );
        let none = ["plan", "set-feature", "growth", "finance", "rows", "default"];
        assert_eq!(told(&database, &none)["after"]["plans"], json!([]));
        let error = refused(&database, &["feature", "define", "nope", "rows"]);
        assert_eq!(error, "refused: There is no module 'nope'.\n");
        let bad = ["plan", "set-feature", "growth", "finance", "rows", "on", "--value", "{"];
        assert_eq!(command(&database, &bad).0, 2);

        done(&database, &["limit", "define", "warehouses", "--kind", "level"]);
        done(&database, &["plan", "set-limit", "growth", "warehouses", "0"]);
        let listed = done(&database, &["limits", "list"]);
        assert_eq!(
            listed[3],
            "warehouses level enterprise: unlimited; growth: 0; professional: unlimited; starter: unlimited"
        );
        let users = told(&database, &["limit", "list"]);
        assert_eq!(users[1]["plans"][3], json!({"plan_slug": "starter", "limit": 5}));

        // Tenants of a plan are not forgotten.
        let lower = ["plan", "set-limit", "starter", "users", "3"];
        assert!(refused(&database, &lower).contains("has tenants (1)"));
        let kept = [&lower[..], &["--existing-tenants", "keep"]].concat();
        assert_eq!(done(&database, &kept).last().unwrap(), "tenants that keep what they had: 1");
        let upsert = ["plan", "upsert", "starter", "--max-users", "2"];
        assert!(refused(&database, &upsert).contains("has tenants (1)"));
        told(&database, &[&upsert[..], &["--existing-tenants", "apply"]].concat());
        let shown = done(&database, &["tenant", "show", "tenant-1"]);
        let line = shown.iter().find(|line| line.starts_with("users ")).unwrap();
        assert!(line.starts_with("users 5 plan - kept from before 20"), "{line}");
        let listed = done(&database, &["plan", "list"]);
        assert!(listed.iter().any(|line| line.contains("monthly 2 3")), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_flags_and_limits_are_set_shown_and_told_in_its_history() {
    for database in both().await {
        done(&database, &DEFINE);
        let flag = ["tenant", "set-flag", "tenant-1", "finance", "rows", "on", "--value", "8"];
        assert_eq!(
            done(&database, &[&flag[..], &["--preview"]].concat()),
            ["none -> on, 8", "a preview: nothing was changed"]
        );
        let set = done(&database, &[&flag[..], &["--reason", "ordered by phone"]].concat());
        assert_eq!(set[0], "none -> on, 8");
        assert!(set[1].starts_with("revision "), "{set:?}");
        let limit = [
            "tenant",
            "set-limit",
            &id(1),
            "users",
            "20",
            "--ends-at",
            "2999-01-01",
            "--reason",
            "a favour",
        ];
        assert_eq!(done(&database, &limit)[0], "none -> 20 until 2999-01-01T00:00:00Z");

        let shown = done(&database, &["tenant", "show", "tenant-1"]);
        for line in [
            "costs 29998.00 a month: the plan 19999.00, beside it 9999.00 a month",
            "finance/rows on 8",
            "transactions_monthly 1000 plan -",
            "users 20 override 2999-01-01T00:00:00Z a favour",
        ] {
            assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:#?}");
        }
        let shown = told(&database, &["tenant", "show", "tenant-1"]);
        assert_eq!(shown["flags"][0]["value"], 8);
        assert_eq!(shown["limit_overrides"][0]["reason"], "a favour");
        assert_eq!(shown["limits"][1]["limit"], 20);
        assert_eq!(shown["entitlements"]["total_monthly"], "29998.00");
        assert_eq!(shown["entitlements"]["modules_beside_plan"], json!(["finance"]));

        done(&database, &["tenant", "delete-flag", "tenant-1", "finance", "rows"]);
        assert_eq!(
            done(&database, &["tenant", "end-limit", "tenant-1", "users"])[0],
            "20 until 2999-01-01T00:00:00Z -> none"
        );
        let history = done(&database, &["tenant", "history", "tenant-1"]);
        let changes: Vec<&String> = history
            .iter()
            .filter(|line| line.starts_with("flag ") || line.starts_with("limit "))
            .collect();
        assert_eq!(
            changes,
            [
                "flag finance/rows none -> on, 8",
                "limit users none -> 20 until 2999-01-01T00:00:00Z",
                "flag finance/rows on, 8 -> none",
                "limit users 20 until 2999-01-01T00:00:00Z -> none",
            ]
        );
        let error =
            refused(&database, &["tenant", "set-flag", "tenant-1", "finance", "nope", "on"]);
        assert_eq!(error, "refused: There is no feature 'finance/nope'.\n");
        assert_eq!(command(&database, &["tenant", "set-limit", "tenant-1", "users", "-1"]).0, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_time_zone_is_set_for_a_month_to_come_shown_and_told_in_its_history() {
    for database in both().await {
        let set = ["tenant", "set-time-zone", "tenant-1", "Asia/Kolkata"];
        let preview = done(&database, &[&set[..], &["--preview"]].concat());
        let to_come = "UTC (of the servers) -> UTC (of the servers), from ";
        assert!(preview[0].starts_with(to_come), "{preview:?}");
        assert_eq!(preview[1], "a preview: nothing was changed");
        let change = told(&database, &[&set[..], &["--reason", "they moved"]].concat());
        let next = &change["after"]["next"];
        assert_eq!((&next["time_zone"], &next["is_own"]), (&json!("Asia/Kolkata"), &json!(true)));
        let (present, month) = (&change["after"]["present"], next["month"].as_str().unwrap());
        assert!(present["month"].as_str().unwrap() < month, "{change}");
        assert!(next["starts_at"].as_str().unwrap().ends_with("T18:30:00Z"), "{change}");

        let words = preview[0].split(" -> ").nth(1).unwrap();
        let shown = done(&database, &["tenant", "show", "tenant-1"]);
        assert!(shown.contains(&format!("months {words}")), "{words}: {shown:#?}");
        let shown = told(&database, &["tenant", "show", "tenant-1"]);
        assert_eq!(shown["time_zone"], change["after"]);
        let used = done(&database, &["usage", "show", "tenant-1"]);
        assert_eq!(used[0], format!("months of {words}"));
        let used = told(&database, &["usage", "show", "tenant-1", "--time-zone", "Europe/Paris"]);
        assert_eq!(used["time_zone"]["present"]["time_zone"], "Europe/Paris");
        let history = done(&database, &["tenant", "history", "tenant-1"]);
        assert!(
            history.contains(&format!("time zone UTC (of the servers) -> {words}")),
            "{history:#?}"
        );

        let back = told(&database, &["tenant", "set-time-zone", &id(1), "servers"]);
        assert_eq!((&back["after"], &back["after"]["next"]), (&change["before"], &json!(null)));
        let (code, _, error) =
            command(&database, &["tenant", "set-time-zone", "tenant-1", "Mars/Phobos"]);
        assert!(code == 2 && error.contains("Mars/Phobos"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_keeps_of_its_plan_is_shown_listed_explained_told_and_ended() {
    for database in both().await {
        done(&database, &DEFINE);
        let off = ["plan", "set-feature", "starter", "finance", "rows", "on", "--value", "9"];
        let keep = ["--existing-tenants", "keep"];
        done(&database, &[&off[..], &keep].concat());
        done(&database, &[&["plan", "set-limit", "starter", "users", "3"][..], &keep].concat());

        let begins = |lines: &[String], beginning: &str| {
            assert!(
                lines.iter().any(|line| line.starts_with(beginning)),
                "{beginning}: {lines:#?}"
            );
        };
        let shown = done(&database, &["tenant", "show", "tenant-1"]);
        begins(&shown, "finance/rows nothing - kept from before 20");
        begins(&shown, "users 5 plan - kept from before 20");
        let shown = told(&database, &["tenant", "show", "tenant-1"]);
        assert_eq!(shown["kept_features"][0]["enabled"], Value::Null);
        assert_eq!(shown["kept_limits"][0]["limit"], 5);
        let listed = done(&database, &["feature", "list"]);
        begins(&listed, "finance/rows int64 off, 7 starter: on, 9; starter: 1 keep what it was");
        let listed = told(&database, &["limit", "list"]);
        assert_eq!(listed[1]["keeping"], json!([{"plan_slug": "starter", "tenants": 1}]));

        let check = ["check", "--tenant", "tenant-1", "--limit", "users", "--observed", "5"];
        let explained = done(&database, &check);
        begins(&explained, "plan starter: 3");
        begins(&explained, "5, kept from before 20");
        let check = ["check", "--tenant", "tenant-1", "--module", "finance", "--feature", "rows"];
        let (code, explained, _) = command(&database, &check);
        assert!(
            code == 1 && explained.contains("says nothing, kept from before 20"),
            "{explained}"
        );

        let history = done(&database, &["tenant", "history", "tenant-1"]);
        begins(&history, "feature finance/rows stays the default, kept from before 20");
        begins(&history, "limit users stays 5, kept from before 20");
        let ended = done(&database, &["tenant", "end-kept-limit", "tenant-1", "users"]);
        begins(&ended, "5, kept from before 20");
        assert!(ended[0].ends_with("-> none"), "{ended:?}");
        done(&database, &["tenant", "end-kept-feature", "tenant-1", "finance", "rows"]);
        let shown = done(&database, &["tenant", "show", "tenant-1"]);
        assert!(shown.iter().any(|line| line == "users 3 plan -"), "{shown:#?}");
        let history = done(&database, &["tenant", "history", "tenant-1"]);
        begins(&history, "feature finance/rows the default, kept from before 20");
    }
}

#[test]
fn the_report_says_whom_limits_would_have_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("decisions.jsonl");
    let line = |tenant: u32, limit: &str, decision: &str, second: u32| {
        json!({"time": format!("2026-11-29T10:00:{second:02}Z"), "asked": "CheckLimit", "decision": decision,
               "tenant_id": id(tenant), "limit": limit, "reason": "EXCEEDED", "revision": 1})
        .to_string()
    };
    let lines = [
        line(1, "users", "would_deny", 1),
        line(2, "users", "would_deny", 2),
        line(2, "users", "would_deny", 3),
        line(3, "users", "granted", 4),
        json!({"decision": "would_deny", "route": "/a", "method": "GET", "reason": "NOT_SUBSCRIBED"}).to_string(),
        "nonsense".to_owned(),
    ];
    std::fs::write(&log, lines.join("\n")).unwrap();
    let log = log.to_str().unwrap();
    let report = run(&["limits", "shadow-report", "--decision-log", log, "--json"]);
    assert_eq!(report.status.code(), Some(1));
    assert_eq!(String::from_utf8(report.stderr).unwrap(), "1 lines are not of a decision log\n");
    let row = |tenant: u32, requests: u32, last: &str| json!({"tenant_id": id(tenant), "limit": "users", "reason": "EXCEEDED", "decision": "would_deny", "requests": requests, "last": last});
    assert_eq!(
        serde_json::from_slice::<Value>(&report.stdout).unwrap(),
        json!([row(2, 2, "2026-11-29T10:00:03Z"), row(1, 1, "2026-11-29T10:00:01Z")])
    );
    let table = run(&["limit", "shadow-report", "--decision-log", log]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("2 "), "{table}");
    // Those of proxies' requests are in the other report, and no others.
    let routes = run(&["routes", "shadow-report", "--decision-log", log, "--json"]);
    let routes: Value = serde_json::from_slice(&routes.stdout).unwrap();
    assert_eq!(routes.as_array().unwrap().len(), 1);
    std::fs::write(log, line(1, "users", "denied", 1)).unwrap();
    let stopped = run(&["limits", "shadow-report", "--decision-log", log, "--json"]);
    let stopped: Value = serde_json::from_slice(&stopped.stdout).unwrap();
    assert_eq!(stopped[0]["decision"], "denied", "where limits hold already");
    std::fs::write(log, "").unwrap();
    let nobody = run(&["limits", "shadow-report", "--decision-log", log]);
    assert_eq!(nobody.status.code(), Some(0));
    std::fs::write(log, "nonsense\n").unwrap();
    let nothing = run(&["limits", "shadow-report", "--decision-log", log]);
    assert_eq!(nothing.status.code(), Some(2), "that is no good news");
}
