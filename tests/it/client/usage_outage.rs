//! Counting while the server does not answer, where a rule allows it.

use std::time::{Duration, Instant};

use entitlement_client::{Config, Entitlements, Error, OnOutage, Reserve, UsageOutage};

use super::{
    PATIENCE, World, config, port, tenant,
    usage::{ORDERS, order, world},
    usage_recorded::used,
};
use crate::harness::{Database, proxy::Proxy};

fn allowing(config: Config, world: &World) -> Entitlements {
    let config = config.clock(world.clock.clone()).usage_outage(ORDERS, UsageOutage::Allow);
    Entitlements::connect(config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_allowed_while_the_server_is_gone_is_recorded_once_it_is_back() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let world = world(database).await;
        let client = allowing(config(&world.network, OnOutage::Deny), &world);
        assert!(client.reserve(tenant(1), order("before").amount(9)).await.unwrap().granted());
        world.lose_the_server().await;
        for key in ["a", "b", "before"] {
            let amount = if key == "before" { 9 } else { 1 };
            let allowed = client.reserve(tenant(1), order(key).amount(amount)).await.unwrap();
            assert!(allowed.granted() && allowed.by_outage_rule(), "{key}");
        }
        let users = client.reserve(tenant(1), Reserve::new("users", "ann")).await;
        assert!(matches!(users, Err(Error::Unavailable(_))), "{users:?}");
        world.network.point_at(port(&world.server));
        // In the background, without a word: beyond the limit of 10, and each key once.
        let started = Instant::now();
        while world.client.reserve(tenant(1), Reserve::new("users", "ann")).await.is_err()
            || used(&world.client).await < 11
        {
            assert!(started.elapsed() < PATIENCE, "it is never recorded");
            tokio::task::yield_now().await;
        }
        client.record_allowed(PATIENCE).await.unwrap();
        assert_eq!(used(&world.client).await, 11);
        world.server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_when_its_answer_was_lost_is_allowed_and_counted_once() {
    let world = world(Database::postgres().await).await;
    let slow = Proxy::slow_to(port(&world.server), Duration::from_millis(500)).await;
    let config = config(&slow, OnOutage::Deny).deadline(Duration::from_millis(400)).tries(1);
    let client = allowing(config.without_watch(), &world);
    let told = client.reserve(tenant(1), order("a").amount(3)).await.unwrap();
    assert!(told.by_outage_rule(), "the answer takes longer than the deadline");
    let started = Instant::now();
    while used(&world.client).await == 0 {
        assert!(started.elapsed() < PATIENCE, "it is never counted");
        tokio::task::yield_now().await;
    }
    // It is sent again under its key, and the way is as slow as before.
    drop(client.record_allowed(Duration::from_secs(1)).await);
    assert_eq!(used(&world.client).await, 3);
    world.server.database.verify_usage().await;
}
