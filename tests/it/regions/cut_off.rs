//! A replica that is cut off from its primary: it looks alive, and as if nothing changed.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;

use super::{Region, is_stale, until_current, until_it_says, until_known, until_marked};
use crate::harness::{Server, postgres::Cluster, proxy::Proxy, server::check_request, until_so};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_does_not_replay_gives_no_unmarked_grant_beyond_the_bound() {
    let region = Region::with(3).await;
    let mut core = region.core(&[]).await;
    assert!(core.check(0, "finance").await.allowed);
    region.replica.pause_replay().await;
    region.database.set_status(0, "suspended").await;
    let revoked = Instant::now();
    until_marked(&mut core, 0, revoked).await;
    let cold = core.check(1, "finance").await;
    assert!(cold.allowed && is_stale(&cold), "what is read there is marked too: {cold:?}");
    until_it_says(&core, "degraded: the replica lags behind its primary").await;

    region.replica.resume_replay().await;
    until_known(&mut core, 0).await;
    until_current(&mut core, 1).await;
    region.is_only_read();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_receives_nothing_gives_no_unmarked_grant_beyond_the_bound() {
    let region = Region::with(2).await;
    let mut core = region.core(&[]).await;
    assert!(core.check(0, "finance").await.allowed);
    region.replica.stop_following().await;
    region.database.set_status(0, "suspended").await;
    let revoked = Instant::now();
    until_marked(&mut core, 0, revoked).await;
    // Nothing that a replica says for hours is taken for what is so.
    core.advance(3700);
    core.is_unavailable(0).await;
    core.is_unavailable(1).await;
    until_it_says(&core, "unready: the replica lags behind its primary").await;

    region.replica.follow(&region.primary).await;
    until_known(&mut core, 0).await;
    until_current(&mut core, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_behind_the_address_says_nothing_unmarked_that_the_first_did_not() {
    let region = Region::with(3).await;
    let lagging = Cluster::standby_of(&region.primary, &[]);
    lagging.catch_up(&region.primary).await;
    lagging.pause_replay().await;
    let address = Proxy::to(region.replica.port()).await;
    let url = region.database.url_behind(&address);
    let primary = region.primary_url();
    // The log is not looked at again for a while.
    let flags = ["--primary-database-url", &primary, "--poll-interval", "3s"];
    let mut core = Server::start_with(region.database.by_way_of(url).await, &flags).await;
    for tenant in 0..3 {
        region.database.set_status(tenant, "suspended").await;
    }
    until_known(&mut core, 0).await;
    address.point_at(lagging.port());
    address.cut().await;
    for _ in 0..100 {
        for tenant in 0..3 {
            if let Ok(answer) = core.check_request(check_request(tenant, "finance")).await {
                assert!(!answer.allowed || is_stale(&answer), "{answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_a_core_on_a_replica_marks_what_that_cannot_prove() {
    let region = Region::with(2).await;
    let core = region.core(&[]).await;
    let mut edge = core.edge(&[]).await;
    assert!(edge.check(0, "finance").await.allowed);
    region.database.set_status(1, "suspended").await;
    until_known(&mut edge, 1).await;
    region.replica.pause_replay().await;
    region.database.set_status(0, "suspended").await;
    let hop = Duration::from_secs(2);
    until_marked(&mut edge, 0, Instant::now() + hop).await;
    region.replica.resume_replay().await;
    until_known(&mut edge, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_and_comes_back_is_read_from_anew() {
    let mut region = Region::with(2).await;
    let mut core = region.core(&[]).await;
    assert!(core.check(0, "finance").await.allowed);
    region.replica.kill_hard();
    let core_of = tokio::sync::Mutex::new(&mut core);
    until_so("answers are marked", async || {
        is_stale(&core_of.lock().await.check(0, "finance").await)
    })
    .await;
    region.database.set_status(0, "suspended").await;
    region.replica.restart();
    until_known(&mut core, 0).await;
    core.until(1, "finance", DecisionReason::Enabled).await;
    until_current(&mut core, 1).await;
}
