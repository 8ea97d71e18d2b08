//! An address that leads to a standby which lags: it answers, and knows less than was announced.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{CheckModuleResponse, DecisionReason};

use super::world::{LISTENS, POLLS, new_database};
use crate::harness::{Row, Server, id, postgres::Cluster, proxy::Proxy};

const PATIENCE: Duration = Duration::from_secs(20);

async fn until(server: &mut Server, such: impl Fn(&CheckModuleResponse) -> bool) {
    let started = Instant::now();
    loop {
        let answer = server.check(1, "finance").await;
        if such(&answer) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "still {answer:?}");
    }
}

async fn what_is_loaded_from_a_standby_that_lags_is_marked(flags: &[&str]) {
    let primary = Cluster::start(&[]);
    let network = Proxy::to(primary.port()).await;
    let database = new_database(&primary).await;
    for tenant in 1..=3 {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    let standby = Cluster::standby_of(&primary, &[]);
    standby.catch_up(&primary).await;
    standby.stop_following().await;
    let revoked = "UPDATE tenant_subscriptions SET status = 'cancelled'";
    let deleted = format!("DELETE FROM tenants WHERE id = '{}'", id(3));
    database.execute(&format!("{revoked}; {deleted}")).await;

    let url = format!("postgres://postgres@127.0.0.1:{}/{}", network.port(), database.name);
    let mut server = Server::start_with(database.by_way_of(url).await, flags).await;
    let is_stale = |answer: &CheckModuleResponse| answer.freshness.unwrap().stale;
    assert_eq!(server.check(1, "finance").await.reason(), DecisionReason::SubscriptionCancelled);
    let gone = server.check(3, "finance").await;
    assert_eq!(gone.reason(), DecisionReason::TenantNotFound);

    network.point_at(standby.port());
    network.cut().await;
    until(&mut server, is_stale).await;
    let held = server.check(1, "finance").await;
    assert_eq!(held.reason(), DecisionReason::SubscriptionCancelled, "held, and known to be newer");
    let cold = server.check(2, "finance").await;
    assert!(cold.allowed && is_stale(&cold), "the standby's word, marked: {cold:?}");
    let after = server.check(3, "finance").await;
    assert!(is_stale(&after), "{after:?}");
    assert!(after.freshness.unwrap().revision >= gone.freshness.unwrap().revision, "{after:?}");
    let unknown = server.check(4, "finance").await;
    assert!(unknown.reason() == DecisionReason::TenantNotFound && is_stale(&unknown));

    network.point_at(primary.port());
    network.cut().await;
    until(&mut server, |answer| !is_stale(answer)).await;
    let cold = server.check(2, "finance").await;
    assert!(!cold.allowed && !is_stale(&cold), "what the standby said is not kept: {cold:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_listening_server_loads_from_a_standby_that_lags_is_marked() {
    what_is_loaded_from_a_standby_that_lags_is_marked(LISTENS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_polling_server_loads_from_a_standby_that_lags_is_marked() {
    what_is_loaded_from_a_standby_that_lags_is_marked(POLLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_new_connections_load_from_one_is_marked_though_the_feed_stays_with_the_primary() {
    let primary = Cluster::start(&[]);
    let network = Proxy::to(primary.port()).await;
    let database = new_database(&primary).await;
    for tenant in 1..=2 {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    let standby = Cluster::standby_of(&primary, &[]);
    standby.catch_up(&primary).await;
    standby.stop_following().await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", network.port(), database.name);
    let mut server = Server::start_with(database.by_way_of(url).await, LISTENS).await;
    assert!(server.check(1, "finance").await.allowed);

    network.point_at(standby.port());
    // What listens goes on.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'entitlementd'";
    database.execute(end).await;
    database.execute("UPDATE tenant_subscriptions SET status = 'cancelled'").await;
    let is_stale = |answer: &CheckModuleResponse| answer.freshness.unwrap().stale;
    // It is read again where the revocation has not arrived.
    until(&mut server, is_stale).await;
    let cold = server.check(2, "finance").await;
    assert!(cold.allowed && is_stale(&cold), "the standby's word, marked: {cold:?}");
    let unknown = server.check(3, "finance").await;
    assert!(unknown.reason() == DecisionReason::TenantNotFound && is_stale(&unknown));

    network.point_at(primary.port());
    standby.execute(end).await;
    for tenant in 1..=2 {
        server.until(tenant, "finance", DecisionReason::SubscriptionCancelled).await;
        assert!(!is_stale(&server.check(tenant, "finance").await));
    }
}
