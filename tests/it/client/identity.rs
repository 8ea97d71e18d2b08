//! Who it is, while it is watched and in an outage.

use std::time::{Duration, Instant};

use axum::{Router, routing::get};
use chrono::TimeDelta;
use entitlement_client::{
    Entitlements, Error, OnOutage, RequireModule, Resolved, TenantLayer, testing::Double,
};
use serde_json::json;

use super::{FLAGS, PATIENCE, World, gates::App, resolve::by_id, tenant};
use crate::harness::{Database, NOW, Row, id, logged::Logged, token};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn in_an_outage_who_was_known_is_authorized_by_what_is_held() {
    let (double, known) = (Double::new(), tenant(1).to_string());
    let client = double.client(OnOutage::ServeStale(HOUR));
    double.allow(tenant(1), "finance");
    client.authorize(by_id(&known), &["finance"]).await.unwrap();
    assert!(client.check(tenant(1), "finance").await.unwrap().allowed());
    double.go_dark();
    double.advance(HOUR - Duration::from_secs(1));
    let authorized = client.authorize(by_id(&known), &["hrms", "finance"]).await.unwrap();
    assert!(authorized.resolved.stale && authorized.resolved.by_outage_rule);
    assert!(authorized.answer.allowed() && authorized.answer.by_outage_rule());
    let unknown = tenant(2).to_string();
    let refused = client.authorize(by_id(&unknown), &["finance"]).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn an_outage_is_said_once_and_so_is_its_end_with_the_answers_that_the_rule_gave() {
    let logged = Logged::start();
    let (double, known) = (Double::new(), tenant(1).to_string());
    let client = double.client(OnOutage::ServeStale(HOUR));
    double.allow(tenant(1), "finance");
    client.resolve(by_id(&known)).await.unwrap();
    assert!(client.check(tenant(1), "finance").await.unwrap().allowed());
    assert_eq!(logged.warnings(), [""; 0]);
    double.go_dark();
    double.advance(Duration::from_secs(60));
    for _ in 0..20 {
        client.resolve(by_id(&known)).await.unwrap();
        assert!(client.check(tenant(1), "finance").await.unwrap().by_outage_rule());
    }
    let lost = logged.warnings();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(
        lost[0].contains("the double is lost") && lost[0].contains("for up to 3600s"),
        "{lost:?}"
    );
    double.come_back();
    let back = logged.warnings();
    assert_eq!(back.len(), 2, "{back:?}");
    assert!(back[1].contains("is back after 60 s") && back[1].contains("40 answers"), "{back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_keeps_nobody_waiting_whose_tenant_is_held() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let world = World::of(database, OnOutage::ServeStale(HOUR)).await;
    let known = id(1);
    world.until(1, "finance", |answer| answer.allowed()).await;
    world.until_resolved_by_id(1).await;
    world.network.black_hole();
    // Its stream is silent for too long.
    world.clock.advance(Duration::from_secs(31));
    let started = Instant::now();
    for _ in 0..200 {
        let resolved = world.client.resolve(by_id(&known)).await.unwrap();
        assert!(resolved.by_outage_rule);
        let answer = world.client.check(tenant(1), "finance").await.unwrap();
        assert!(answer.allowed() && answer.by_outage_rule(), "{answer:?}");
        // So that it lasts longer than a question to the frozen server does.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let waited = started.elapsed() - Duration::from_millis(10) * 200;
    assert!(waited < Duration::from_secs(2), "the deadline of one question: {waited:?}");
    world.network.let_through();
    let started = Instant::now();
    while world.client.resolve(by_id(&known)).await.unwrap().by_outage_rule {
        assert!(started.elapsed() < PATIENCE, "it recovers");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_layers_known_tenants_pass_for_an_hour_after_the_server_is_gone() {
    let secret = token::secret_file();
    let path = secret.path().to_str().unwrap().to_owned();
    let flags = [&FLAGS[..], &["--jwt-secret-file", &path]].concat();
    let database = Database::postgres().await;
    for number in [1, 2, 3] {
        database.mk_subscribed(number, "finance", Row::default()).await;
    }
    let world = World::with(database, &flags, OnOutage::ServeStale(HOUR)).await;
    let app = ledger(&world.client).await;
    let bearer = |number: u32| {
        let mut claims = token::claims(&id(number));
        claims["exp"] = json!((NOW + TimeDelta::hours(2)).timestamp());
        format!("Bearer {}", token::hs256(&claims))
    };
    let get = async |number: u32| {
        let bearer = bearer(number);
        app.get("/ledger", &format!("Authorization: {bearer}\r\n")).await
    };
    for number in [1, 2] {
        assert_eq!(get(number).await.status, 200);
    }
    world.server.database.set_status(2, "suspended").await;
    let started = Instant::now();
    while get(2).await.status == 200 {
        assert!(started.elapsed() < PATIENCE, "the suspension is received");
    }
    world.until(1, "finance", |answer| answer.allowed()).await;
    world.lose_the_server().await;
    for minutes in [1, 30, 59] {
        world.clock.set(NOW + TimeDelta::minutes(minutes));
        let known = get(1).await;
        assert_eq!((known.status, known.body.as_str()), (200, "stale"), "after {minutes} min");
        assert_eq!(get(2).await.status, 503, "suspended, {minutes} min ago");
        assert_eq!(get(3).await.status, 503, "never seen");
    }
    world.clock.set(NOW + TimeDelta::minutes(61));
    assert_eq!(get(1).await.status, 503, "longer than the rule says");
}

async fn ledger(client: &Entitlements) -> App {
    let page = async |found: Resolved| if found.by_outage_rule { "stale" } else { "fresh" };
    App::axum(
        Router::new()
            .route("/ledger", get(page))
            .route_layer(RequireModule::http(client, "finance"))
            .layer(TenantLayer::http(client)),
    )
    .await
}
