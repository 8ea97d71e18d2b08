//! Reading again what is held: how fast, and to what end. Over a fake database, with time as an
//! argument.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    cache::{Budget, Cache, Event, FeedState, Pace, Received, RevalidationStep},
    clock::Uptime,
    store::Change,
};

use crate::harness::{
    NOW,
    fake::{Fake, mk_cache, mk_cache_with, tenant, yield_until},
};

const ROUND: Duration = Duration::from_secs(300);
const BUDGET: Budget = Budget { rate: 10.0, share: 0.05 };
const GRACE: TimeDelta = TimeDelta::seconds(2);

fn at(seconds: i64) -> DateTime<Utc> {
    NOW + TimeDelta::seconds(seconds)
}

/// Lets a pace run for so long, over so many places at each instant; gives how many were due in
/// each second.
fn run(
    pace: &mut Pace,
    seconds: u64,
    budget: Option<Budget>,
    places: impl Fn(Duration) -> usize,
) -> Vec<Vec<usize>> {
    let (mut now, mut due) = (Duration::ZERO, vec![Vec::new(); seconds as usize]);
    while now < Duration::from_secs(seconds) {
        let pause =
            pace.pause(places(now), ROUND).clamp(Duration::from_millis(1), Duration::from_secs(1));
        now += pause;
        pace.pass(pause, places(now), ROUND);
        let count = pace.due(places(now));
        if count > 0 {
            if let Some(second) = due.get_mut(now.as_secs() as usize) {
                second.push(count);
            }
            let took = Duration::from_millis(3);
            now += took;
            pace.pass(took, places(now), ROUND);
            pace.read(took, Duration::from_millis(1), budget);
        }
    }
    due
}

/// How many of 100 000 places are due once so much time has passed.
fn due_after(pace: &mut Pace, elapsed: Duration) -> usize {
    pace.pass(elapsed, 100_000, ROUND);
    pace.due(100_000)
}

fn sum(due: &[Vec<usize>]) -> usize {
    due.iter().flatten().sum()
}

#[test]
fn a_round_takes_as_long_as_it_is_to_and_is_spread_evenly_over_it() {
    for places in [50, 1_000, 100_000, 150_000] {
        let due = run(&mut Pace::default(), 600, Some(BUDGET), |_| places);
        let read = sum(&due);
        assert!(read >= places * 2 - 100 && read <= places * 2, "{read} of {places} in two rounds");
        let statements = due.iter().flatten().count();
        let most = (places / 100).max(16) * 2;
        assert!(statements <= most * 11 / 10, "{statements} statements for {places}");
        for (second, due) in due.iter().enumerate() {
            let even = places / 300;
            let read: usize = due.iter().sum();
            assert!(read <= even + 100, "{read} in second {second} of {places}");
        }
    }
}

#[test]
fn the_budget_is_kept_although_a_round_then_takes_longer() {
    let due = run(&mut Pace::default(), 100, Some(BUDGET), |_| 10_000_000);
    assert!(due.iter().all(|second| second.len() <= 10));
    assert!(sum(&due) > 95 * 10 * 100, "and it is made use of: {}", sum(&due));

    let mut pace = Pace::default();
    assert_eq!(due_after(&mut pace, ROUND), 100);
    // 20 ms of a core are a twentieth of 400 ms.
    pace.read(Duration::from_millis(25), Duration::from_millis(20), Some(BUDGET));
    assert_eq!(pace.pause(100_000, ROUND), Duration::from_millis(400));
    assert_eq!(due_after(&mut pace, Duration::from_millis(399)), 0);
    assert_eq!(due_after(&mut pace, Duration::from_millis(1)), 100);
}

#[test]
fn a_database_that_is_slow_is_asked_less_and_one_that_fails_for_less_at_once() {
    let mut pace = Pace::default();
    due_after(&mut pace, ROUND);
    pace.read(Duration::from_secs(4), Duration::from_millis(1), Some(BUDGET));
    assert_eq!(due_after(&mut pace, Duration::from_millis(3_999)), 0);
    assert_eq!(due_after(&mut pace, Duration::from_millis(1)), 100);
    for batch in [50, 25, 12] {
        pace.failed();
        assert_eq!(due_after(&mut pace, Duration::from_millis(999)), 0);
        assert_eq!(due_after(&mut pace, Duration::from_millis(1)), batch);
    }
    pace.read(Duration::ZERO, Duration::ZERO, None);
    assert_eq!(due_after(&mut pace, Duration::from_secs(1)), 24);
}

