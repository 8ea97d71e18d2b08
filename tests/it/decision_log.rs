//! The decision log, as an operator reads it.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Database, Row, Server, id, process};

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
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
