//! What was used already: recorded once, and told over time.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use entitlement_client::{
    Entitlements, Error, OnOutage, UsageEvent, UsageGranularity, UsageHistory, UsageOutcome,
    UsageQuery,
};
use tonic::Code;

use super::{
    PATIENCE, config, port, tenant,
    usage::{ORDERS, on_both, order, refused_with, world},
};
use crate::harness::{Database, NOW, proxy::Proxy};

pub(super) fn event(key: &str) -> UsageEvent {
    UsageEvent::new(tenant(1), ORDERS, key)
}

pub(super) async fn history(client: &Entitlements, granularity: UsageGranularity) -> UsageHistory {
    let within = NOW - TimeDelta::days(40)..NOW + TimeDelta::days(40);
    client.query_usage(tenant(1), UsageQuery::new(ORDERS, granularity, within)).await.unwrap()
}

pub(super) async fn used(client: &Entitlements) -> i64 {
    history(client, UsageGranularity::Month).await.total
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

on_both! {
    async fn any_number_of_events_is_recorded_once_each_whatever_the_limit(world: World) {
        // One that is asked again has counted before, and says so.
        let patient = config(&world.network, OnOutage::Deny).deadline(PATIENCE);
        let client = &Entitlements::connect(patient).unwrap();
        let events: Vec<_> = (0..1_201).map(|number| event(&format!("o-{}", number % 1_200))).collect();
        let outcomes = client.record(events.clone()).await.unwrap();
        assert_eq!(outcomes.len(), 1_201);
        assert!(outcomes[..1_200].iter().all(|it| *it == UsageOutcome::Counted));
        assert_eq!(outcomes[1_200], UsageOutcome::Repeated);
        let again = client.record(events).await.unwrap();
        assert!(again.iter().all(|it| *it == UsageOutcome::Repeated));
        assert_eq!(used(client).await, 1_200, "the limit is 10");
        assert!(!client.reserve(tenant(1), order("more")).await.unwrap().granted());
        assert_eq!(client.record([]).await.unwrap(), []);
        world.server.database.verify_usage().await;
    }

    async fn what_is_wrong_with_one_event_is_told_of_that_one(world: World) {
        let stars = UsageEvent::new(tenant(1), "stars", "a");
        let nobody = UsageEvent::new(tenant(77), ORDERS, "a");
        let outcomes = world.client.record([
            event("a b"), event("a"), event("a").amount(2), stars, nobody, event("b").module("moon"),
            event("c").at(NOW - TimeDelta::days(36)), event("d").at(NOW + TimeDelta::minutes(6)), event("e").amount(0),
        ]).await.unwrap();
        assert_eq!(outcomes, [
            UsageOutcome::Invalid, UsageOutcome::Counted, UsageOutcome::Conflict, UsageOutcome::UnknownMeter,
            UsageOutcome::UnknownTenant, UsageOutcome::UnknownModule, UsageOutcome::TooLate, UsageOutcome::TooEarly,
            UsageOutcome::Invalid,
        ]);
        assert_eq!(used(&world.client).await, 1);
    }

    async fn a_correction_takes_back_what_it_names(world: World) {
        let client = &world.client;
        let correction = |key: &str, amount| event(key).amount(amount).corrects("o-1");
        let outcomes = client.record([event("o-1").amount(8), correction("c-1", 3), correction("c-2", 6)]).await.unwrap();
        assert_eq!(outcomes, [UsageOutcome::Counted, UsageOutcome::Counted, UsageOutcome::NothingToCorrect]);
        assert_eq!(client.record([correction("c-1", 3)]).await.unwrap(), [UsageOutcome::Repeated]);
        assert_eq!(used(client).await, 5);
        world.server.database.verify_usage().await;
    }

    async fn what_was_used_is_told_by_quarters_hours_days_and_months_and_by_module(world: World) {
        let client = &world.client;
        let at = |key: &str, amount, text: &str| event(key).amount(amount).at(instant(text));
        client.record([
            at("a", 1, "2026-10-31T23:50:00Z"),
            at("b", 2, "2026-11-01T00:05:00Z"),
            at("c", 4, "2026-11-01T00:20:00Z").module("finance"),
        ]).await.unwrap();
        let of = async |granularity| {
            let UsageHistory { spans, total, late, .. } = history(client, granularity).await;
            assert_eq!((total, late), (7, 7), "more than an hour after");
            spans.iter().map(|span| (span.start.to_rfc3339(), span.amount, span.events)).collect::<Vec<_>>()
        };
        let told = |text: &str, amount, events| (instant(text).to_rfc3339(), amount, events);
        assert_eq!(of(UsageGranularity::QuarterHour).await, [
            told("2026-10-31T23:45:00Z", 1, 1), told("2026-11-01T00:00:00Z", 2, 1), told("2026-11-01T00:15:00Z", 4, 1),
        ]);
        assert_eq!(of(UsageGranularity::Hour).await, [told("2026-10-31T23:00:00Z", 1, 1), told("2026-11-01T00:00:00Z", 6, 2)]);
        assert_eq!(of(UsageGranularity::Day).await, [told("2026-10-31T00:00:00Z", 1, 1), told("2026-11-01T00:00:00Z", 6, 2)]);
        assert_eq!(of(UsageGranularity::Month).await, [told("2026-10-01T00:00:00Z", 1, 1), told("2026-11-01T00:00:00Z", 6, 2)]);
        let november = || {
            let within = instant("2026-11-01T00:00:00Z")..instant("2026-12-01T00:00:00Z");
            UsageQuery::new(ORDERS, UsageGranularity::Month, within)
        };
        let each = client.query_usage(tenant(1), november().by_module()).await.unwrap();
        let each: Vec<_> = each.spans.iter().map(|span| (span.module.as_str(), span.amount, span.end)).collect();
        let end = instant("2026-12-01T00:00:00Z");
        assert_eq!(each, [("", 2, end), ("finance", 4, end)]);
        let finance = client.query_usage(tenant(1), november().module("finance")).await.unwrap();
        assert_eq!((finance.total, finance.spans[0].recorded_at), (4, Some(NOW)));
        let level = UsageQuery::new("users", UsageGranularity::Day, NOW..NOW + TimeDelta::days(1));
        assert_eq!(refused_with(client.query_usage(tenant(1), level).await.unwrap_err()), Code::FailedPrecondition);
    }

    async fn what_was_recorded_when_its_answer_was_lost_is_sent_again_and_counted_once(world: World) {
        let slow = Proxy::slow_to(port(&world.server), Duration::from_millis(500)).await;
        let client = Entitlements::connect(config(&slow, OnOutage::Deny).deadline(PATIENCE)).unwrap();
        let asked = tokio::spawn(async move { client.record([event("o-1").amount(3)]).await });
        let started = Instant::now();
        while used(&world.client).await == 0 {
            assert!(started.elapsed() < PATIENCE, "it is never counted");
            tokio::task::yield_now().await;
        }
        // It is counted, and the answer is on its way.
        slow.cut().await;
        assert_eq!(asked.await.unwrap().unwrap(), [UsageOutcome::Repeated]);
        assert_eq!(used(&world.client).await, 3);
        world.server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_outage_recording_and_asking_are_errors() {
    let world = world(Database::sqlite().await).await;
    world.lose_the_server().await;
    let recorded = world.client.record([event("a")]).await;
    assert!(matches!(recorded, Err(Error::Unavailable(_))), "{recorded:?}");
    let within = NOW..NOW + TimeDelta::days(1);
    let query = UsageQuery::new(ORDERS, UsageGranularity::Day, within);
    let asked = world.client.query_usage(tenant(1), query).await;
    assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
}
