//! The database is away at the start, or for too long.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    load::RECOVERED,
    world::{KNOWN, LISTENS, POLLS, World, new_database},
};
use crate::harness::{
    Database, Row, Server, postgres::Cluster, proxy::Proxy, reason_of, server::check_request,
};

/// Longer than it takes to look for the database once.
const A_WHILE: Duration = Duration::from_millis(1500);

async fn is_unavailable(server: &mut Server, tenant: u32) {
    let asked = Instant::now();
    let status = server.check_request(check_request(tenant, "finance")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    assert!(asked.elapsed() < Duration::from_millis(2500), "{:?}", asked.elapsed());
}

async fn until_health_is(server: &Server, wanted: ServingStatus, deadline: Instant) {
    while server.health("").await != wanted {
        assert!(Instant::now() < deadline, "not {wanted:?} in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Started while nobody answers, they say so, and only so long as that is so.
async fn start_in_vain(databases: [Database; 2], come_back: impl FnOnce()) {
    let mut servers = Vec::new();
    for (database, flags) in databases.into_iter().zip([LISTENS, POLLS]) {
        servers.push(Server::start_unready(database, flags).await);
    }
    tokio::time::sleep(A_WHILE).await;
    for server in &mut servers {
        is_unavailable(server, 1).await;
        assert_eq!(server.health("").await, ServingStatus::NotServing);
    }
    come_back();
    let back = Instant::now();
    for server in &mut servers {
        until_health_is(server, ServingStatus::Serving, back + RECOVERED).await;
        let answer = server.check(1, "finance").await;
        assert!(answer.allowed && !answer.freshness.unwrap().stale);
        server.database.set_status(1, "suspended").await;
        server.until(1, "finance", DecisionReason::TenantSuspended).await;
        server.database.set_status(1, "active").await;
        assert!(back.elapsed() < RECOVERED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_while_the_database_is_down_serves_soon_after_it_is_up() {
    let mut cluster = Cluster::start(&[]);
    let database = new_database(&cluster).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let databases = [database.again().await, database.again().await];
    cluster.kill_hard();
    start_in_vain(databases, || cluster.restart()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_while_the_database_is_silent_serves_soon_after_it_answers() {
    let cluster = Cluster::start(&[]);
    let database = new_database(&cluster).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let proxy = Proxy::to(cluster.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), database.name);
    let databases = [database.by_way_of(url.clone()).await, database.by_way_of(url).await];
    proxy.black_hole();
    start_in_vain(databases, || proxy.let_through()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_max_stale_nothing_is_answered_until_the_database_is_back() {
    let mut cluster = Cluster::start(&[]);
    let mut world = World::on(&cluster).await;
    cluster.kill_hard();
    let down = Instant::now();
    for server in &mut world.servers {
        while !server.check(0, "finance").await.freshness.unwrap().stale {
            assert!(down.elapsed() < Duration::from_millis(2500));
        }
        server.advance(3_590);
        assert!(server.check(0, "finance").await.allowed, "an hour has not passed");
        assert_eq!(server.health("").await, ServingStatus::Serving);
        server.advance(20);
        for tenant in KNOWN {
            is_unavailable(server, tenant).await;
        }
        until_health_is(server, ServingStatus::NotServing, Instant::now() + RECOVERED).await;
    }
    cluster.restart();
    let back = Instant::now();
    world.recovers(back).await;
    for server in &world.servers {
        assert_eq!(server.health("").await, ServingStatus::Serving);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_tenant_does_not_exist_is_stale_too_while_nothing_is_heard() {
    let cluster = Cluster::start(&[]);
    let proxy = Proxy::to(cluster.port()).await;
    let mut world = World::through(&cluster, proxy.port()).await;
    for server in &mut world.servers {
        let answer = server.check(99, "finance").await;
        assert!(!answer.freshness.unwrap().stale);
        assert_eq!(answer.reason(), DecisionReason::TenantNotFound);
    }
    proxy.black_hole();
    world.database.mk_subscribed(99, "finance", Row::default()).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for server in &mut world.servers {
        let answer = server.check(99, "finance").await;
        let freshness = answer.freshness.as_ref().unwrap();
        assert!(freshness.stale && freshness.max_age.unwrap().seconds <= 1, "{answer:?}");
    }
    proxy.let_through();
    let back = Instant::now();
    for server in &mut world.servers {
        server.until(99, "finance", DecisionReason::Enabled).await;
        assert!(back.elapsed() < RECOVERED);
    }
}
