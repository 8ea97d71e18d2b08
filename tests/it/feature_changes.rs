//! A change of a flag, a plan's limit, a definition or an override, made by hand: it arrives
//! everywhere.

use std::{sync::Arc, time::Instant};

use entitlementd::proto::v1::{
    CheckFeatureRequest, CheckLimitRequest, FeatureReason, WatchChangesRequest,
    watch_changes_response::Event,
};

use crate::{
    features::Defined,
    harness::{Database, Row, Server, id},
};

/// What an instance answers: is the feature on and why, and how many users there may be.
#[derive(Debug, PartialEq)]
struct Told {
    is_on: bool,
    reason: FeatureReason,
    users: Option<i64>,
}

async fn ask(server: &Server) -> (Told, u64) {
    let feature = CheckFeatureRequest {
        tenant_id: id(1),
        module_code: "finance".into(),
        feature_key: "multi_currency".into(),
        ..Default::default()
    };
    let feature = server.client.clone().check_feature(feature).await.unwrap().into_inner();
    let limit = CheckLimitRequest {
        tenant_id: id(1),
        limit_key: "users".into(),
        observed: Some(0),
        ..Default::default()
    };
    let limit = server.client.clone().check_limit(limit).await.unwrap().into_inner();
    let decision = feature.decision.unwrap();
    let told = Told { is_on: decision.enabled, reason: decision.reason(), users: limit.limit };
    (told, feature.freshness.unwrap().revision)
}

async fn until(servers: &[Server], wanted: &Told) {
    let started = Instant::now();
    for server in servers {
        loop {
            let (told, _) = ask(server).await;
            if told == *wanted {
                break;
            }
            assert!(started.elapsed().as_secs() < 10, "{told:?} instead of {wanted:?}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_that_is_made_by_hand_flips_all_three_instances() {
    for database in [Database::postgres().await, Database::sqlite().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(Server::start_fed(database.again().await).await);
        }
        let database = Arc::new(database);
        let told = |is_on, reason, users| Told { is_on, reason, users };
        until(&servers, &told(false, FeatureReason::NotFound, Some(5))).await;

        database.define("finance", Defined { is_on: true, ..Defined::default() }).await;
        until(&servers, &told(true, FeatureReason::Default, Some(5))).await;
        database.plan_says("starter", "finance", "multi_currency", false, "NULL").await;
        until(&servers, &told(false, FeatureReason::Plan, Some(5))).await;
        database.flag(1, "finance", "multi_currency", "true", "'{}'").await;
        until(&servers, &told(true, FeatureReason::Tenant, Some(5))).await;
        database.limit_of_plan("starter", "max_users", "4").await;
        until(&servers, &told(true, FeatureReason::Tenant, Some(4))).await;
        database.override_limit(1, "users", "9", "NULL").await;
        until(&servers, &told(true, FeatureReason::Tenant, Some(9))).await;
        database.execute("UPDATE entitlement_limit_overrides SET value = 8").await;
        until(&servers, &told(true, FeatureReason::Tenant, Some(8))).await;
        database.execute("DELETE FROM entitlement_limit_overrides").await;
        database.execute("DELETE FROM feature_flags").await;
        until(&servers, &told(false, FeatureReason::Plan, Some(4))).await;
        database.keep_limit(1, "users", "7").await;
        until(&servers, &told(false, FeatureReason::Plan, Some(7))).await;
        database.keep_feature(1, "multi_currency", "true", "NULL").await;
        until(&servers, &told(true, FeatureReason::Plan, Some(7))).await;
        database.execute("UPDATE entitlement_kept_features SET enabled = NULL").await;
        until(&servers, &told(true, FeatureReason::Default, Some(7))).await;
        database.execute("DELETE FROM entitlement_kept_features").await;
        database.execute("DELETE FROM entitlement_kept_limits").await;
        until(&servers, &told(false, FeatureReason::Plan, Some(4))).await;
        database.execute("DELETE FROM entitlement_plan_features").await;
        database.execute("UPDATE entitlement_features SET default_enabled = false").await;
        until(&servers, &told(false, FeatureReason::Default, Some(4))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_a_tenants_is_told_with_its_revision_and_the_rest_as_a_change_of_the_catalogue() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let server = Server::start_fed(database).await;
    let everything = WatchChangesRequest::default();
    let mut told = server.client.clone().watch_changes(everything).await.unwrap().into_inner();
    let mut next = async |such: fn(&Event) -> bool| loop {
        let event = told.message().await.unwrap().unwrap().event.unwrap();
        if such(&event) {
            return event;
        }
        let is_news = !matches!(event, Event::Opened(_) | Event::Heartbeat(_));
        let is_early = matches!(&event, Event::TenantChanged(it) if it.revision == 0)
            || matches!(&event, Event::CatalogueChanged(_));
        assert!(!is_news || is_early, "{event:?}");
    };
    let of_tenant: fn(&Event) -> bool =
        |event| matches!(event, Event::TenantChanged(it) if it.revision > 0);
    let of_catalogue: fn(&Event) -> bool =
        |event| matches!(event, Event::CatalogueChanged(it) if it.revision > 0);

    server.database.flag(1, "finance", "multi_currency", "true", "'{}'").await;
    let Event::TenantChanged(flagged) = next(of_tenant).await else { unreachable!() };
    let (_, revision) = ask(&server).await;
    assert_eq!((flagged.tenant_id, flagged.revision), (id(1), revision));
    server.database.override_limit(1, "users", "9", "NULL").await;
    let Event::TenantChanged(given) = next(of_tenant).await else { unreachable!() };
    assert_eq!(given.revision, revision + 1);
    server.database.limit_of_plan("growth", "max_users", "21").await;
    next(of_catalogue).await;
    server.database.define("finance", Defined::default()).await;
    next(of_catalogue).await;
}
