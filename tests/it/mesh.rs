//! Real proxies with the shipped configurations, in front of a real service, with the real server
//! to ask.

mod access;
mod browser;
mod counted;
mod dialects;
mod edge;
mod features;
mod followed;
mod forward_auth;
mod hang_ups;
mod instances;
mod judgement;
mod lost_instances;
mod methods;
mod outage;
mod records;
mod routes_command;
mod routes_import;
mod shadow;
mod sidecar;
mod slow_database;
mod trusted;

use std::{io::Write, net::SocketAddr};

use tempfile::NamedTempFile;

use crate::harness::{
    Database, Row, Server,
    http::Reply,
    mesh::{self, Shipped, Upstream, port_of, send_to},
};

/// Writes a test twice: for Envoy and for nginx.
#[macro_export]
macro_rules! on_both_proxies {
    (async fn $name:ident($kind:ident: Kind) $body:block) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn envoy() {
                holds(Kind::Envoy).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn nginx() {
                holds(Kind::Nginx).await;
            }

            async fn holds($kind: Kind) $body
        }
    };
}

/// A service behind a proxy, and what judges its requests.
struct Mesh {
    server: Server,
    proxy: Shipped,
    _upstream: Upstream,
    _routes: Option<NamedTempFile>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Envoy,
    Nginx,
}

impl Kind {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Envoy => &["--tenant-header", "x-claimed-tenant-id"],
            Self::Nginx => &["--forward-auth-listen", "127.0.0.1:0"],
        }
    }
}

impl Mesh {
    async fn start(kind: Kind, database: Database, flags: &[&str]) -> Self {
        Self::start_changed(kind, database, flags, &[]).await
    }

    /// With some words of the proxy's configuration replaced.
    async fn start_changed(
        kind: Kind,
        database: Database,
        flags: &[&str],
        changes: &[(&str, &str)],
    ) -> Self {
        let all = [kind.flags(), &["--poll-interval", "20ms"], flags].concat();
        let server = Server::start_with(database, &all).await;
        let upstream = Upstream::start().await;
        let (kind, authorizer) = match kind {
            Kind::Envoy => (mesh::Kind::Envoy, Some(&server.running.address)),
            Kind::Nginx => (mesh::Kind::Nginx, server.running.forward_auth_address.as_ref()),
        };
        let authorizer = port_of(authorizer.unwrap());
        let proxy = Shipped::start_changed(kind, upstream.port, authorizer, changes);
        Self { server, proxy, _upstream: upstream, _routes: None }
    }

    /// With rules in TOML.
    async fn with_routes(kind: Kind, database: Database, routes: &str, flags: &[&str]) -> Self {
        Self::with_routes_changed(kind, database, routes, flags, &[]).await
    }

    async fn with_routes_changed(
        kind: Kind,
        database: Database,
        routes: &str,
        flags: &[&str],
        changes: &[(&str, &str)],
    ) -> Self {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(routes.as_bytes()).unwrap();
        let all = [&["--routes", file.path().to_str().unwrap()], flags].concat();
        let mesh = Self::start_changed(kind, database, &all, changes).await;
        Self { _routes: Some(file), ..mesh }
    }

    async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", target, headers).await
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        send_to(self.address(), method, target, headers).await
    }

    fn address(&self) -> SocketAddr {
        self.proxy.address
    }

    fn log(&self) -> String {
        self.proxy.log()
    }
}

/// Rules for most tests.
pub(crate) const ROUTES: &str = r#"
    [[route]]
    path = "/api/v1/orders/**"
    module = "oms_fulfillment"

    [[route]]
    path = "/api/v1/orders/{id}/invoice"
    module = "finance"

    [[route]]
    path = "/api/v1/dashboard"
    any_of = ["finance", "oms_fulfillment"]

    [[route]]
    path = "/api/v1/me"

    [[route]]
    path = "/api/v1/payouts/**"
    module = "oms_fulfillment"
    verified = true

    [[route]]
    path = "/api/v1/new/**"
    module = "finance"
    enforce = false

    [[route]]
    path = "/health"
    access = "public"
"#;

/// A tenant that has oms_fulfillment and not finance.
pub(crate) async fn seeded() -> Database {
    let database = Database::postgres().await;
    for module in ["oms_fulfillment", "finance"] {
        mk_module(&database, module).await;
    }
    database.mk_subscribed(1, "oms_fulfillment", Row::default()).await;
    database
}

async fn mk_module(database: &Database, code: &str) {
    database
        .execute(&format!("INSERT INTO modules (code, name) VALUES ('{code}', '{code}') ON CONFLICT (code) DO NOTHING"))
        .await;
}
