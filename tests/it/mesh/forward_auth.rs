//! Forward auth as Traefik and Caddy ask, which pass on every status.

use std::net::SocketAddr;

use super::{ROUTES, seeded};
use crate::harness::{
    Server,
    http::{Metrics, Reply},
    id,
    mesh::{port_of, send_to},
    process,
};

pub(super) struct Asked {
    address: SocketAddr,
    pub(super) server: Server,
    _routes: tempfile::NamedTempFile,
}

impl Asked {
    pub(super) async fn start(flags: &[&str]) -> Self {
        let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(routes.path(), ROUTES).unwrap();
        let own =
            ["--routes", routes.path().to_str().unwrap(), "--forward-auth-listen", "127.0.0.1:0"];
        let server = Server::start_with(seeded().await, &[&own, flags].concat()).await;
        let port = port_of(server.running.forward_auth_address.as_ref().unwrap());
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), server, _routes: routes }
    }

    /// As a proxy asks that was sent a request with these headers.
    pub(super) async fn about(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let own = [
            ("x-forwarded-method", method),
            ("x-forwarded-uri", target),
            ("x-forwarded-host", "service.internal"),
        ];
        self.send(&[&own, headers].concat()).await
    }

    pub(super) async fn metrics(&self) -> Metrics {
        self.server.metrics().await
    }

    /// Until all that it logs is written.
    pub(super) async fn stop(self) {
        self.server.running.stop().await.unwrap();
    }

    /// As a proxy asks that sends these headers and no others.
    pub(super) async fn send(&self, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", "/whatever", headers).await
    }

    /// A question by its own method and path.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        send_to(self.address, method, path, headers).await
    }

    /// Where it is asked.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

pub(super) fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_status_is_what_it_is_and_a_pass_tells_who_asks() {
    let asked = Asked::start(&[]).await;
    let own = id(1);
    let tenant = [("x-tenant-id", own.as_str())];
    let passed = asked.about("GET", "/api/v1/orders/5", &tenant).await;
    assert_eq!((passed.status, header(&passed, "x-tenant-schema")), (200, Some("tenant_tenant-1")));
    assert_eq!(passed.body, "");

    let refused = asked.about("GET", "/api/v1/orders/5/invoice", &tenant).await;
    assert_eq!((refused.status, refused.reason().as_str()), (403, "NOT_SUBSCRIBED"));
    assert_eq!(header(&refused, "content-type"), Some("application/problem+json"));
    let other = id(9);
    assert_eq!(asked.about("GET", "/api/v1/me", &[("x-tenant-id", &other)]).await.status, 404);
    assert_eq!(asked.about("GET", "/api/v1/me", &[]).await.status, 401);
    assert_eq!(asked.about("GET", "/api//v1/me", &tenant).await.status, 400);
    assert_eq!(asked.about("GET", "/health", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_refused_is_logged_and_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl").to_str().unwrap().to_owned();
    let asked = Asked::start(&[
        "--enforce",
        "off",
        "--decision-log",
        &path,
        "--decision-log-one-grant-in",
        "1",
    ])
    .await;
    let (own, other) = (id(1), id(9));
    for tenant in [&own, &own, &other] {
        let reply =
            asked.about("GET", "/api/v1/orders/5/invoice", &[("x-tenant-id", tenant)]).await;
        assert_eq!(reply.status, 200);
    }
    asked.about("GET", "/api/v1/orders/5", &[("x-tenant-id", &own)]).await;
    asked.about("GET", "/health", &[]).await;
    asked.server.running.stop().await.unwrap();

    let report = process::run(&["routes", "shadow-report", "--decision-log", &path, "--json"]);
    assert_eq!(report.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report.as_array().unwrap().len(), 2, "{report}");
    assert_eq!(
        report[0],
        serde_json::json!({
            "method": "GET", "route": "/api/v1/orders/{id}/invoice", "path": "", "module": "finance", "feature": "",
            "reason": "NOT_SUBSCRIBED", "requests": 2, "tenants": 1, "last": "2026-11-23T12:00:00.000Z",
        })
    );
    assert_eq!(
        (&report[1]["reason"], &report[1]["tenants"]),
        (&"TENANT_NOT_FOUND".into(), &0.into())
    );
    let log = std::fs::read_to_string(&path).unwrap();
    assert_eq!(log.matches("\"decision\":\"granted\"").count(), 1, "{log}");
    assert_eq!(log.lines().count(), 4, "{log}");
}
