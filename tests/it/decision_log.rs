//! The decision log, as an operator reads it.

mod full;
mod ids;
mod moved;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{
    CheckModuleResponse, entitlement_service_client::EntitlementServiceClient,
};
use serde_json::Value;
use tonic::Status;

use crate::harness::{
    Database, Row, Server, id, process,
    server::{check_request, connect},
};

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asks a server in a process of its own about the first tenant.
async fn check(address: &str, module: &str) -> Result<CheckModuleResponse, Status> {
    let mut client = EntitlementServiceClient::new(connect(&address.parse().unwrap()).await);
    client.check_module(check_request(1, module)).await.map(tonic::Response::into_inner)
}

/// Asks until there is an answer.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it never comes to that");
        // What a thread of another process does can only be asked for.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_denial_is_logged_and_of_grants_one_in_so_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let log = [
        "--decision-log",
        path.to_str().unwrap(),
        "--decision-log-one-grant-in",
        "3",
        "--workers",
        "1",
    ];
    let mut server = Server::start_with(database, &log).await;
    for _ in 0..6 {
        server.check(1, "finance").await;
    }
    for _ in 0..2 {
        server.check(1, "hrms").await;
    }
    server.check(9, "hrms").await;
    server.running.stop().await.unwrap();

    let lines = lines(&path);
    let of = |decision: &str| {
        lines.iter().filter(|line| line["decision"] == decision).collect::<Vec<_>>()
    };
    assert_eq!(of("granted").len(), 2, "{lines:?}");
    let denied = of("denied");
    assert_eq!(denied.len(), 3, "{lines:?}");
    for (field, value) in [
        ("asked", "CheckModule"),
        ("tenant_id", id(1).as_str()),
        ("module", "hrms"),
        ("reason", "NOT_SUBSCRIBED"),
        ("time", "2026-11-23T12:00:00.000Z"),
    ] {
        assert_eq!(denied[0][field], value, "{field}");
    }
    assert!(denied[0]["revision"].is_u64());
    assert_eq!(denied[2]["reason"], "TENANT_NOT_FOUND");
}

#[test]
fn a_log_that_cannot_be_written_is_told_before_anything_is_answered() {
    let output = process::run(&["serve", "--demo", "--decision-log", "/nowhere/decisions.jsonl"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("--decision-log names /nowhere/decisions.jsonl, which cannot be written"),
        "{told}"
    );
}
