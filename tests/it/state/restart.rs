//! A server that is started again while its database hangs.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::proto::v1::{
    CheckModuleRequest, DecisionReason, WatchChangesRequest, watch_changes_response::Event,
};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::World;
use crate::{
    harness::{NOW, Server, server::check_request, until_so},
    watch::Watch,
};

const FED: &[&str] = &["--poll-interval", "20ms"];

fn minutes_later(minutes: i64) -> DateTime<Utc> {
    NOW + TimeDelta::minutes(minutes)
}

/// A known tenant is answered, marked.
async fn is_answered_marked(server: &mut Server) {
    let answer = server.check(1, "finance").await;
    assert!(answer.allowed && answer.freshness.unwrap().stale);
}

/// With the database away.
async fn answers_from_the_file(world: &World) {
    world.ran_at(NOW).await;
    world.network.black_hole();
    let began = Instant::now();
    let mut server = world.start_at(minutes_later(30)).await;
    server.wait_until_ready().await;
    is_answered_marked(&mut server).await;
    // Nothing of that has waited for the database, which a load does for a second and a half.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let denied = server.check(1, "hrms").await;
    assert_eq!(denied.reason(), DecisionReason::NotSubscribed);
    assert_eq!(denied.plan_slugs, ["enterprise"]);
    assert!(denied.freshness.unwrap().stale);
    server.is_unavailable(2).await;
    let words = "degraded: answers rest on a state file of 2026-11-23T12:00:00.000Z, the database ";
    server.until_readyz(200, words).await;
    let asked = CheckModuleRequest { min_revision: Some(1), ..check_request(1, "finance") };
    assert_eq!(server.check_request(asked).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.metrics().await.of("state_file_age_seconds"), 1_800.0);

    server.advance(1_799);
    is_answered_marked(&mut server).await;
    server.advance(1);
    server.is_unavailable(1).await;
    server.until_readyz(503, "unready: ").await;
    until_so("health follows", async || server.health("").await == ServingStatus::NotServing).await;

    world.network.let_through();
    server.wait_until_ready().await;
    until_so("nothing is marked any more", async || {
        let answer = server.check(1, "finance").await;
        assert!(answer.allowed);
        !answer.freshness.unwrap().stale
    })
    .await;
    server.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_tenants_are_answered_marked_from_the_first_moment_until_max_stale() {
    answers_from_the_file(&World::new(FED).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_where_changes_are_polled() {
    let flags = &["--changes", "poll", "--poll-interval", "20ms"];
    answers_from_the_file(&World::new(flags).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_suspended_meanwhile_is_never_granted_unmarked() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    world.network.black_hole();
    world.database.set_status(1, "suspended").await;
    let mut server = world.start_at(minutes_later(30)).await;
    is_answered_marked(&mut server).await;
    world.network.let_through();
    server.until_suspended(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_answers_a_restart_is_as_without_a_file() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    world.database.set_status(1, "suspended").await;
    let mut server = world.start_at(minutes_later(1)).await;
    server.until_suspended(1).await;
    server.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_in_an_outage_make_nothing_last_longer() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    world.network.black_hole();
    for minutes in [0, 20, 40, 59] {
        let mut server = world.start_at(minutes_later(minutes)).await;
        server.wait_until_ready().await;
        is_answered_marked(&mut server).await;
        server.running.stop().await.unwrap();
    }
    let mut server = world.start_at(minutes_later(60)).await;
    server.is_unavailable(1).await;
    assert_eq!(server.health("").await, ServingStatus::NotServing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_changes_what_was_held_is_read_first_and_served_marked_where_that_fails() {
    let world = World::new(&["--changes", "off"]).await;
    world.ran_at(NOW).await;
    world.network.black_hole();
    let mut server = world.start_at(minutes_later(1)).await;
    server.wait_until_ready().await;
    is_answered_marked(&mut server).await;
    server.is_unavailable(2).await;
    world.database.set_status(1, "suspended").await;
    world.network.let_through();
    server.until_suspended(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_are_missing_when_the_database_is_back_vouch_for_nothing_of_the_file() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    world.network.black_hole();
    world.database.execute("ALTER TABLE tenants DISABLE TRIGGER USER").await;
    world.database.set_status(1, "suspended").await;
    let mut server = world.start_at(NOW).await;
    is_answered_marked(&mut server).await;
    world.network.let_through();
    server.until_suspended(1).await;
}

async fn next(watch: &mut Watch) -> Event {
    let message = tokio::time::timeout(Duration::from_secs(30), watch.message()).await;
    message.unwrap().unwrap().unwrap().event.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_is_told_that_nothing_is_proven_and_then_to_begin_anew() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    world.network.black_hole();
    let mut server = world.start_at(minutes_later(30)).await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = WatchChangesRequest { heartbeat_interval, ..Default::default() };
    let mut watch = server.client.watch_changes(request).await.unwrap().into_inner();
    let Event::Opened(opened) = next(&mut watch).await else { panic!("it is not opened") };
    assert_eq!(opened.as_of.unwrap().seconds, NOW.timestamp());
    let Event::Heartbeat(beat) = next(&mut watch).await else { panic!("there is no heartbeat") };
    assert!(beat.unproven && beat.lag.unwrap().seconds == 1_800);
    world.network.let_through();
    let mut is_reset = false;
    loop {
        match next(&mut watch).await {
            Event::Reset(_) => is_reset = true,
            Event::Heartbeat(beat) if !beat.unproven => break,
            _ => {}
        }
    }
    assert!(is_reset, "it relies on what it held");
}
