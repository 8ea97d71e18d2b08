//! A decision log for which there is no room.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::Value;

use super::{check, lines, until};
use crate::harness::{
    Database, Row, Server,
    http::Metrics,
    process::{Process, prlimit},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_is_lost_and_counted_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    symlink("/dev/full", &path).unwrap();
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let flags = ["--decision-log", path.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
    let mut server = Server::start_with(database, &flags).await;
    for _ in 0..5 {
        assert!(!server.check(1, "hrms").await.allowed);
    }
    let full = "decision_log_lost_total{reason=\"full\"}";
    server.until_metrics(|metrics| metrics.of(full) == 5.0).await;
    assert_eq!(server.metrics().await.of("decision_log_written_total"), 0.0);

    fs::remove_file(&path).unwrap();
    server.check(1, "hrms").await;
    server.until_metrics(|metrics| metrics.of("decision_log_written_total") == 1.0).await;
    assert_eq!(server.metrics().await.of(full), 5.0);
    assert_eq!(lines(&path).len(), 1);
}

/// The lines that can be read, and the number of those that cannot.
fn readable(path: &Path) -> (Vec<Value>, usize) {
    let text = fs::read_to_string(path).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) =
        text.lines().map(serde_json::from_str).partition(Result::is_ok);
    (good.into_iter().map(Result::unwrap).collect(), bad.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_was_full_in_the_middle_of_a_line_is_told_once_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let any = "127.0.0.1:0";
    let mut server = Process::serve(&[
        "--demo",
        "--listen",
        any,
        "--metrics-listen",
        any,
        "--decision-log",
        path.to_str().unwrap(),
    ]);
    let shown = server.wait_for("metrics and probes");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let metrics_address = shown["address"].as_str().unwrap().parse().unwrap();
    let address = server.address();
    server.wait_for("\"ready\"");

    // A kernel says so of a file that may not grow as it says it of a full disk.
    check(&address, "no-such-module").await.unwrap();
    until(async || (lines_of(&path) == 1).then_some(())).await;
    let one = fs::metadata(&path).unwrap().len();
    prlimit(&server, &format!("{}:unlimited", one * 2 + one / 2));
    for _ in 0..9 {
        check(&address, "no-such-module").await.unwrap();
    }
    let counted = until(async || {
        let metrics = Metrics::read(metrics_address).await;
        let [written, lost] =
            ["decision_log_written_total", "decision_log_lost_total{reason=\"full\"}"]
                .map(|series| metrics.of(series));
        (written + lost == 10.0).then_some((written, lost))
    });
    assert_eq!(counted.await, (2.0, 8.0));
    let (good, bad) = readable(&path);
    assert_eq!((good.len(), bad), (2, 1));

    prlimit(&server, "unlimited:unlimited");
    check(&address, "no-such-module").await.unwrap();
    let told = server.wait_for("the decision log is written again");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["lost"], 8);
    let (good, bad) = readable(&path);
    assert_eq!((good.len(), bad), (3, 1));
    assert_eq!(server.logged.matches("the decision log cannot be written").count(), 1);
    assert_eq!(Metrics::read(metrics_address).await.of("decision_log_written_total"), 3.0);
}

fn lines_of(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}
