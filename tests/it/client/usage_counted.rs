//! What is added up in the process of the caller: counted once, whatever becomes of the answers.

use std::time::{Duration, Instant};

use axum::{
    Router,
    routing::{MethodRouter, get},
};
use entitlement_client::{
    CountLayer, Entitlements, OnOutage, RequireModule, TenantLayer, UsageCounters, UsageGranularity,
};

use super::{
    PATIENCE, World, config,
    gates::App,
    port, tenant,
    usage::{ORDERS, world},
    usage_recorded::{history, used},
};
use crate::harness::{Database, id, proxy::Proxy};

/// Longer than any test: what is sent is sent because the test says so.
const NEVER: Duration = Duration::from_secs(3_600);

async fn until_used(client: &Entitlements, wanted: i64) {
    let started = Instant::now();
    loop {
        let used = used(client).await;
        if used == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE && used < wanted, "still {used}");
        tokio::task::yield_now().await;
    }
}

fn counters(world: &World, every: Duration) -> UsageCounters {
    world.client.counters(every).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_is_sent_by_itself_and_counted_by_module() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let world = world(database).await;
        let counters = counters(&world, Duration::from_millis(20));
        for number in 0..100 {
            let module = if number % 4 == 0 { "finance" } else { "" };
            counters.add(tenant(1), ORDERS, 2, module);
        }
        until_used(&world.client, 200).await;
        let spans = history(&world.client, UsageGranularity::QuarterHour).await.spans;
        assert_eq!(spans.len(), 1);
        counters.add(tenant(1), "users", 1, "");
        counters.add(tenant(1), ORDERS, 1, "moon");
        counters.close(PATIENCE).await.unwrap();
        assert_eq!((counters.refused(), counters.dropped()), (2, 0), "a level, and no module");
        world.server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answer_is_lost_is_sent_again_as_it_was_and_counted_once() {
    let world = world(Database::postgres().await).await;
    let slow = Proxy::slow_to(port(&world.server), Duration::from_millis(300)).await;
    let once = config(&slow, OnOutage::Deny).deadline(PATIENCE).tries(1).clock(world.clock.clone());
    let counters = Entitlements::connect(once).unwrap().counters(NEVER).unwrap();
    counters.add(tenant(1), ORDERS, 5, "");
    let sending = counters.clone();
    let sent = tokio::spawn(async move { sending.flush().await });
    until_used(&world.client, 5).await;
    // It is counted, and the answer is on its way. What is added meanwhile is of the next message.
    counters.add(tenant(1), ORDERS, 2, "");
    slow.cut().await;
    // The library may have sent it again by itself.
    drop(sent.await.unwrap());
    counters.flush().await.unwrap();
    assert_eq!(used(&world.client).await, 7);
    world.server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_counted_twice_while_the_network_breaks_again_and_again() {
    let world = world(Database::postgres().await).await;
    let breaking = Proxy::slow_to(port(&world.server), Duration::from_millis(5)).await;
    let hasty = config(&breaking, OnOutage::Deny).clock(world.clock.clone());
    let counters =
        Entitlements::connect(hasty).unwrap().counters(Duration::from_millis(10)).unwrap();
    let adding = async {
        for _ in 0..40 {
            for _ in 0..50 {
                counters.add(tenant(1), ORDERS, 1, "");
            }
            // Spread over the cuts: nothing waits for it.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let cutting = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(37)).await;
            breaking.cut().await;
        }
    };
    tokio::join!(adding, cutting);
    counters.close(PATIENCE).await.unwrap();
    assert_eq!((used(&world.client).await, counters.dropped(), counters.refused()), (2_000, 0, 0));
    world.server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layer_counts_what_was_let_pass_and_what_is_refused_only_where_that_is_asked_for() {
    let world = world(Database::sqlite().await).await;
    let counters = counters(&world, NEVER);
    let orders = CountLayer::new(&counters, ORDERS);
    let passing = |module| -> MethodRouter {
        get(async || "done").layer(RequireModule::http(&world.client, module))
    };
    let app = Router::new()
        .route("/ledger", passing("finance").layer(orders.clone().module("finance")))
        .route("/leave", passing("hrms").layer(orders.clone()))
        .route("/all-leave", passing("hrms").layer(orders.clone().with_refused()))
        .route("/public", get(async || "public").layer(orders))
        .layer(TenantLayer::http(&world.client).public_path("/public"));
    let app = App::axum(app).await;
    let named = format!("X-Tenant-ID: {}\r\n", id(1));
    let asked = async |path, headers: &str| app.get(path, headers).await.status;
    assert_eq!(asked("/ledger", &named).await, 200);
    assert_eq!(asked("/ledger", &named).await, 200);
    assert_eq!(asked("/leave", &named).await, 403);
    assert_eq!(asked("/all-leave", &named).await, 403);
    assert_eq!(asked("/ledger", "").await, 401);
    assert_eq!(asked("/public", "").await, 200);
    counters.flush().await.unwrap();
    let month = history(&world.client, UsageGranularity::Month).await;
    assert_eq!(month.total, 3);
    world.server.database.verify_usage().await;
}
