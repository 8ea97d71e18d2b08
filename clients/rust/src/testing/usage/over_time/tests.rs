use std::time::Duration;

use super::*;
use crate::{
    Entitlements, Error, Lease, OnOutage, Reserve, Unsettled,
    testing::Double,
    usage::{Acquire, Granted, Settle},
};

const ONE: Uuid = Uuid::from_u128(1);
const ORDERS: &str = "transactions_monthly";

fn customer(limit: i64) -> (Double, Entitlements) {
    let double = Double::new();
    double.limit(ONE, ORDERS, Some(limit));
    let client = double.client(OnOutage::Deny);
    (double, client)
}

fn event(key: &str) -> UsageEvent {
    UsageEvent::new(ONE, ORDERS, key)
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn history(client: &Entitlements, granularity: UsageGranularity) -> Vec<(String, i64, i64)> {
    let year = instant("2025-06-01T00:00:00Z")..instant("2026-06-01T00:00:00Z");
    let year = if granularity == UsageGranularity::QuarterHour {
        instant("2025-12-31T00:00:00Z")..instant("2026-01-02T00:00:00Z")
    } else {
        year
    };
    let query = UsageQuery::new(ORDERS, granularity, year);
    let spans = client.query_usage(ONE, query).await.unwrap().spans;
    spans
        .iter()
        .map(|it| (it.start.format("%m-%d %H:%M").to_string(), it.amount, it.events))
        .collect()
}

#[tokio::test]
async fn each_event_has_its_outcome_as_a_servers() {
    use UsageOutcome::{
        Conflict, Counted, Invalid, NothingToCorrect, Repeated, TooEarly, TooLate, UnknownMeter,
        UnknownTenant,
    };

    let (double, client) = customer(10);
    let now = double.now();
    let dated = |key: &str, days, seconds| {
        event(key).at(now + TimeDelta::days(days) + TimeDelta::seconds(seconds))
    };
    assert!(
        client.reserve(ONE, Reserve::new(ORDERS, "reserved").amount(4)).await.unwrap().granted()
    );
    let held = Reserve::new(ORDERS, "held").hold_for(Duration::from_secs(60));
    assert!(client.reserve(ONE, held).await.unwrap().granted());
    let outcomes = client.record([
        event("a").amount(20),
        event("a").amount(20),
        event("a").amount(21),
        event("reserved").amount(4),
        event("held"),
        event("a b"),
        event("b").amount(-1),
        UsageEvent::new(ONE, "users", "c"),
        UsageEvent::new(Uuid::from_u128(9), ORDERS, "c"),
        dated("d", -35, -1),
        dated("e", 0, 301),
        event("v").amount(8).corrects("a"),
        event("v").amount(8).corrects("a"),
        event("w").amount(13).corrects("a"),
        event("v").amount(8),
    ]);
    assert_eq!(
        outcomes.await.unwrap(),
        [
            Counted,
            Repeated,
            Conflict,
            Repeated,
            Repeated,
            Invalid,
            Invalid,
            UnknownMeter,
            UnknownTenant,
            TooLate,
            TooEarly,
            Counted,
            Repeated,
            NothingToCorrect,
            Conflict,
        ]
    );
    let refused = client.reserve(ONE, Reserve::new(ORDERS, "more")).await.unwrap();
    assert_eq!((refused.granted(), refused.used(), refused.held()), (false, 17, 0));
}

#[tokio::test]
async fn what_was_used_is_told_by_quarters_hours_days_and_months() {
    let (_double, client) = customer(10);
    let at = |key: &str, amount, text: &str| event(key).amount(amount).at(instant(text));
    let outcomes = client
        .record([
            at("a", 1, "2025-12-31T23:44:59Z"),
            at("b", 2, "2025-12-31T23:45:00Z").module("finance"),
            at("c", 4, "2026-01-01T00:00:00Z"),
        ])
        .await
        .unwrap();
    assert_eq!(outcomes, [UsageOutcome::Counted; 3]);
    let told = |start: &str, amount, events| (start.to_owned(), amount, events);
    assert_eq!(
        history(&client, UsageGranularity::QuarterHour).await,
        [told("12-31 23:30", 1, 1), told("12-31 23:45", 2, 1), told("01-01 00:00", 4, 1)]
    );
    let two = |start: &str| [told(start, 3, 2), told("01-01 00:00", 4, 1)];
    assert_eq!(history(&client, UsageGranularity::Hour).await, two("12-31 23:00"));
    assert_eq!(history(&client, UsageGranularity::Day).await, two("12-31 00:00"));
    assert_eq!(history(&client, UsageGranularity::Month).await, two("12-01 00:00"));
    let december = instant("2025-12-05T00:00:00Z")..instant("2026-01-01T00:00:00Z");
    let december = UsageQuery::new(ORDERS, UsageGranularity::Month, december);
    let each = client.query_usage(ONE, december.clone().by_module()).await.unwrap();
    let of: Vec<_> = each.spans.iter().map(|span| (span.module.as_str(), span.amount)).collect();
    assert_eq!((of, each.total), (vec![("", 1), ("finance", 2)], 3));
    let finance = client.query_usage(ONE, december.module("finance")).await.unwrap();
    assert_eq!((finance.total, finance.late), (2, 0), "it is 15 minutes ago");
    let now = instant("2026-01-01T00:00:00Z");
    let many = UsageQuery::new(ORDERS, UsageGranularity::Hour, now - TimeDelta::days(999)..now);
    assert!(matches!(client.query_usage(ONE, many).await, Err(Error::Refused(_))));
    let level = UsageQuery::new("users", UsageGranularity::Day, now..now + TimeDelta::days(1));
    assert!(matches!(client.query_usage(ONE, level).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn what_is_taken_back_late_is_told_as_late() {
    let (double, client) = customer(10);
    assert!(client.reserve(ONE, Reserve::new(ORDERS, "a").amount(3)).await.unwrap().granted());
    double.advance(Duration::from_secs(7_200));
    assert_eq!(client.release(ONE, ORDERS, "a").await.unwrap(), 3);
    let today = double.now()..double.now() + TimeDelta::days(1);
    let today = UsageQuery::new(ORDERS, UsageGranularity::Day, today);
    let told = client.query_usage(ONE, today).await.unwrap();
    assert_eq!((told.total, told.late), (0, -3));
}

#[test]
fn a_producers_message_is_counted_once_and_one_that_is_missing_is_told() {
    let asked = Double::new();
    asked.limit(ONE, ORDERS, None);
    let server = asked.server();
    let message = |sequence| Message {
        events: vec![event("").amount(2)],
        producer: Some((Uuid::from_u128(7), sequence)),
    };
    assert_eq!(server.record_now(&message(1)).unwrap(), [UsageOutcome::Counted]);
    assert_eq!(server.record_now(&message(1)).unwrap(), [UsageOutcome::Repeated]);
    let gap = server.record_now(&message(3)).unwrap_err();
    assert_eq!(gap.get_details_error_info().unwrap().reason, "USAGE_SEQUENCE_GAP");
    let keyed = Message { events: vec![event("a")], ..message(2) };
    assert_eq!(server.record_now(&keyed).unwrap(), [UsageOutcome::Invalid]);
}

fn acquire(id: u128, size: i64, unsettled: Unsettled) -> Acquire {
    let lease = Lease::new(ORDERS).size(size).unsettled(unsettled);
    Acquire { tenant: ONE, id: Uuid::from_u128(id), holder: "till".into(), lease }
}

#[test]
fn slices_are_those_that_a_server_leases() {
    let double = Double::new();
    double.limit(ONE, ORDERS, Some(1_000));
    let server = double.server();
    let granted = |asked: Acquire| server.acquire_now(&asked).map(|Granted { amount, .. }| amount);
    let all: Vec<_> =
        (0..7).map(|id| granted(acquire(id, 10_000, Unsettled::Spent)).unwrap()).collect();
    assert_eq!(all, [500, 125, 62, 39, 27, 20, 16]);
    assert_eq!(granted(acquire(3, 10_000, Unsettled::Spent)).unwrap(), 39, "the same again");
    assert!(granted(acquire(3, 9_999, Unsettled::Spent)).is_err());
    let settle = |id, spent, is_final| {
        let (id, meter) = (Uuid::from_u128(id), ORDERS.to_owned());
        server.settle_now(&Settle { tenant: ONE, meter, id, spent, is_final })
    };
    let counted = || {
        let usage = server.known.usage.lock();
        let counter = usage.meters[&(ONE, ORDERS.to_owned())].counter(Some((2026, 1)));
        (counter.used, counter.held)
    };
    assert_eq!(counted(), (0, 789));
    settle(0, 100, false).unwrap();
    assert_eq!(counted(), (100, 689));
    settle(0, 50, true).unwrap();
    settle(0, 50, true).unwrap();
    assert_eq!(counted(), (100, 289), "what is spent stays spent");
    assert!(settle(1, 126, false).is_err());
    assert!(settle(99, 0, true).is_err());
    assert_eq!(granted(acquire(8, 10, Unsettled::Returned)).unwrap(), 10);
    settle(8, 3, false).unwrap();
    double.advance(Duration::from_secs(60));
    assert_eq!(granted(acquire(9, 10, Unsettled::Spent)).unwrap(), 10);
    assert_eq!(counted(), (100 + 289 + 3, 10), "what is unsettled is spent, or returned");
    settle(1, 25, true).unwrap();
    assert_eq!(counted(), (100 + 289 + 3 - 100, 10), "its holder says otherwise");
    assert!(granted(acquire(2, 10_000, Unsettled::Spent)).is_err(), "it is over");
}
