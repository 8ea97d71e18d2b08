use std::time::Duration;

use axum_core::response::IntoResponse;
use futures_util::FutureExt;
use tonic::Code;
use uuid::Uuid;

use crate::{
    Entitlements, Error, LimitEnforcement, LimitReason, OnOutage, Reason, Reserve, testing::Double,
};

const ONE: Uuid = Uuid::from_u128(1);
const ORDERS: &str = "transactions_monthly";

fn order(key: &str) -> Reserve {
    Reserve::new(ORDERS, key)
}

fn user(key: &str) -> Reserve {
    Reserve::new("users", key)
}

/// A tenant with ten orders a month and three users.
fn customer() -> (Double, Entitlements) {
    let double = Double::new();
    double.allow(ONE, "finance");
    double.limit(ONE, ORDERS, Some(10));
    double.limit(ONE, "users", Some(3));
    let client = double.client(OnOutage::Allow);
    (double, client)
}

fn code(error: &Error) -> Option<Code> {
    match error {
        Error::Refused(status) | Error::Unavailable(status) => Some(status.code()),
        _ => None,
    }
}

/// Lets what runs in the background have its turn.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn taken(client: &Entitlements) -> (i64, i64) {
    let asked = client.reserve(ONE, user("nobody").amount(1_000)).await.unwrap();
    assert!(!asked.granted());
    (asked.used(), asked.held())
}

#[tokio::test]
async fn a_key_is_counted_once_and_the_limit_holds() {
    let (_double, client) = customer();
    let first = client.reserve(ONE, order("o-1").amount(7)).await.unwrap();
    assert_eq!((first.granted(), first.amount(), first.is_repeated()), (true, 7, false));
    assert_eq!((first.used(), first.remaining(), first.limit()), (7, Some(3), Some(10)));
    assert_eq!((first.reason(), first.message()), (LimitReason::Within, ""));
    assert_eq!(first.resets_at(), Some("2026-02-01T00:00:00Z".parse().unwrap()));
    let again = client.reserve(ONE, order("o-1").amount(7)).await.unwrap();
    assert_eq!((again.granted(), again.is_repeated(), again.used()), (true, true, 7));
    let conflict = client.reserve(ONE, order("o-1").amount(8)).await.unwrap_err();
    assert_eq!(code(&conflict), Some(Code::AlreadyExists));
    let refused = client.reserve(ONE, order("o-2").amount(4)).await.unwrap();
    assert_eq!((refused.granted(), refused.reason()), (false, LimitReason::Exceeded));
    assert_eq!(refused.message(), "This would exceed the limit 'transactions_monthly' of 10.");
    let part = client.reserve(ONE, order("o-3").amount(4).partial()).await.unwrap();
    assert_eq!((part.granted(), part.amount(), part.remaining()), (true, 3, Some(0)));
    assert_eq!(client.release(ONE, ORDERS, "o-1").await.unwrap(), 7);
    assert_eq!(client.release(ONE, ORDERS, "o-1").await.unwrap(), 0);
    assert!(client.reserve(ONE, order("o-1").amount(2)).await.unwrap().granted());
}

#[tokio::test]
async fn another_month_is_another_counter_and_an_order_of_this_one_returns_to_it() {
    let (double, client) = customer();
    assert!(client.reserve(ONE, order("january").amount(10)).await.unwrap().granted());
    assert!(!client.reserve(ONE, order("more")).await.unwrap().granted());
    double.advance(Duration::from_secs(31 * 86_400));
    let first = client.reserve(ONE, order("february").amount(3)).await.unwrap();
    assert_eq!((first.granted(), first.used()), (true, 3));
    assert!(client.reserve(ONE, order("january").amount(10)).await.unwrap().is_repeated());
    assert_eq!(client.release(ONE, ORDERS, "january").await.unwrap(), 10);
    assert_eq!(client.reserve(ONE, order("february").amount(3)).await.unwrap().used(), 3);
}

#[tokio::test]
async fn a_hold_returns_by_itself_by_the_doubles_clock() {
    let (double, client) = customer();
    let minute = Duration::from_secs(60);
    assert_eq!(client.reserve(ONE, user("ann").hold_for(minute)).await.unwrap().held(), 1);
    assert_eq!(client.reserve(ONE, user("bob").hold_for(minute)).await.unwrap().held(), 2);
    let kept = client.reserve(ONE, user("bob")).await.unwrap();
    assert_eq!((kept.is_repeated(), kept.used(), kept.held()), (true, 1, 1));
    double.advance(Duration::from_micros(59_999_999));
    assert_eq!(taken(&client).await, (1, 1));
    double.advance(Duration::from_micros(1));
    assert_eq!(taken(&client).await, (1, 0));
}

#[tokio::test]
async fn who_is_denied_counts_nothing() {
    let (double, client) = customer();
    let denied = client.reserve(ONE, user("ann").module("hrms")).await.unwrap();
    assert_eq!((denied.granted(), denied.reason()), (false, LimitReason::ModuleDenied));
    assert_eq!(denied.denial_reason(), Reason::NotSubscribed);
    assert!(denied.message().contains("'hrms'"));
    assert!(client.reserve(ONE, user("ann").module("finance")).await.unwrap().granted());
    let unknown = client.reserve(Uuid::from_u128(9), user("ann")).await.unwrap();
    assert_eq!(unknown.denial_reason(), Reason::TenantNotFound);
    let nothing = client.reserve(ONE, Reserve::new("spoons", "a")).await.unwrap();
    assert_eq!((nothing.granted(), nothing.reason()), (false, LimitReason::NotFound));
    double.enforce_limits(LimitEnforcement::Shadow);
    let beyond = client.reserve(ONE, user("bob").amount(50)).await.unwrap();
    assert_eq!((beyond.granted(), beyond.reason()), (true, LimitReason::Exceeded));
    assert_eq!(beyond.enforcement(), LimitEnforcement::Shadow);
    for bad in [user("a b"), user("a").amount(0), user("a").hold_for(Duration::ZERO)] {
        let error = client.reserve(ONE, bad).await.unwrap_err();
        assert_eq!(code(&error), Some(Code::InvalidArgument));
    }
}

