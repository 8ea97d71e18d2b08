use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::{Entitlements, OnOutage, UsageGranularity, UsageQuery, testing::Double};

const ONE: Uuid = Uuid::from_u128(1);
const CALLS: &str = "calls";
const INTERVAL: Duration = Duration::from_secs(5);

fn world() -> (Double, Entitlements, UsageCounters) {
    let double = Double::new();
    double.limit_monthly(ONE, CALLS, Some(10));
    let client = double.client(OnOutage::Deny);
    let counters = client.counters(INTERVAL).unwrap();
    (double, client, counters)
}

/// The days on which something was used, and how much.
async fn days(double: &Double, client: &Entitlements) -> Vec<(DateTime<Utc>, i64)> {
    let around = double.now() - TimeDelta::days(10)..double.now() + TimeDelta::days(10);
    let query = UsageQuery::new(CALLS, UsageGranularity::Day, around);
    let days = client.query_usage(ONE, query).await.unwrap().spans;
    days.iter().map(|day| (day.start, day.amount)).collect()
}

async fn used(double: &Double, client: &Entitlements) -> i64 {
    days(double, client).await.iter().map(|(_, amount)| amount).sum()
}

#[tokio::test(start_paused = true)]
async fn sums_are_sent_at_each_interval_and_adding_asks_nothing() {
    let (double, client, counters) = world();
    let asked = double.questions();
    for _ in 0..1_000 {
        counters.add(ONE, CALLS, 3, "");
    }
    assert_eq!(double.questions(), asked);
    tokio::time::sleep(INTERVAL + Duration::from_millis(1)).await;
    assert_eq!(double.questions(), asked + 1);
    assert_eq!(used(&double, &client).await, 3_000, "whatever the limit");
}

#[tokio::test]
async fn what_cannot_be_added_is_dropped_and_what_is_not_counted_is_refused() {
    let (double, client, counters) = world();
    for amount in [0, -1, MOST + 1] {
        counters.add(ONE, CALLS, amount, "");
    }
    counters.add(ONE, "stars", 1, "");
    counters.add(Uuid::from_u128(7), CALLS, 1, "");
    counters.add(ONE, CALLS, 1, "");
    counters.close(INTERVAL).await.unwrap();
    counters.add(ONE, CALLS, 1, "");
    assert_eq!((counters.dropped(), counters.refused()), (4, 2));
    assert_eq!(used(&double, &client).await, 1);
}

#[tokio::test]
async fn what_waits_in_an_outage_is_counted_on_its_day() {
    let (double, client, counters) = world();
    let first = double.now();
    counters.add(ONE, CALLS, 1, "");
    double.go_dark();
    assert!(matches!(counters.flush().await, Err(Error::Unavailable(_))));
    counters.add(ONE, CALLS, 2, "");
    double.advance(Duration::from_secs(86_400));
    counters.add(ONE, CALLS, 4, "");
    assert!(counters.close(Duration::from_millis(1)).await.is_err());
    double.come_back();
    counters.flush().await.unwrap();
    assert_eq!(days(&double, &client).await, [(first, 3), (double.now(), 4)]);
}

#[tokio::test]
async fn a_producer_that_the_server_has_forgotten_begins_anew_with_what_is_unsent() {
    let (double, client, counters) = world();
    counters.add(ONE, CALLS, 1, "");
    counters.flush().await.unwrap();
    double.forget_producers();
    counters.add(ONE, CALLS, 2, "");
    counters.flush().await.unwrap();
    counters.add(ONE, CALLS, 4, "");
    counters.flush().await.unwrap();
    assert_eq!((used(&double, &client).await, counters.refused()), (7, 0));
}

#[tokio::test]
async fn thousands_of_sums_go_in_messages_of_five_hundred() {
    let (double, client, counters) = world();
    for number in 0..1_200 {
        counters.add(ONE, CALLS, 1, &format!("module-{number}"));
    }
    let asked = double.questions();
    counters.flush().await.unwrap();
    assert_eq!(double.questions(), asked + 3);
    assert_eq!(used(&double, &client).await, 1_200);
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_sent_once_the_last_handle_is_gone() {
    let (double, client, counters) = world();
    let other = counters.clone();
    counters.add(ONE, CALLS, 1, "");
    drop(counters);
    other.add(ONE, CALLS, 2, "");
    drop(other);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(used(&double, &client).await, 3);
    let asked = double.questions();
    tokio::time::sleep(INTERVAL * 3).await;
    assert_eq!(double.questions(), asked, "nothing goes on");
}
