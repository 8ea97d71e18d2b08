use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::{Entitlements, OnOutage, Reason, UsageGranularity, UsageQuery, testing::Double};

const ONE: Uuid = Uuid::from_u128(1);
const ORDERS: &str = "transactions_monthly";
const SECOND: Duration = Duration::from_secs(1);

fn world(limit: i64) -> (Double, Entitlements) {
    let double = Double::new();
    double.allow(ONE, "finance");
    double.limit(ONE, ORDERS, Some(limit));
    let client = double.client(OnOutage::Deny);
    (double, client)
}

fn leased(client: &Entitlements, lease: Lease) -> LeasedUsage {
    client.leased(ONE, lease).unwrap()
}

/// Lets what runs in the background have its turn.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What is counted as used, and what is held.
async fn counted(client: &Entitlements) -> (i64, i64) {
    let asked = Reserve::new(ORDERS, "never").amount(MOST);
    let asked = client.reserve(ONE, asked).await.unwrap();
    assert!(!asked.granted());
    (asked.used(), asked.held())
}

fn is_refused(taken: &Result<(), Error>) -> bool {
    matches!(taken, Err(Error::NotReserved(_)))
}

#[tokio::test]
async fn a_slice_is_spent_without_asking_and_the_next_one_is_there_before_it_ends() {
    let (double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS).size(100));
    leased.take(1).await.unwrap();
    let asked = double.questions();
    for _ in 0..48 {
        assert!(leased.take_held(1));
    }
    settle().await;
    assert_eq!(double.questions(), asked);
    // Half is spent: the next one is asked for, and this one is spent to its end.
    assert!(leased.take_held(1));
    settle().await;
    assert_eq!(double.questions(), asked + 1);
    for _ in 0..100 {
        assert!(leased.take_held(1));
    }
    settle().await;
    assert_eq!(counted(&client).await.0, 100, "the first one is settled");
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (150, 0));
}

#[tokio::test]
async fn near_the_limit_one_by_one_is_reserved_and_the_refusal_is_that_of_reserve() {
    let (_double, client) = world(100);
    let leased = leased(&client, Lease::new(ORDERS).size(1_000));
    for number in 0..100 {
        assert!(leased.take(1).await.is_ok(), "{number}");
        settle().await;
    }
    let refused = leased.take(1).await.unwrap_err();
    assert_eq!(refused.word(), "EXCEEDED");
    assert_eq!(refused.to_string(), "This would exceed the limit 'transactions_monthly' of 100.");
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (100, 0));
}

#[tokio::test]
async fn more_than_a_slice_is_reserved_and_nonsense_is_refused() {
    let (_double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS).size(10));
    leased.take(300).await.unwrap();
    for amount in [0, -5, MOST + 1] {
        assert!(matches!(leased.take(amount).await, Err(Error::Refused(_))), "{amount}");
        assert!(!leased.take_held(amount));
    }
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (300, 0));
}

