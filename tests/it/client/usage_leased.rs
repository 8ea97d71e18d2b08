//! Slices of a limit that a process holds: spent there, and never beyond the limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use entitlement_client::{Entitlements, Error, Lease, OnOutage};

use super::{
    PATIENCE, World, config, port, tenant,
    usage::{ORDERS, on_both, order, world},
    usage_recorded::used,
};
use crate::harness::{Database, proxy::Proxy};

async fn thousand(world: &World) {
    world.server.database.limit_of_plan("starter", "max_transactions_monthly", "1000").await;
}

fn lease(size: i64) -> Lease {
    Lease::new(ORDERS).size(size)
}

/// What is held of the orders.
async fn held(database: &Database) -> i64 {
    let sql = "SELECT CAST(COALESCE(sum(held), 0) AS bigint) AS held
               FROM entitlement_usage_counters WHERE meter = 'transactions_monthly'";
    database.one(sql).await.try_get("", "held").unwrap()
}

async fn until_held(database: &Database, there: i64) {
    let started = Instant::now();
    loop {
        let held = held(database).await;
        if held == there {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "still {held}");
        tokio::task::yield_now().await;
    }
}

on_both! {
    async fn a_slice_is_spent_without_asking_and_the_rest_is_given_back(world: World) {
        thousand(&world).await;
        let leased = world.client.leased(tenant(1), lease(100)).unwrap();
        leased.take(1).await.unwrap();
        assert_eq!(held(&world.server.database).await, 100);
        for _ in 0..40 {
            assert!(leased.take_held(1));
        }
        assert_eq!(world.questions("AcquireUsageLease").await, 1.0);
        assert_eq!(world.questions("ReserveUsage").await, 0.0);
        leased.close(PATIENCE).await.unwrap();
        assert_eq!((used(&world.client).await, held(&world.server.database).await), (41, 0));
        world.server.database.verify_usage().await;
    }

    async fn the_last_of_a_limit_is_reserved_one_by_one_and_refused_beyond_it(world: World) {
        let leased = world.client.leased(tenant(1), lease(100)).unwrap();
        for _ in 0..10 {
            leased.take(1).await.unwrap();
        }
        let refused = leased.take(1).await.unwrap_err();
        assert_eq!((refused.word().as_str(), refused.to_string().as_str()),
            ("EXCEEDED", "This would exceed the limit 'transactions_monthly' of 10."));
        let module = world.client.leased(tenant(1), lease(100).module("hrms")).unwrap();
        assert_eq!(module.take(1).await.unwrap_err().word(), "NOT_SUBSCRIBED");
        leased.close(PATIENCE).await.unwrap();
        assert_eq!(used(&world.client).await, 10);
        world.server.database.verify_usage().await;
    }

    async fn many_tasks_of_several_processes_never_take_beyond_the_limit(world: World) {
        thousand(&world).await;
        let granted = Arc::new(AtomicI64::new(0));
        let (mut tasks, mut holders) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let process = config(&world.network, OnOutage::Deny).deadline(PATIENCE).without_watch();
            let leased = Entitlements::connect(process).unwrap().leased(tenant(1), lease(40)).unwrap();
            for _ in 0..8 {
                let (leased, granted) = (leased.clone(), Arc::clone(&granted));
                tasks.push(tokio::spawn(async move {
                    for _ in 0..60 {
                        match leased.take(1).await {
                            Ok(()) => _ = granted.fetch_add(1, Ordering::Relaxed),
                            Err(Error::NotReserved(_)) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }));
            }
            holders.push(leased);
        }
        for task in tasks {
            task.await.unwrap();
        }
        for leased in holders {
            leased.close(PATIENCE).await.unwrap();
        }
        let granted = granted.load(Ordering::Relaxed);
        assert_eq!((used(&world.client).await, held(&world.server.database).await), (granted, 0));
        assert!(granted <= 1_000 && granted > 800, "{granted}");
        world.server.database.verify_usage().await;
    }

    async fn a_slice_whose_answer_was_lost_is_asked_for_again_and_leased_once(world: World) {
        thousand(&world).await;
        let slow = Proxy::slow_to(port(&world.server), Duration::from_millis(500)).await;
        let client = Entitlements::connect(config(&slow, OnOutage::Deny).deadline(PATIENCE)).unwrap();
        let leased = client.leased(tenant(1), lease(100)).unwrap();
        let taking = leased.clone();
        let taken = tokio::spawn(async move { taking.take(7).await });
        until_held(&world.server.database, 100).await;
        // It is leased, and the answer is on its way.
        slow.cut().await;
        taken.await.unwrap().unwrap();
        assert_eq!(held(&world.server.database).await, 100);
        leased.close(PATIENCE).await.unwrap();
        assert_eq!((used(&world.client).await, held(&world.server.database).await), (7, 0));
        world.server.database.verify_usage().await;
    }

    async fn a_slice_that_nobody_heard_of_is_given_back_at_the_end(world: World) {
        thousand(&world).await;
        let slow = Proxy::slow_to(port(&world.server), Duration::from_millis(300)).await;
        let once = config(&slow, OnOutage::Deny).deadline(PATIENCE).tries(1);
        let client = Entitlements::connect(once).unwrap();
        let leased = client.leased(tenant(1), lease(100)).unwrap();
        assert!(!leased.take_held(1), "it is asked for");
        until_held(&world.server.database, 100).await;
        slow.cut().await;
        leased.close(PATIENCE).await.unwrap();
        assert_eq!((used(&world.client).await, held(&world.server.database).await), (0, 0));
        world.server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_outage_the_slice_is_spent_on_and_settled_once_the_server_is_back() {
    let world = world(Database::postgres().await).await;
    thousand(&world).await;
    let leased = world.client.leased(tenant(1), lease(20)).unwrap();
    leased.take(1).await.unwrap();
    world.lose_the_server().await;
    for _ in 0..19 {
        leased.take(1).await.unwrap();
    }
    let outage = leased.take(1).await;
    assert!(matches!(outage, Err(Error::Unavailable(_))), "{outage:?}");
    world.network.point_at(port(&world.server));
    leased.close(PATIENCE).await.unwrap();
    assert_eq!((used(&world.client).await, held(&world.server.database).await), (20, 0));
    assert!(world.client.reserve(tenant(1), order("next")).await.unwrap().granted());
    world.server.database.verify_usage().await;
}
