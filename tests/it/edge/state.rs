//! What an edge, or its core, held before it was started again.

use entitlementd::proto::v1::DecisionReason;
use tempfile::TempDir;

use super::core;
use crate::{
    harness::{Database, Row, Server, postgres, proxy::Proxy, until_so},
    metrics::SHOWN,
};

fn kept_in(folder: &TempDir) -> [String; 2] {
    ["--state-dir".to_owned(), folder.path().join("state").to_str().unwrap().to_owned()]
}

fn with<'a>(flags: &'a [&'a str], more: &'a [String]) -> Vec<&'a str> {
    SHOWN.iter().chain(flags).copied().chain(more.iter().map(String::as_str)).collect()
}

impl Server {
    async fn until_kept(&self) {
        self.until_metrics(|metrics| metrics.of("state_file_bytes") > 200.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_above_is_away_and_an_edge_that_starts_again_answers_whom_it_knew() {
    let core = core().await;
    core.database.mk_subscribed(3, "finance", Row::default()).await;
    core.database.set_status(3, "suspended").await;
    let network = Proxy::to(core.port()).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = kept_in(&folder);
    let flags = with(&["--hold", "all"], &kept);
    let edge = core.unready_edge(&[network.port()], &flags).await;
    edge.until_metrics(|metrics| metrics.of("cache_entries") == 3.0).await;
    edge.until_kept().await;
    edge.running.stop().await.unwrap();
    network.black_hole();
    for _ in 0..2 {
        let mut edge = core.unready_edge(&[network.port()], &flags).await;
        edge.wait_until_ready().await;
        edge.until_readyz(200, "degraded: answers rest on a state file of ").await;
        edge.is_granted_marked(1).await;
        edge.is_granted_marked(2).await;
        let found = edge.reason_and_mark(3).await;
        assert_eq!(found, (DecisionReason::TenantSuspended, true));
        edge.is_unavailable(4).await;
        edge.advance(1_000);
        edge.running.stop().await.unwrap();
    }
    // An hour after the database last answered, however often it was started since.
    core.advance(1_600);
    let mut edge = core.unready_edge(&[network.port()], &flags).await;
    edge.is_unavailable(1).await;
    core.database.set_status(1, "suspended").await;
    network.let_through();
    edge.wait_until_ready().await;
    edge.until_suspended(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_answers_from_its_state_file_is_followed_and_its_age_adds_up() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let network = Proxy::to(postgres::shared().port()).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = kept_in(&folder);
    let flags = with(&[], &kept);
    let mut core = Server::start_with(database.behind(&network).await, &flags).await;
    core.is_granted_unmarked(1).await;
    core.until_kept().await;
    let now = core.clock.now();
    core.running.stop().await.unwrap();
    let away = database.behind(&network).await;
    network.black_hole();
    let later = now + chrono::TimeDelta::minutes(50);
    let core = Server::start_unready_at(later, away, &flags).await;
    let (clock, upstreams) = (core.clock.clone(), [core.port()]);
    let mut edge = Server::start_edge(database.again().await, clock, &upstreams, &SHOWN).await;
    edge.wait_until_ready().await;
    edge.is_granted_marked(1).await;
    edge.advance(599);
    edge.is_granted_marked(1).await;
    edge.advance(2);
    edge.is_unavailable(1).await;
    network.let_through();
    core.wait_until_ready().await;
    until_so("nothing is marked any more", async || {
        edge.check(1, "finance").await.freshness.is_some_and(|freshness| !freshness.stale)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_an_edge_of_other_cores_is_told_at_the_start() {
    let core = core().await;
    let folder = tempfile::tempdir().unwrap();
    let kept = kept_in(&folder);
    let flags = with(&[], &kept);
    let mut edge = core.unready_edge(&[core.port()], &flags).await;
    edge.wait_until_ready().await;
    edge.is_granted_unmarked(1).await;
    edge.until_kept().await;
    edge.running.stop().await.unwrap();
    // One more upstream is no other source.
    let mut edge = core.unready_edge(&[core.port(), 1], &flags).await;
    edge.wait_until_ready().await;
    // Marked, until the upstream has been heard.
    edge.until_reason(1, DecisionReason::Enabled, DecisionReason::Enabled).await;
    edge.running.stop().await.unwrap();
    let told = core.try_edge(&[2], &flags).await;
    assert!(told.contains("--state-dir names ") && told.contains("upstream"), "{told}");
}
