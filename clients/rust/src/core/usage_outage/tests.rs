use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::{
    Entitlements, Lease, LimitReason, OnOutage, Reason, UsageGranularity, UsageQuery,
    testing::Double,
};

const ONE: Uuid = Uuid::from_u128(1);
const ORDERS: &str = "transactions_monthly";
const SECOND: Duration = Duration::from_secs(1);

fn order(key: &str) -> Reserve {
    Reserve::new(ORDERS, key)
}

/// A tenant with ten orders a month, which are allowed in an outage, and three users, who are not.
fn world() -> (Double, Entitlements) {
    let double = Double::new();
    double.allow(ONE, "finance");
    double.limit(ONE, ORDERS, Some(10));
    double.limit(ONE, "users", Some(3));
    let rules = [(ORDERS, UsageOutage::Allow), ("users", UsageOutage::Deny)];
    let client = double.client_with_usage_outage(OnOutage::Deny, rules);
    (double, client)
}

async fn days(double: &Double, client: &Entitlements) -> Vec<(DateTime<Utc>, i64)> {
    let around = double.now() - TimeDelta::days(10)..double.now() + TimeDelta::days(10);
    let query = UsageQuery::new(ORDERS, UsageGranularity::Day, around);
    let days = client.query_usage(ONE, query).await.unwrap().spans;
    days.iter().map(|day| (day.start, day.amount)).collect()
}

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable(_)))
}

#[tokio::test]
async fn what_a_rule_allows_is_marked_and_recorded_under_its_key_and_its_day() {
    let (double, client) = world();
    let counted = client.reserve(ONE, order("a").amount(8)).await.unwrap();
    assert!(!counted.by_outage_rule());
    let outage = double.now();
    double.go_dark();
    let allowed = client.reserve(ONE, order("b").amount(5)).await.unwrap();
    assert!(allowed.granted() && allowed.by_outage_rule());
    assert_eq!((allowed.amount(), allowed.reason()), (5, LimitReason::Unspecified));
    // Whose answer was lost: it is counted already.
    assert!(client.reserve(ONE, order("a").amount(8)).await.unwrap().granted());
    assert!(is_unavailable(&client.record_allowed(Duration::from_millis(1)).await));
    double.advance(SECOND * 86_400);
    double.come_back();
    client.record_allowed(SECOND).await.unwrap();
    assert_eq!(days(&double, &client).await, [(outage, 13)]);
    let again = client.reserve(ONE, order("b").amount(5)).await.unwrap();
    assert!(again.is_repeated() && !again.by_outage_rule());
}

#[tokio::test(start_paused = true)]
async fn it_is_recorded_in_the_background_once_the_server_is_back() {
    let (double, client) = world();
    double.go_dark();
    let outage = double.now();
    assert!(client.reserve(ONE, order("a")).await.unwrap().by_outage_rule());
    sleep(SECOND * 60).await;
    double.come_back();
    sleep(SECOND * 6).await;
    assert_eq!(days(&double, &client).await, [(outage, 1)]);
    double.go_dark();
    assert!(client.reserve(ONE, order("b")).await.unwrap().by_outage_rule());
    double.come_back();
    sleep(SECOND * 6).await;
    assert_eq!(days(&double, &client).await, [(outage, 2)]);
}

#[tokio::test]
async fn other_meters_and_who_is_held_to_be_denied_and_what_cannot_be_counted_are_errors_as_before()
{
    let (double, client) = world();
    double.deny(ONE, "hrms", Reason::TrialEnded);
    assert!(client.check(ONE, "finance").await.unwrap().allowed());
    let suspended = Uuid::from_u128(2);
    double.tenant(crate::Tenant {
        id: suspended,
        name: "two".into(),
        subdomain: "two".into(),
        database_schema: "two".into(),
        status: crate::TenantStatus::Suspended,
        plan_slug: String::new(),
    });
    assert!(!client.check(suspended, "finance").await.unwrap().allowed());
    double.go_dark();
    assert!(is_unavailable(&client.reserve(ONE, Reserve::new("users", "ann")).await));
    assert!(is_unavailable(&client.reserve(ONE, order("a").module("hrms")).await));
    assert!(is_unavailable(&client.reserve(suspended, order("a")).await));
    assert!(is_unavailable(&client.reserve(ONE, order("a b")).await));
    assert!(is_unavailable(&client.reserve(ONE, order("a").amount(0)).await));
    assert!(client.reserve(ONE, order("a").module("finance")).await.unwrap().granted());
    // Nothing is held of it.
    assert!(client.reserve(Uuid::from_u128(9), order("a").module("hrms")).await.unwrap().granted());
}

#[tokio::test]
async fn no_more_waits_than_ten_thousand_and_what_is_released_is_not_recorded() {
    let (double, client) = world();
    double.go_dark();
    for number in 0..10_000 {
        assert!(client.reserve(ONE, order(&format!("o-{number}"))).await.unwrap().granted());
    }
    assert!(is_unavailable(&client.reserve(ONE, order("more")).await));
    double.come_back();
    assert_eq!(client.release(ONE, ORDERS, "o-7").await.unwrap(), 1);
    client.record_allowed(SECOND * 10).await.unwrap();
    assert_eq!(days(&double, &client).await, [(double.now(), 9_999)]);
}

#[tokio::test]
async fn a_hold_takes_nothing_until_it_is_kept_and_a_lease_takes_one_by_one() {
    let (double, client) = world();
    double.go_dark();
    drop(client.reserve_guarded(ONE, order("dropped")).await.unwrap());
    let guard = client.reserve_guarded(ONE, order("kept").amount(2)).await.unwrap();
    assert!(guard.keep().await.unwrap().by_outage_rule());
    let leased = client.leased(ONE, Lease::new(ORDERS)).unwrap();
    leased.take(4).await.unwrap();
    double.come_back();
    client.record_allowed(SECOND).await.unwrap();
    assert_eq!(days(&double, &client).await, [(double.now(), 6)]);
}
