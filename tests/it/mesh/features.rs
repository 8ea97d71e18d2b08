//! Routes that need a feature beside a module.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Kind, Mesh, mk_module};
use crate::{
    features::Defined,
    harness::{Database, Row, id, process, until},
    metrics::SHOWN,
    on_both_proxies,
};

const ROUTES: &str = r#"
    [[route]]
    path = "/exports/**"
    module = "finance"
    feature = "bulk_export"

    [[route]]
    path = "/reports"
    any_of = ["hrms", "finance", "oms_fulfillment"]
    feature = "reports"

    [[route]]
    path = "/new"
    module = "finance"
    feature = "bulk_export"
    enforce = false

    [[route]]
    path = "/finance"
    module = "finance"
"#;

/// A tenant on the plan growth, which has finance and oms_fulfillment.
async fn seeded() -> Database {
    let database = Database::postgres().await;
    for module in ["oms_fulfillment", "finance", "hrms"] {
        mk_module(&database, module).await;
    }
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscription(1, "oms_fulfillment", Row::default()).await;
    database.put_on_plan(1, "growth").await;
    let defined = Defined { key: "bulk_export", value_type: "bool", ..Defined::default() };
    database.define("finance", defined).await;
    database.plan_says("growth", "finance", "bulk_export", false, "NULL").await;
    database.plan_says("professional", "finance", "bulk_export", true, "NULL").await;
    database.flag(1, "oms_fulfillment", "reports", "true", "'{}'").await;
    database
}

on_both_proxies! {
    async fn a_route_is_open_only_while_its_feature_is_on(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let database = &mesh.server.database;
        let own = id(1);
        let tenant = [("x-tenant-id", own.as_str())];
        let refused = mesh.get("/exports/5", &tenant).await;
        assert_eq!((refused.status, refused.reason().as_str()), (403, "PLAN"));
        assert!(refused.head.contains("x-entitlement-reason: plan"), "{refused:?}");
        let body = refused.json();
        assert_eq!(body["detail"], "Your plan does not include the feature 'bulk_export' of module 'finance'. Please upgrade your plan.");
        assert_eq!(body["plan_slugs"][0], "professional");
        assert_eq!(mesh.get("/finance", &tenant).await.status, 200, "the module is open");
        // Of several modules one that has it on is enough.
        let passed = mesh.get("/reports", &tenant).await;
        assert_eq!((passed.seen("x-tenant-id"), passed.seen("x-tenant-plan")), (own.clone(), "growth".to_owned()));

        let answers = async |status: u16, reason: &str| {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let reply = mesh.get("/exports/5", &tenant).await;
                if reply.status == status && (status == 200 || reply.reason() == reason) {
                    return;
                }
                assert!(Instant::now() < deadline, "never {status} {reason}: {reply:?}");
            }
        };
        database.flag(1, "finance", "bulk_export", "true", "'true'").await;
        answers(200, "").await;
        database.execute("UPDATE feature_flags SET config = '7' WHERE feature_key = 'bulk_export'").await;
        answers(403, "VALUE_UNREADABLE").await;
        database.execute("UPDATE feature_flags SET is_enabled = false WHERE feature_key = 'bulk_export'").await;
        answers(403, "TENANT").await;
        database.execute("DELETE FROM feature_flags WHERE feature_key = 'bulk_export'").await;
        answers(403, "PLAN").await;
        database.execute("DELETE FROM entitlement_plan_features").await;
        answers(403, "DEFAULT").await;
        database.execute("DELETE FROM entitlement_features").await;
        answers(403, "NOT_FOUND").await;
        // Of a denied module its own reason is told.
        database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
        answers(403, "SUBSCRIPTION_SUSPENDED").await;
        database.execute("DELETE FROM tenant_subscriptions").await;
        answers(403, "NOT_SUBSCRIBED").await;
        assert_eq!(mesh.get("/exports/5", &[]).await.status, 401);
    }
}

on_both_proxies! {
    async fn in_shadow_mode_it_passes_and_the_log_has_the_feature(kind: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let log = path.to_str().unwrap();
        let flags = [&["--decision-log", log, "--decision-log-one-grant-in", "1"][..], &SHOWN].concat();
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &flags).await;
        let own = id(1);
        let tenant = [("x-tenant-id", own.as_str())];
        let shadowed = mesh.get("/new", &tenant).await;
        assert_eq!(shadowed.seen("x-entitlement-would-deny"), "PLAN");
        assert_eq!(shadowed.seen("x-tenant-id"), own);
        assert_eq!(mesh.get("/exports/5", &tenant).await.status, 403);
        assert_eq!(mesh.get("/reports", &tenant).await.seen("x-entitlement-would-deny"), "");
        assert_eq!(mesh.get("/finance", &tenant).await.status, 200);
        assert_eq!(mesh.get("/exports/5", &[]).await.status, 401);
        let metrics = mesh.server.metrics().await;
        let proxy = if matches!(kind, Kind::Envoy) { "ext_authz" } else { "forward_auth" };
        for (verdict, code) in [("would_deny", "200"), ("refused", "403")] {
            let series = format!(
                "entitlementd_gateway_requests_total{{proxy=\"{proxy}\",verdict=\"{verdict}\",reason=\"PLAN\",code=\"{code}\"}}"
            );
            assert_eq!(metrics.samples.get(&series), Some(&1.0), "{series}");
        }
        if let Kind::Envoy = kind {
            until("the access log is written", || mesh.log().contains(r#""feature":"bulk_export""#));
        }
        let Mesh { server, proxy, .. } = mesh;
        drop(proxy);
        server.running.stop().await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |line: &Value| {
            ["decision", "module", "feature", "reason"].map(|name| line[name].as_str().unwrap_or_default().to_owned())
        };
        let told: Vec<_> = lines.iter().map(told).collect();
        assert_eq!(told, [
            ["would_deny", "finance", "bulk_export", "PLAN"],
            ["refused", "finance", "bulk_export", "PLAN"],
            ["granted", "oms_fulfillment", "reports", "ENABLED"],
            ["granted", "finance", "", "ENABLED"],
            ["refused", "", "", "TENANT_NOT_FOUND"],
        ].map(|line| line.map(str::to_owned)));
        let report = process::run(&["routes", "shadow-report", "--decision-log", log]);
        let report = String::from_utf8(report.stdout).unwrap();
        assert!(report.contains("/new   finance bulk_export  PLAN"), "{report}");
        let report = process::run(&["routes", "shadow-report", "--decision-log", log, "--json"]);
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!((&report[0]["module"], &report[0]["feature"]), (&"finance".into(), &"bulk_export".into()));
    }
}
