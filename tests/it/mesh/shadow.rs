//! Shadow mode: what would be refused passes, is counted and written down, through either door.

use super::{
    Kind, Mesh, ROUTES,
    forward_auth::{Asked, header},
    seeded,
};
use crate::{harness::id, on_both_proxies};

on_both_proxies! {
    async fn everything_passes_that_would_be_refused_and_is_counted_by_its_reason(kind: Kind) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("decisions.jsonl");
        let log_to = log.to_str().unwrap();
        let flags =
            ["--enforce", "off", "--decision-log", log_to, "--metrics-listen", "127.0.0.1:0"];
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &flags).await;
        let own = id(1);
        let tenant = ("x-tenant-id", own.as_str());
        let token = ("authorization", "Bearer a.b.c");
        let mut cases = vec![
            ("/api/v1/me", vec![tenant, tenant], "INVALID_FIELD"),
            ("/api/v1/me", vec![("x-tenant-id", "acme")], "INVALID_FIELD"),
            ("/api/v1/me", vec![], "TENANT_NOT_FOUND"),
            ("/api//v1/me", vec![tenant], "PATH_REFUSED"),
            ("/api/v1/orders/1/invoice", vec![tenant], "NOT_SUBSCRIBED"),
            ("/api/v1/forgotten", vec![tenant], "ROUTE_NOT_MAPPED"),
        ];
        // nginx itself refuses a second one.
        if matches!(kind, Kind::Envoy) {
            cases.push(("/api/v1/me", vec![tenant, token, token], "INVALID_FIELD"));
        }
        for (target, headers, reason) in &cases {
            let reply = mesh.get(target, headers).await;
            assert_eq!(reply.seen("x-entitlement-would-deny"), *reason, "{target} {headers:?}");
        }
        let page = mesh.server.metrics().await.page;
        for reason in ["INVALID_FIELD", "TENANT_NOT_FOUND", "PATH_REFUSED", "NOT_SUBSCRIBED", "ROUTE_NOT_MAPPED"] {
            let wanted = cases.iter().filter(|(.., of_case)| *of_case == reason).count();
            let counted: f64 = page
                .lines()
                .filter(|line| line.starts_with("entitlementd_gateway_requests_total{"))
                .filter(|line| line.contains(&format!("reason=\"{reason}\"")) && line.contains("would_deny"))
                .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
                .sum();
            assert_eq!(counted, wanted as f64, "{reason}");
        }
        let Mesh { server, proxy, .. } = mesh;
        drop(proxy);
        server.running.stop().await.unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        let would_deny = log.matches("\"decision\":\"would_deny\"").count();
        assert_eq!(would_deny, cases.len(), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_not_set_up_as_it_must_be_takes_nobodys_service_away() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("decisions.jsonl");
    let asked = Asked::start(&["--enforce", "off", "--decision-log", log.to_str().unwrap()]).await;
    for (path, headers) in [
        ("/auth/traefik", vec![("x-forwarded-method", "GET")]),
        (
            "/auth/nginx",
            vec![("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-original-uri", "/b")],
        ),
        ("/auth/unheard-of", vec![]),
    ] {
        let reply = asked.ask("GET", path, &headers).await;
        assert_eq!(
            (reply.status, header(&reply, "x-entitlement-would-deny")),
            (200, Some("invalid_field")),
            "{path}"
        );
    }
    asked.stop().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("\"reason\":\"INVALID_FIELD\"").count(), 3, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_before_it_is_judged_is_written_down_too() {
    let folder = tempfile::tempdir().unwrap();
    let (log, callers) =
        (folder.path().join("decisions.jsonl"), folder.path().join("callers.toml"));
    std::fs::write(&callers, "").unwrap();
    let asked = Asked::start(&[
        "--decision-log",
        log.to_str().unwrap(),
        "--callers-file",
        callers.to_str().unwrap(),
        "--metrics-listen",
        "127.0.0.1:0",
    ])
    .await;
    let reply = asked.about("GET", "/api/v1/me", &[("x-tenant-id", &id(1))]).await;
    assert_eq!((reply.status, reply.reason().as_str()), (403, "CALLER_UNAUTHENTICATED"));
    // Whoever is unknown is not told of as a proxy that is set up badly.
    let reply = asked.ask("GET", "/auth/traefik", &[]).await;
    assert_eq!(reply.reason(), "CALLER_UNAUTHENTICATED");
    let metrics = asked.metrics().await;
    let misconfigured = metrics.samples.iter().filter(|(name, _)| name.contains("misconfigured"));
    assert_eq!(misconfigured.map(|(_, count)| count).sum::<f64>(), 0.0);
    asked.stop().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("\"reason\":\"CALLER_UNAUTHENTICATED\"").count(), 2, "{log}");
}