#[test]
fn what_was_missed_is_not_made_up_for_in_a_burst() {
    let mut pace = Pace::default();
    assert_eq!(due_after(&mut pace, Duration::from_secs(3_600)), 100);
    let after = (0..1_000).map(|_| due_after(&mut pace, Duration::ZERO)).sum::<usize>();
    assert_eq!(after, 100);
}

#[test]
fn a_cache_that_fills_within_a_second_is_gone_through_in_its_first_round() {
    let filling = |now: Duration| if now < Duration::from_secs(5) { 1 } else { 100_000 };
    let due = run(&mut Pace::default(), 310, None, filling);
    assert!(sum(&due) >= 100_000, "{}", sum(&due));
    assert!(due.iter().all(|second| second.iter().sum::<usize>() <= 500), "no wave");
}

async fn hold(cache: &Cache<Fake>, count: usize, now: DateTime<Utc>) {
    for number in 0..count {
        cache.get(tenant(number), now).await.unwrap();
    }
}

async fn fed(fake: &Arc<Fake>, count: usize) -> Cache<Fake> {
    let cache = mk_cache(fake, 1_000);
    cache.trust(NOW, Uptime::NEVER);
    hold(&cache, count, NOW).await;
    fake.statements.lock().unwrap().clear();
    cache
}

fn apply_changes(cache: &Cache<Fake>, number: usize) {
    cache.apply_changes(&[Change::Tenant(tenant(number))], NOW);
}

#[tokio::test]
async fn while_changes_are_heard_of_age_alone_costs_no_load() {
    let fake = Fake::with(3);
    let cache = fed(&fake, 3).await;
    for hours in [1, 24, 24 * 365] {
        let known = cache.get(tenant(0), at(hours * 3_600)).await.unwrap();
        assert_eq!((known.as_of, known.stale), (NOW, false));
        assert!(
            cache.peek(tenant(0), at(hours * 3_600), |facts| Some(facts.revision)).is_some(),
            "the fast path"
        );
    }
    assert!(fake.statements().is_empty());
}

#[tokio::test]
async fn each_held_tenant_is_proven_once_a_round_many_in_a_statement() {
    let fake = Fake::with(250);
    let cache = fed(&fake, 250).await;
    assert_eq!(cache.oldest_proof(at(60)), TimeDelta::seconds(60));
    for seconds in [100, 200, 300] {
        cache.revalidate(100, at(seconds)).await.unwrap();
    }
    assert_eq!(fake.statements(), [100, 100, 100], "the third begins the next round");
    let proven = |number| cache.held(tenant(number), at(300)).unwrap().as_of;
    assert_eq!(
        [0, 49, 50, 99, 100, 199, 200, 249].map(proven),
        [300, 300, 100, 100, 200, 200, 300, 300].map(at)
    );
    assert_eq!((cache.tally().audited.get(), cache.tally().divergences.get()), (300, 0));
    assert_eq!(cache.oldest_proof(at(300)), TimeDelta::seconds(200));
}

#[tokio::test]
async fn nothing_is_read_again_while_loads_wait_or_the_database_does_not_answer() {
    let fake = Fake::with(10);
    let cache = mk_cache_with(&fake, 100, 1);
    cache.trust(NOW, Uptime::NEVER);
    hold(&cache, 3, NOW).await;
    let statements = || fake.statements().len();
    fake.gate.forget_permits(usize::MAX >> 4);
    let ask = |number| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get(tenant(number), NOW).await })
    };
    let first = ask(4);
    yield_until(|| statements() == 4).await;
    let second = ask(5);
    yield_until(|| cache.waiting_loads() == 1).await;
    assert_eq!(cache.revalidate(10, NOW).await.unwrap(), RevalidationStep::Paused);
    fake.gate.add_permits(2);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();

    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(1);
    ask(6).await.unwrap().unwrap_err();
    assert_eq!(
        cache.revalidate(10, NOW).await.unwrap(),
        RevalidationStep::Paused,
        "the last load has failed"
    );
    cache.trust(NOW, Uptime::NEVER);
    cache.suspect();
    assert_eq!(
        cache.revalidate(10, NOW).await.unwrap(),
        RevalidationStep::Paused,
        "changes are not heard of"
    );
    assert_eq!(statements(), 6);
    cache.trust(NOW, Uptime::NEVER);
    *fake.failing.lock().unwrap() = false;
    fake.gate.add_permits(1);
    assert!(matches!(cache.revalidate(10, NOW).await.unwrap(), RevalidationStep::Read { .. }));
}

