//! The services: an axum app in this process, and a FastAPI app of four.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use entitlement_client::{Config, Entitlements, OnOutage, Resolved, TenantLayer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::common::postgres::free_port;

const HOUR: Duration = Duration::from_secs(3600);

pub struct Apps {
    axum: SocketAddr,
    fastapi: SocketAddr,
    uvicorn: Child,
}

impl Drop for Apps {
    fn drop(&mut self) {
        // By TERM: uvicorn ends its workers.
        _ = Command::new("kill").arg(self.uvicorn.id().to_string()).status();
        _ = self.uvicorn.wait();
    }
}

impl Apps {
    pub async fn start(endpoints: &[String]) -> Self {
        let axum = axum(endpoints).await;
        let fastapi = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let uvicorn = Command::new(root.join("target/python-venv/bin/uvicorn"))
            .args(["app:app", "--workers", "4", "--no-access-log", "--log-level", "warning"])
            .args(["--port", &fastapi.port().to_string()])
            .current_dir(root.join("benches/chaos"))
            .env("ENTITLEMENTD", endpoints.join(","))
            .stdout(Stdio::null())
            .spawn()
            .expect("clients/python/run-tests makes the environment");
        let apps = Self { axum, fastapi, uvicorn };
        let started = Instant::now();
        while TcpStream::connect(fastapi).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "uvicorn does not start");
            sleep(Duration::from_millis(100)).await;
        }
        apps
    }

    pub fn addresses(&self) -> [(&'static str, SocketAddr); 2] {
        [("axum", self.axum), ("FastAPI", self.fastapi)]
    }
}

async fn axum(endpoints: &[String]) -> SocketAddr {
    let (first, others) = endpoints.split_first().unwrap();
    let config = Config::new(first, OnOutage::ServeStale(HOUR));
    let config = others.iter().fold(config, |config, other| config.endpoint(other));
    let client = Entitlements::connect(config).unwrap();
    let layer = TenantLayer::http(&client);
    let router = Router::new().route("/ledger", get(ledger)).layer(layer).with_state(client);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

/// Like a gate, and says whether the grant is marked.
async fn ledger(State(client): State<Entitlements>, found: Resolved) -> (StatusCode, &'static str) {
    match client.check(found.tenant.id, "finance").await {
        Ok(answer) if answer.allowed() && answer.is_stale() => (StatusCode::OK, "stale"),
        Ok(answer) if answer.allowed() => (StatusCode::OK, "fresh"),
        Ok(answer) if answer.by_outage_rule() => (StatusCode::SERVICE_UNAVAILABLE, ""),
        Ok(_) => (StatusCode::FORBIDDEN, ""),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}
