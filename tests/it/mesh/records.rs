//! What the decision log says of the requests that proxies ask about.

use std::{fs, path::Path};

use serde_json::Value;

use super::{Kind, Mesh, ROUTES, forward_auth::Asked, seeded};
use crate::{
    harness::{id, process},
    on_both_proxies,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The lines that the log of a server that has ended has.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

on_both_proxies! {
    async fn a_line_has_the_ids_that_the_service_got(kind: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let flags =
            ["--decision-log", path.to_str().unwrap(), "--decision-log-one-grant-in", "1"];
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &flags).await;
        let (own, traceparent) = (id(1), format!("00-{TRACE}-b7ad6b7169203331-00"));
        let tenant = ("x-tenant-id", own.as_str());
        let given = mesh.get("/api/v1/orders/1", &[tenant, ("traceparent", &traceparent)]).await;
        let seen = given.seen("x-request-id");
        assert!(seen.len() >= 16, "{seen:?}");
        let refused = mesh.get("/api/v1/orders/1/invoice", &[tenant]).await;
        assert_eq!(refused.reason(), "NOT_SUBSCRIBED");
        let Mesh { server, proxy, .. } = mesh;
        drop(proxy);
        server.running.stop().await.unwrap();
        let lines = lines(&path);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["decision"], &lines[0]["request_id"]), (&"granted".into(), &seen.into()));
        assert_eq!(lines[0]["trace_id"], TRACE);
        assert_eq!((&lines[1]["decision"], &lines[1]["trace_id"]), (&"refused".into(), &Value::Null));
        assert_ne!(lines[0]["request_id"], lines[1]["request_id"]);
    }
}

on_both_proxies! {
    async fn a_path_without_a_rule_is_found_in_the_log_and_gets_one(kind: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let [log, routes, proposed] = ["decisions.jsonl", "routes.toml", "proposed.csv"]
            .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
        let flags = ["--enforce", "off", "--decision-log", &log];
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &flags).await;
        let own = id(1);
        let tenant = ("x-tenant-id", own.as_str());
        for target in ["/api/v1/exports/17?token=hunter2", "/api/v1/exports/18;key=hunter2/", "/api/v1/me"] {
            assert_eq!(mesh.get(target, &[tenant]).await.status, 200, "{target}");
        }
        mesh.send("POST", "/api/v1/reset-password/swordfish", &[]).await;
        let Mesh { server, proxy, .. } = mesh;
        drop(proxy);
        server.running.stop().await.unwrap();
        let text = fs::read_to_string(&log).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("swordfish"), "{text}");

        let report = process::run(&["routes", "shadow-report", "--decision-log", &log, "--json"]);
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let rows: Vec<_> = report.as_array().unwrap().iter().map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (row["requests"].as_u64().unwrap(), text("method"), text("path"), text("reason"))
        }).collect();
        let row = |requests, method: &str, path: &str| {
            (requests, method.to_owned(), path.to_owned(), "ROUTE_NOT_MAPPED".to_owned())
        };
        assert_eq!(rows, [row(2, "GET", "/api/v1/exports/{}"), row(1, "POST", "/api/v1/reset-password/{}")]);

        fs::write(&routes, ROUTES).unwrap();
        let propose = ["routes", "shadow-report", "--decision-log", &log, "--propose", "--routes", &routes];
        let rules = process::run(&propose);
        assert_eq!(rules.status.code(), Some(1));
        fs::write(&proposed, rules.stdout).unwrap();
        let checked = process::run(&["routes", "check", "--routes", &proposed]);
        assert!(checked.status.success(), "{checked:?}");
        // With these rules there is nothing left to propose.
        let propose = ["routes", "shadow-report", "--decision-log", &log, "--propose", "--routes", &proposed];
        assert_eq!(process::run(&propose).status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_passes_without_a_rule_is_found_too() {
    for (unmatched, decision) in [("allow", "public"), ("tenant", "granted"), ("deny", "refused")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let log = path.to_str().unwrap();
        let flags =
            ["--unmatched", unmatched, "--decision-log", log, "--decision-log-one-grant-in", "1"];
        let asked = Asked::start(&flags).await;
        let own = id(1);
        asked.about("GET", "/api/v1/exports/17", &[("x-tenant-id", &own)]).await;
        // Public by its rule, a preflight, and a path that nobody may send.
        asked.about("GET", "/health", &[]).await;
        let preflight =
            [("origin", "https://erp.example"), ("access-control-request-method", "GET")];
        asked.about("OPTIONS", "/api/v1/exports/17", &preflight).await;
        asked.about("GET", "/api/../exports", &[]).await;
        asked.stop().await;
        let lines = lines(&path);
        let paths: Vec<_> =
            lines.iter().map(|line| (&line["decision"], line["path"].as_str())).collect();
        assert_eq!(
            paths,
            [(&decision.into(), Some("/api/v1/exports/{}")), (&"refused".into(), None)],
            "{unmatched}"
        );
        let report = process::run(&["routes", "shadow-report", "--decision-log", log]);
        let report = String::from_utf8(report.stdout).unwrap();
        assert!(report.contains("(none) /api/v1/exports/{}"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_without_ids_gets_one_with_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let asked = Asked::start(&["--decision-log", path.to_str().unwrap()]).await;
    let own = id(1);
    let mut ids = Vec::new();
    for headers in [&[("x-request-id", "erp-7")][..], &[("x-request-id", "no id \u{b5}")], &[]] {
        let headers = [&[("x-tenant-id", own.as_str())], headers].concat();
        let reply = asked.about("GET", "/api/v1/new/1/invoice", &headers).await;
        let id = reply.head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        ids.push(id.unwrap_or_else(|| panic!("{reply:?}")).to_owned());
    }
    asked.stop().await;
    let logged: Vec<_> = lines(&path).iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(logged, ids.iter().map(|id| Value::from(id.as_str())).collect::<Vec<_>>());
    assert_eq!(ids[0], "erp-7");
    assert!(ids[1..].iter().all(|id| id.len() == 16), "{ids:?}");
}