#[tokio::test]
async fn what_fails_in_the_background_costs_no_caller_anything() {
    let fake = Fake::with(10);
    let cache = fed(&fake, 3).await;
    *fake.failing.lock().unwrap() = true;
    cache.revalidate(10, NOW).await.unwrap_err();
    *fake.failing.lock().unwrap() = false;
    let asked: Vec<_> = (4..8)
        .map(|number| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get(tenant(number), NOW).await })
        })
        .collect();
    for answer in asked {
        answer.await.unwrap().expect("the breaker is closed, for more than two at a time");
    }
    assert!(cache.held(tenant(0), at(10_000)).is_some());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_again_keeps_no_other_from_being_proven() {
    let fake = Fake::with(10);
    let cache = fed(&fake, 3).await;
    *fake.unreadable.lock().unwrap() = Some(tenant(1));
    cache.revalidate(10, at(9)).await.unwrap();
    let proven = [0, 1, 2].map(|number| cache.held(tenant(number), at(9)).unwrap().as_of);
    assert_eq!(proven, [at(9), NOW, at(9)]);
}

#[tokio::test]
async fn what_was_changed_without_a_word_is_put_right_at_once_then_counted_and_told() {
    let fake = Fake::with(3);
    let cache = fed(&fake, 3).await;
    let mut watch = cache.watch(Arc::default());
    fake.revision.store(2, Ordering::SeqCst);
    cache.revalidate(10, at(1)).await.unwrap();
    assert_eq!(cache.held(tenant(1), at(1)).unwrap().revision, 2, "put right");
    // News of one of them comes after all.
    apply_changes(&cache, 0);
    assert_eq!(watch.next().await.unwrap(), Received::Event(Event::Tenant(tenant(0), 2)));
    cache.judge_differences(GRACE, at(2));
    assert_eq!(cache.tally().divergences.get(), 0, "news may still come");
    cache.judge_differences(GRACE, at(3));
    assert_eq!(cache.tally().divergences.get(), 2);
    for number in [1, 2] {
        assert_eq!(watch.next().await.unwrap(), Received::Event(Event::Tenant(tenant(number), 2)));
    }
    cache.judge_differences(GRACE, at(9));
    assert_eq!(cache.tally().divergences.get(), 2, "once each");
}

#[tokio::test]
async fn a_tenant_that_was_deleted_without_a_word_is_found_gone() {
    let fake = Fake::with(3);
    let cache = fed(&fake, 3).await;
    fake.tenants.store(2, Ordering::SeqCst);
    cache.revalidate(10, at(1)).await.unwrap();
    assert!(cache.held(tenant(2), at(1)).unwrap().facts.is_none());
    cache.judge_differences(GRACE, at(3));
    assert_eq!(cache.tally().divergences.get(), 1);
}

#[tokio::test]
async fn what_was_read_again_before_the_news_does_not_replace_what_was_loaded_after_it() {
    let fake = Fake::with(3);
    let cache = fed(&fake, 3).await;
    fake.gate.forget_permits(usize::MAX >> 4);
    let reading = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.revalidate(10, at(1)).await })
    };
    yield_until(|| fake.statements().len() == 1).await;
    fake.revision.store(2, Ordering::SeqCst);
    apply_changes(&cache, 0);
    fake.gate.add_permits(1);
    reading.await.unwrap().unwrap();
    assert!(cache.held(tenant(0), at(1)).is_none(), "it is known to have changed");
    fake.gate.add_permits(1);
    assert_eq!(cache.get(tenant(0), at(1)).await.unwrap().revision, 2);
    cache.judge_differences(GRACE, at(9));
    assert_eq!(cache.tally().divergences.get(), 0);
}

