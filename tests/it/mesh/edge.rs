//! Envoy that asks an edge on its machine, over the edge's Unix socket.

use clap::Parser;
use entitlementd::{
    clock::{Clock, ManualClock},
    config::{Cli, Command},
    server::{self, Running},
};
use tempfile::TempDir;

use crate::harness::{
    Database, Row, Server, id,
    mesh::{Kind, Shipped, Upstream},
    until_so,
};

/// An edge of what listens on this port, as it is deployed, which itself listens in this folder.
async fn edge(port: u16, folder: &TempDir, clock: &ManualClock) -> Running {
    let upstream = format!("http://127.0.0.1:{port}");
    let listen = format!("unix:{}/edge.sock?mode=0660", folder.path().display());
    let state = folder.path().join("state");
    let flags = ["entitlementd", "edge", "--hold", "all", "--unmatched", "tenant"];
    let more = ["--tenant-header", "x-claimed-tenant-id", "--upstream", &upstream];
    let own = ["--listen", &listen, "--state-dir", state.to_str().unwrap()];
    let Command::Edge(args) = Cli::parse_from(flags.into_iter().chain(more).chain(own)).command
    else {
        panic!("it is an edge");
    };
    server::start_edge(*args, Clock::Manual(clock.clone())).await.unwrap()
}

async fn until_status(envoy: &Shipped, tenant: u32, status: u16) {
    let words = format!("tenant {tenant} is answered {status}");
    until_so(&words, async || {
        envoy.send("GET", "/any", &[("x-tenant-id", &id(tenant))]).await.status == status
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_asks_the_edge_over_its_socket_and_one_that_came_back() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let core = Server::start_with(database, &["--poll-interval", "20ms"]).await;
    let folder = tempfile::tempdir().unwrap();
    let (port, clock) = (core.port(), core.clock.clone());
    let running = edge(port, &folder, &clock).await;
    let upstream = Upstream::start().await;
    let socket = folder.path().join("edge.sock").display().to_string();
    let changes = [("/run/entitlementd/edge.sock", &*socket)];
    let envoy = Shipped::start_changed(Kind::BesideEdge, upstream.port, 0, &changes);
    until_status(&envoy, 1, 200).await;
    until_status(&envoy, 999, 404).await;
    // Nobody listens: nobody passes.
    running.stop().await.unwrap();
    until_status(&envoy, 1, 503).await;
    // The next one reaches no core: it answers from what this one has held.
    core.running.stop().await.unwrap();
    let orphan = edge(port, &folder, &clock).await;
    until_status(&envoy, 1, 200).await;
    orphan.stop().await.unwrap();
}