#[tokio::test]
async fn a_slice_is_not_spent_in_the_last_tenth_of_its_time_and_half_of_it_asks_for_the_next() {
    let (double, client) = world(1_000_000);
    let leased = leased(&client, Lease::new(ORDERS).size(100).ttl(SECOND * 60));
    leased.take(1).await.unwrap();
    let asked = double.questions();
    double.advance(Duration::from_micros(29_999_999));
    assert!(leased.take_held(1));
    settle().await;
    assert_eq!(double.questions(), asked);
    double.advance(Duration::from_micros(1));
    double.go_dark();
    assert!(leased.take_held(1), "the next one is asked for, and there is no answer");
    settle().await;
    double.advance(Duration::from_micros(23_999_999));
    assert!(leased.take_held(1));
    double.advance(Duration::from_micros(1));
    assert!(!leased.take_held(1), "54 s are nine tenths of its time");
    assert!(matches!(leased.take(1).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn in_an_outage_the_slice_is_spent_on_and_what_was_spent_is_counted_afterwards() {
    let (double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS).size(10));
    leased.take(1).await.unwrap();
    double.go_dark();
    for _ in 0..9 {
        leased.take(1).await.unwrap();
    }
    assert!(matches!(leased.take(1).await, Err(Error::Unavailable(_))));
    double.advance(SECOND * 61);
    double.come_back();
    leased.take(2).await.unwrap();
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (12, 0));
}

#[tokio::test]
async fn a_tenant_that_is_denied_is_refused_once_the_next_slice_is_asked_for() {
    let (double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS).size(10).module("finance"));
    leased.take(1).await.unwrap();
    double.deny(ONE, "finance", Reason::SubscriptionSuspended);
    for _ in 0..4 {
        leased.take(1).await.unwrap();
    }
    settle().await;
    let refused = leased.take(1).await.unwrap_err();
    assert_eq!(refused.word(), "SUBSCRIPTION_SUSPENDED");
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (5, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_of_a_slice_is_given_back_when_its_time_is_over() {
    let (double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS).size(100));
    leased.take(3).await.unwrap();
    assert_eq!(counted(&client).await, (0, 100));
    double.advance(SECOND * 54);
    sleep(SECOND * 55).await;
    assert_eq!(counted(&client).await, (3, 0));
    drop(leased);
}

#[tokio::test]
async fn what_is_left_is_given_back_when_the_last_handle_is_gone() {
    let (_double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS));
    leased.take(3).await.unwrap();
    let other = leased.clone();
    drop(leased);
    settle().await;
    assert_eq!(counted(&client).await, (0, 100));
    drop(other);
    settle().await;
    assert_eq!(counted(&client).await, (3, 0));
}

#[tokio::test]
async fn after_the_end_one_by_one_is_reserved_and_the_end_is_bounded() {
    let (double, client) = world(1_000);
    let leased = leased(&client, Lease::new(ORDERS));
    leased.take(3).await.unwrap();
    double.go_dark();
    let closed = leased.close(Duration::from_millis(1)).await;
    assert!(matches!(closed, Err(Error::Unavailable(_))));
    double.come_back();
    leased.take(1).await.unwrap();
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (4, 0));
}

#[tokio::test]
async fn what_is_returned_unsettled_is_told_with_each_new_slice() {
    let (double, client) = world(1_000);
    let lease = Lease::new(ORDERS).size(10).unsettled(Unsettled::Returned);
    let leased = leased(&client, lease);
    for _ in 0..6 {
        leased.take(1).await.unwrap();
        settle().await;
    }
    assert_eq!(counted(&client).await, (5, 15), "the process may die now");
    double.advance(SECOND * 60);
    assert_eq!(counted(&client).await.0, 5);
    leased.close(SECOND).await.unwrap();
    assert_eq!(counted(&client).await, (6, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_many_take_at_once_nothing_is_granted_beyond_the_limit_and_all_of_it_is_counted() {
    const LIMIT: i64 = 20_000;
    let (double, client) = world(LIMIT);
    let granted = Arc::new(AtomicI64::new(0));
    let holders: Vec<_> = (0..3).map(|_| leased(&client, Lease::new(ORDERS).size(50))).collect();
    let mut tasks = Vec::new();
    for number in 0..12_u32 {
        let leased = holders[usize::try_from(number).unwrap() % 3].clone();
        let (granted, double) = (Arc::clone(&granted), double.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(number.into());
            for step in 0..2_500 {
                let amount = random.i64(1..4);
                match leased.take(amount).await {
                    Ok(()) => _ = granted.fetch_add(amount, Ordering::Relaxed),
                    refused => assert!(is_refused(&refused), "{refused:?}"),
                }
                if number == 0 && step % 100 == 0 {
                    double.advance(SECOND * 20);
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for leased in &holders {
        leased.close(SECOND * 5).await.unwrap();
    }
    let granted = granted.load(Ordering::Relaxed);
    assert_eq!(counted(&client).await, (granted, 0));
    assert!(granted <= LIMIT && granted > LIMIT - 3, "{granted}");
    let around = double.now() - TimeDelta::days(3)..double.now() + TimeDelta::days(3);
    let history = UsageQuery::new(ORDERS, UsageGranularity::Day, around);
    assert_eq!(client.query_usage(ONE, history).await.unwrap().total, granted);
}