#[tokio::test]
async fn a_guard_that_is_dropped_gives_back_and_one_that_is_kept_does_not() {
    let (_double, client) = customer();
    let guard = client.reserve_guarded(ONE, user("ann")).await.unwrap();
    assert_eq!(guard.reservation().held(), 1);
    drop(guard);
    settle().await;
    assert_eq!(taken(&client).await, (0, 0));
    let kept = client.reserve_guarded(ONE, user("ann")).await.unwrap().keep().await.unwrap();
    assert_eq!((kept.used(), kept.held()), (1, 0));
    settle().await;
    assert_eq!(taken(&client).await, (1, 0));
}

#[tokio::test]
async fn a_guard_gives_nothing_back_that_was_here_before() {
    let (_double, client) = customer();
    assert!(client.reserve(ONE, user("ann")).await.unwrap().granted());
    // Another attempt at the same order, which fails: it is there already.
    let again = client.reserve_guarded(ONE, user("ann")).await.unwrap();
    assert!(again.reservation().is_repeated());
    drop(again);
    settle().await;
    assert_eq!(taken(&client).await, (1, 0));
}

#[tokio::test]
async fn to_keep_goes_on_where_whoever_waits_gives_up() {
    let (_double, client) = customer();
    let guard = client.reserve_guarded(ONE, user("ann")).await.unwrap();
    assert!(guard.keep().now_or_never().is_none());
    settle().await;
    assert_eq!(taken(&client).await, (1, 0));
}

#[tokio::test]
async fn a_hold_that_has_run_out_is_kept_only_if_there_is_enough_left() {
    let (double, client) = customer();
    let guard = client.reserve_guarded(ONE, user("ann").amount(3)).await.unwrap();
    double.advance(Duration::from_secs(60));
    assert!(client.reserve(ONE, user("bob")).await.unwrap().granted());
    let refused = guard.keep().await.unwrap_err();
    assert!(matches!(&refused, Error::NotReserved(it) if it.reason() == LimitReason::Exceeded));
}

#[tokio::test]
async fn what_is_not_to_be_had_is_403_with_the_reason_and_an_outage_is_503_by_every_rule() {
    let (double, client) = customer();
    let refused = client.reserve_guarded(ONE, user("ann").amount(4)).await.unwrap_err();
    assert_eq!((refused.word().as_str(), refused.to_string().is_empty()), ("EXCEEDED", false));
    assert_eq!(refused.clone().into_response().status(), 403);
    assert_eq!(tonic::Status::from(refused).code(), Code::PermissionDenied);
    let denied = client.reserve_guarded(ONE, user("ann").module("hrms")).await.unwrap_err();
    assert_eq!(denied.word(), "NOT_SUBSCRIBED");
    double.go_dark();
    let outage = client.reserve_guarded(ONE, user("ann")).await.unwrap_err();
    assert!(matches!(outage, Error::Unavailable(_)), "{outage:?}");
    assert_eq!(outage.into_response().status(), 503);
    double.come_back();
    assert!(client.reserve_guarded(ONE, user("ann")).await.is_ok());
}

#[tokio::test]
async fn reconciling_thousands_of_keys_puts_right_what_is_there_and_what_is_not() {
    let (double, client) = customer();
    for key in ["ann", "bob"] {
        assert!(client.reserve(ONE, user(key)).await.unwrap().granted());
    }
    let there: Vec<String> = (0..4_000).map(|number| format!("user-{number}")).collect();
    let as_of = double.now();
    let right = client.reconcile(ONE, "users", there.clone(), as_of).await.unwrap();
    assert_eq!((right.counted(), right.released(), right.used()), (4_000, 2, 4_000));
    assert_eq!(right.reason(), LimitReason::OverLimit);
    let again = client.reconcile(ONE, "users", there, as_of).await.unwrap();
    assert_eq!((again.counted(), again.released()), (0, 0));
    double.advance(Duration::from_secs(1));
    let none = client.reconcile(ONE, "users", Vec::<String>::new(), double.now()).await.unwrap();
    assert_eq!((none.released(), none.used()), (4_000, 0));
    let monthly = client.reconcile(ONE, ORDERS, ["a"], as_of).await.unwrap_err();
    assert_eq!(code(&monthly), Some(Code::FailedPrecondition));
}

#[tokio::test]
async fn what_came_after_the_list_was_read_stays_as_it_is() {
    let (double, client) = customer();
    assert!(client.reserve(ONE, user("gone")).await.unwrap().granted());
    let as_of = double.now();
    double.advance(Duration::from_secs(1));
    assert_eq!(client.release(ONE, "users", "gone").await.unwrap(), 1);
    assert!(client.reserve(ONE, user("new")).await.unwrap().granted());
    let right = client.reconcile(ONE, "users", ["gone"], as_of).await.unwrap();
    assert_eq!((right.counted(), right.released(), right.used()), (0, 0, 1));
}

#[tokio::test]
async fn a_key_that_is_none_stops_reconciling_before_anything_is_sent() {
    let (double, client) = customer();
    let asked = double.questions();
    let error = client.reconcile(ONE, "users", ["ann", ""], double.now()).await.unwrap_err();
    assert_eq!(code(&error), Some(Code::InvalidArgument));
    assert_eq!(double.questions(), asked);
}