#[tokio::test]
async fn after_a_reset_what_nobody_asks_for_is_read_again_too() {
    let fake = Fake::with(3);
    let cache = fed(&fake, 3).await;
    fake.revision.store(2, Ordering::SeqCst);
    cache.reset(NOW);
    assert!(cache.held(tenant(0), NOW).is_none());
    cache.revalidate(10, at(1)).await.unwrap();
    assert_eq!(cache.held(tenant(0), at(1)).unwrap().revision, 2);
    cache.judge_differences(GRACE, at(9));
    assert_eq!(cache.tally().divergences.get(), 0, "it was known that anything may have changed");
}

/// Without changes age is all there is. Three times the time to live, every tenant asked for each
/// second.
#[tokio::test]
async fn without_changes_nobody_waits_and_no_answer_is_older_than_the_time_to_live() {
    let fake = Fake::with(2_000);
    let cache = mk_cache(&fake, 2_000);
    assert_eq!(cache.feed(), FeedState::Off);
    hold(&cache, 2_000, NOW).await;
    fake.statements.lock().unwrap().clear();
    let (mut pace, step) = (Pace::default(), Duration::from_millis(100));
    let mut per_second = Vec::new();
    for tenths in 0..9_000 {
        let now = NOW + TimeDelta::milliseconds(tenths * 100);
        pace.pass(step, cache.places(), cache.round());
        let due = pace.due(cache.places());
        if due > 0 {
            let step = cache.revalidate(due, now).await.unwrap();
            assert!(matches!(step, RevalidationStep::Read { .. }));
            pace.read(Duration::ZERO, Duration::ZERO, None);
            per_second.push((tenths / 10, due));
        }
        if tenths % 10 == 0 {
            let fresh = (0..2_000)
                .all(|number| cache.held(tenant(number), now).is_some_and(|known| !known.stale));
            assert!(fresh, "after {} s", tenths / 10);
        }
    }
    let statements = fake.statements().len();
    assert!(
        statements as f64 <= 2_000.0 / (100.0 * 300.0) * 900.0 * 1.1 + 1.0,
        "{statements} statements"
    );
    for second in 0..900 {
        let read: usize =
            per_second.iter().filter(|(at, _)| *at == second).map(|(_, due)| due).sum();
        assert!(read <= 100, "{read} in second {second}");
    }
}

#[tokio::test]
async fn without_changes_what_is_not_read_again_in_time_is_read_before_it_is_served() {
    let fake = Fake::with(1);
    let cache = mk_cache(&fake, 10);
    cache.get(tenant(0), NOW).await.unwrap();
    assert!(cache.held(tenant(0), at(299)).is_some());
    assert!(cache.held(tenant(0), at(300)).is_none());
    assert_eq!(cache.get(tenant(0), at(300)).await.unwrap().as_of, at(300));
}

#[tokio::test]
async fn a_catalogue_that_was_changed_without_a_word_is_put_right_then_counted_and_told() {
    let fake = Fake::with(1);
    let cache = fed(&fake, 1).await;
    cache.catalogue(NOW).await.unwrap();
    let mut watch = cache.watch(Arc::default());
    cache.refresh_catalogue(TimeDelta::zero(), at(1)).await;
    cache.judge_differences(GRACE, at(9));
    assert_eq!(cache.tally().divergences.get(), 0, "it said the same");

    *fake.plan.lock().unwrap() = Some("growth");
    cache.refresh_catalogue(TimeDelta::zero(), at(30)).await;
    assert!(cache.catalogue(at(30)).await.unwrap().has_plan("growth"), "put right");
    cache.judge_differences(GRACE, at(31));
    assert_eq!(cache.tally().divergences.get(), 0, "news may still come");
    cache.judge_differences(GRACE, at(32));
    assert_eq!(cache.tally().divergences.get(), 1);
    assert_eq!(watch.next().await.unwrap(), Received::Event(Event::Catalogue(0)));

    *fake.plan.lock().unwrap() = None;
    cache.refresh_catalogue(TimeDelta::zero(), at(50)).await;
    cache.apply_changes(&[Change::Catalogue], at(51));
    cache.judge_differences(GRACE, at(60));
    assert_eq!(cache.tally().divergences.get(), 1, "the news came");
}
