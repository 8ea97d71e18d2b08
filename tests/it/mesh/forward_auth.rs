//! Forward auth as Traefik and Caddy ask, which pass on every status.

use std::net::SocketAddr;

use super::{ROUTES, seeded};
use crate::harness::{
    Server,
    http::Reply,
    id,
    mesh::{port_of, send_to},
};

struct Asked {
    address: SocketAddr,
    _server: Server,
    _routes: tempfile::NamedTempFile,
}

impl Asked {
    async fn start(flags: &[&str]) -> Self {
        let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(routes.path(), ROUTES).unwrap();
        let own = ["--routes", routes.path().to_str().unwrap(), "--forward-auth-listen", "127.0.0.1:0"];
        let server = Server::start_with(seeded().await, &[&own, flags].concat()).await;
        let port = port_of(server.running.forward_auth_address.as_ref().unwrap());
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), _server: server, _routes: routes }
    }

    /// As a proxy asks that was sent a request with these headers.
    async fn about(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let own =
            [("x-forwarded-method", method), ("x-forwarded-uri", target), ("x-forwarded-host", "service.internal")];
        send_to(self.address, "GET", "/whatever", &[&own, headers].concat()).await
    }
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
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
async fn a_proxy_that_does_not_say_what_is_asked_for_lets_nobody_pass() {
    let asked = Asked::start(&["--enforce", "off"]).await;
    let own = id(1);
    // A client's own words for another kind of proxy.
    let foreign = [("x-original-method", "GET"), ("x-original-uri", "/health"), ("x-tenant-id", own.as_str())];
    let reply = send_to(asked.address, "GET", "/health", &foreign).await;
    assert_eq!((reply.status, reply.reason().as_str()), (400, "INVALID_FIELD"));
    // A proxy that adds to what a client has sent, instead of replacing it.
    let twice = asked.about("GET", "/health", &[("x-forwarded-uri", "/api/v1/payouts")]).await;
    assert_eq!(twice.status, 400);
}
