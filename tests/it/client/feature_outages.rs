//! Outages: what each rule answers about features and limits.

use std::time::Duration;

use entitlement_client::{
    Error, FeatureAnswer, FeatureReason, LimitEnforcement, LimitReason, OnOutage,
};
use serde_json::json;
use tonic::Code;

use super::{
    FLAGS, World,
    features::{KEY, fill},
    tenant,
};
use crate::harness::{Database, instant};

/// A client that holds tenant 1, and then loses the server.
async fn cut_off(on_outage: OnOutage, enforcement: &str) -> World {
    let database = Database::postgres().await;
    fill(&database).await;
    database.flag(1, "finance", "rows", "true", "'100'").await;
    let ends = format!("'{}'", instant(1_800).to_rfc3339());
    database.override_limit(1, "printers", "2", &ends).await;
    let flags = [&FLAGS[..], &["--enforce-limits", enforcement]].concat();
    let world = World::with(database, &flags, on_outage).await;
    world.until_feature("rows", FeatureAnswer::enabled).await;
    world.lose_the_server().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_denies_in_an_outage_denies_features_and_knows_no_limit() {
    let world = cut_off(OnOutage::Deny, "on").await;
    world.clock.advance(Duration::from_secs(31));
    let off = world.feature("rows").await;
    assert!(!off.enabled() && off.by_outage_rule() && off.value().is_none(), "{off:?}");
    assert_eq!(off.reason(), FeatureReason::Unspecified);
    assert!(off.message().starts_with("It cannot be checked at the moment"), "{off:?}");
    let error = world.client.require_feature(tenant(1), "finance", "rows").await.unwrap_err();
    assert_eq!(tonic::Status::from(error).code(), Code::Unavailable);
    let refused = world.client.within_limit(tenant(1), "users", 0, 1).await.unwrap();
    assert!(!refused.allowed() && refused.by_outage_rule(), "{refused:?}");
    let limit = world.client.limit(tenant(1), "users").await;
    assert!(matches!(limit, Err(Error::Unavailable(_))), "no rule makes up a number: {limit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outage_refuses_what_the_server_did_not_refuse() {
    for (enforcement, wanted) in
        [("off", LimitEnforcement::Off), ("shadow", LimitEnforcement::Shadow)]
    {
        for rule in [OnOutage::Deny, OnOutage::ServeStale(Duration::from_secs(1))] {
            let world = cut_off(rule, enforcement).await;
            world.clock.advance(Duration::from_secs(31));
            // Of one that was asked about, and of one that was not.
            for number in [1, 2] {
                let said =
                    world.client.within_limit(tenant(number), "users", 1_000, 1).await.unwrap();
                assert!(said.allowed() && said.by_outage_rule(), "{said:?}");
                assert_eq!((said.reason(), said.enforcement()), (LimitReason::Unspecified, wanted));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_served_is_refused_in_an_outage_whatever_is_enforced() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "one", "suspended").await;
    let world = World::with(database, &FLAGS, OnOutage::Deny).await;
    let denied = world.client.within_limit(tenant(1), "users", 0, 1).await.unwrap();
    assert_eq!((denied.allowed(), denied.reason()), (false, LimitReason::TenantDenied));
    assert_eq!(denied.enforcement(), LimitEnforcement::Off);
    world.lose_the_server().await;
    world.clock.advance(Duration::from_secs(31));
    let refused = world.client.within_limit(tenant(1), "users", 0, 1).await.unwrap();
    assert_eq!((refused.allowed(), refused.reason()), (false, LimitReason::Unspecified));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_allows_in_an_outage_allows_features_without_a_value_and_has_no_limits() {
    let world = cut_off(OnOutage::Allow, "on").await;
    world.clock.advance(Duration::from_secs(31));
    for key in ["rows", "teleport"] {
        let on = world.feature(key).await;
        assert!(on.enabled() && on.by_outage_rule() && on.value().is_none(), "{on:?}");
    }
    let allowed = world.client.within_limit(tenant(1), "users", 1_000, 1).await.unwrap();
    assert!(allowed.allowed() && allowed.by_outage_rule(), "{allowed:?}");
    assert_eq!(world.client.limit(tenant(1), "users").await.unwrap().limit(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_stale_answers_has_features_and_limits_as_they_were_and_time_still_applies() {
    let world = cut_off(OnOutage::ServeStale(Duration::from_secs(3_600)), "on").await;
    world.clock.advance(Duration::from_secs(1_700));
    let on = world.feature("rows").await;
    assert!(on.enabled() && on.is_stale() && on.by_outage_rule(), "{on:?}");
    assert_eq!(on.value(), Some(&json!(100)));
    let off = world.feature(KEY).await;
    assert_eq!(
        (off.enabled(), off.reason(), off.is_stale()),
        (false, FeatureReason::Default, true)
    );
    let error = world.client.require_feature(tenant(1), "finance", KEY).await.unwrap_err();
    assert_eq!(tonic::Status::from(error).code(), Code::PermissionDenied, "that much is known");
    assert!(!world.client.feature(tenant(1), "hrms", KEY).await.unwrap().enabled());
    let refused = world.client.within_limit(tenant(1), "users", 5, 1).await.unwrap();
    assert_eq!(
        (refused.allowed(), refused.reason(), refused.is_stale()),
        (false, LimitReason::Exceeded, true)
    );
    assert_eq!(world.client.limit(tenant(1), "printers").await.unwrap().limit(), Some(2));
    let fresh = world.client.at_least(u64::MAX);
    let fresh = fresh.feature(tenant(1), "finance", "rows").await.unwrap();
    assert!(!fresh.enabled(), "nothing that is held is that fresh");
    world.clock.advance(Duration::from_secs(100));
    let ended = world.client.within_limit(tenant(1), "printers", 0, 1).await.unwrap();
    assert_eq!(
        (ended.allowed(), ended.reason()),
        (false, LimitReason::Unspecified),
        "it has ended"
    );
    assert!(world.feature("rows").await.enabled());
    world.clock.advance(Duration::from_secs(1_900));
    assert!(!world.feature("rows").await.enabled(), "it was held for as long as it was to be");
}
