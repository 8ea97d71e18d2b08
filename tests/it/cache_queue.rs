//! Loads that wait for their turn: joined, bounded, and never the database's failure. Over a fake
//! database.

use std::{sync::Arc, time::Duration};

use entitlementd::{
    cache::{Cache, Known, LoadError, Requester},
    clock::Uptime,
    domain::Label,
    store::{Change, StoreError},
};
use tokio::task::JoinHandle;

use crate::harness::{
    NOW,
    fake::{Fake, mk_cache_with, tenant, yield_until},
};

type Answer = JoinHandle<Result<Known, LoadError>>;

fn ask(cache: &Cache<Fake>, number: usize) -> Answer {
    let cache = cache.clone();
    tokio::spawn(async move { cache.get(tenant(number), NOW).await })
}

/// A cache with one turn, which a load of tenant 0 has taken.
async fn busy(fake: &Arc<Fake>) -> (Cache<Fake>, Answer) {
    let cache = mk_cache_with(fake, 10_000, 1);
    let first = ask(&cache, 0);
    yield_until(|| fake.loads() == 1).await;
    (cache, first)
}

async fn until_waiting(cache: &Cache<Fake>, count: usize) {
    yield_until(|| cache.waiting_loads() == count).await;
}

#[tokio::test]
async fn a_lone_cold_tenant_is_a_statement_of_its_own() {
    let fake = Fake::with(10);
    let cache = mk_cache_with(&fake, 100, 4);
    for number in 0..3 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    assert_eq!(fake.statements(), [1, 1, 1]);
}

#[tokio::test]
async fn tenants_that_wait_are_read_together_up_to_a_hundred_at_once() {
    let fake = Fake::gated(1_000);
    let (cache, first) = busy(&fake).await;
    let waiting: Vec<_> = (1..=250).map(|number| ask(&cache, number)).collect();
    until_waiting(&cache, 250).await;
    fake.gate.add_permits(4);
    first.await.unwrap().unwrap();
    for (number, answer) in (1..).zip(waiting) {
        assert_eq!(answer.await.unwrap().unwrap().facts.unwrap().tenant.id, tenant(number));
    }
    assert_eq!(fake.statements(), [1, 100, 100, 50]);
    assert!((0..=250).all(|number| cache.held(tenant(number), NOW).is_some()));
}

#[tokio::test]
async fn a_tenant_that_waits_is_read_once_however_many_ask_and_whatever_they_call_it() {
    let fake = Fake::gated(10);
    let (cache, first) = busy(&fake).await;
    let by_id: Vec<_> = (0..50).map(|_| ask(&cache, 1)).collect();
    let by_label = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_by_label(&Label::parse("t1").unwrap(), NOW).await })
    };
    until_waiting(&cache, 2).await;
    fake.gate.add_permits(2);
    first.await.unwrap().unwrap();
    for answer in by_id.into_iter().chain([by_label]) {
        assert_eq!(answer.await.unwrap().unwrap().facts.unwrap().tenant.id, tenant(1));
    }
    assert_eq!(fake.statements(), [1, 2]);
}

#[tokio::test]
async fn news_of_a_tenant_that_waits_costs_no_second_load() {
    let fake = Fake::gated(10);
    let (cache, first) = busy(&fake).await;
    cache.trust(NOW, Uptime::NEVER);
    let before = ask(&cache, 1);
    until_waiting(&cache, 1).await;
    fake.revision.store(2, std::sync::atomic::Ordering::SeqCst);
    cache.apply_changes(&[Change::Tenant(tenant(1))], NOW);
    let after = ask(&cache, 1);
    tokio::task::yield_now().await;
    fake.gate.add_permits(2);
    first.await.unwrap().unwrap();
    assert_eq!(before.await.unwrap().unwrap().revision, 2);
    assert_eq!(after.await.unwrap().unwrap().revision, 2);
    assert_eq!(fake.statements(), [1, 1]);
    assert_eq!(cache.held(tenant(1), NOW).unwrap().revision, 2, "it began after the news");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_fails_nobody_else_who_waits() {
    let fake = Fake::gated(10);
    *fake.unreadable.lock().unwrap() = Some(tenant(2));
    let (cache, first) = busy(&fake).await;
    let waiting = [1, 2, 3].map(|number| ask(&cache, number));
    until_waiting(&cache, 3).await;
    fake.gate.add_permits(2);
    first.await.unwrap().unwrap();
    let [one, two, three] = waiting;
    assert!(one.await.unwrap().is_ok() && three.await.unwrap().is_ok());
    assert!(matches!(two.await.unwrap(), Err(LoadError::Store(StoreError::Unreadable { .. }))));
    assert_eq!(fake.statements(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn waiting_too_long_for_a_turn_is_an_error_of_ours_and_says_nothing_of_the_database() {
    let fake = Fake::gated(10);
    let (cache, first) = busy(&fake).await;
    let late = ask(&cache, 1);
    until_waiting(&cache, 1).await;
    tokio::time::advance(Duration::from_millis(1_001)).await;
    fake.gate.add_permits(1);
    assert!(first.await.unwrap().is_ok(), "the database has 60 s");
    assert!(matches!(late.await.unwrap(), Err(LoadError::Overloaded)));
    assert_eq!(cache.tally().overloads.get(), 1);
    assert_eq!((fake.loads(), cache.tally().load_errors.get()), (1, 0));
    fake.gate.add_permits(1);
    assert!(ask(&cache, 1).await.unwrap().is_ok(), "the database is not taken for dead");
}

#[tokio::test]
async fn more_than_may_wait_are_refused_at_once() {
    let fake = Fake::gated(10_000);
    let (cache, first) = busy(&fake).await;
    let waiting: Vec<_> = (1..=5_000).map(|number| ask(&cache, number)).collect();
    until_waiting(&cache, 5_000).await;
    assert!(matches!(ask(&cache, 9_999).await.unwrap(), Err(LoadError::Overloaded)));
    fake.gate.add_permits(100);
    assert!(first.await.unwrap().is_ok());
    for answer in waiting {
        assert!(answer.await.unwrap().is_ok());
    }
    assert!(ask(&cache, 9_999).await.unwrap().is_ok());
}

#[tokio::test]
async fn once_the_database_fails_those_who_wait_hear_of_it_at_once() {
    let fake = Fake::gated(10);
    let (cache, first) = busy(&fake).await;
    let waiting = [1, 2, 3].map(|number| ask(&cache, number));
    until_waiting(&cache, 3).await;
    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(1);
    assert!(matches!(first.await.unwrap(), Err(LoadError::Store(StoreError::TimedOut))));
    for answer in waiting {
        assert!(matches!(answer.await.unwrap(), Err(LoadError::Failing)));
    }
    assert_eq!(fake.loads(), 1, "they did not each find out");
}

#[tokio::test]
async fn after_a_statement_for_many_has_failed_fewer_go_together_until_it_works() {
    let fake = Fake::gated(1_000);
    let (cache, first) = busy(&fake).await;
    let ask_many =
        |from: usize| (from..from + 60).map(|number| ask(&cache, number)).collect::<Vec<_>>();
    let failing = ask_many(100);
    until_waiting(&cache, 60).await;
    fake.gate.add_permits(1);
    first.await.unwrap().unwrap();
    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(1);
    for answer in failing {
        answer.await.unwrap().unwrap_err();
    }
    *fake.failing.lock().unwrap() = false;
    let probe = ask(&cache, 1);
    fake.gate.add_permits(1);
    probe.await.unwrap().unwrap();
    let second = ask(&cache, 2);
    yield_until(|| fake.statements().len() == 4).await;
    let waiting = ask_many(200);
    until_waiting(&cache, 60).await;
    fake.gate.add_permits(100);
    second.await.unwrap().unwrap();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    let statements = fake.statements();
    assert_eq!(statements[..4], [1, 60, 1, 1]);
    assert!(statements[4..].iter().all(|count| *count <= 60), "{statements:?}");
}

#[tokio::test]
async fn a_load_that_panics_is_an_error_for_those_who_wait_for_it_and_keeps_no_turn() {
    let fake = Fake::gated(10);
    *fake.panicking.lock().unwrap() = Some(tenant(1));
    let (cache, first) = busy(&fake).await;
    let panicking = ask(&cache, 1);
    until_waiting(&cache, 1).await;
    fake.gate.add_permits(10);
    first.await.unwrap().unwrap();
    assert!(matches!(panicking.await.unwrap(), Err(LoadError::Abandoned)));
    *fake.panicking.lock().unwrap() = None;
    assert!(ask(&cache, 1).await.unwrap().is_ok());
    assert!(ask(&cache, 2).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn readings_past_the_cache_that_get_no_turn_are_refused_and_stop_nobody_else() {
    let fake = Fake::gated(10);
    let cache = mk_cache_with(&fake, 100, 1);
    let past = |number| {
        let cache = cache.clone();
        tokio::spawn(async move {
            cache.read_bypassing(tenant(number), 1, Requester::ANYBODY, NOW).await
        })
    };
    let under_way: Vec<_> = (0..4).map(past).collect();
    yield_until(|| fake.loads() == 4).await;
    assert!(
        matches!(past(4).await.unwrap(), Err(LoadError::Overloaded)),
        "the clock runs while all wait"
    );
    assert_eq!(cache.tally().overloads.get(), 1);
    let load = ask(&cache, 5);
    yield_until(|| fake.loads() == 5).await;
    fake.gate.add_permits(5);
    assert!(load.await.unwrap().is_ok());
    for answer in under_way {
        assert!(answer.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_caller_that_reads_past_the_cache_without_end_keeps_no_other_from_it() {
    let fake = Fake::gated(1_000);
    let cache = mk_cache_with(&fake, 1_000, 1);
    let past = |name: &str, number| {
        let (cache, requester) = (cache.clone(), Requester::called(name));
        tokio::spawn(async move { cache.read_bypassing(tenant(number), 1, requester, NOW).await })
    };
    let greedy: Vec<_> = (0..200).map(|number| past("greedy", number)).collect();
    yield_until(|| fake.loads() == 3).await;
    let modest = past("modest", 500);
    yield_until(|| fake.loads() == 4).await;
    fake.gate.add_permits(200);
    assert!(modest.await.unwrap().is_ok());
    let mut refused = 0;
    for answer in greedy {
        refused += usize::from(matches!(answer.await.unwrap(), Err(LoadError::Overloaded)));
    }
    assert_eq!(refused, 200 - 3 - 100, "so many of one may wait");
}

#[tokio::test]
async fn what_no_caller_waits_for_comes_last_and_comes_forward_when_one_does() {
    let fake = Fake::gated(1_000);
    fake.gate.add_permits(50);
    let cache = mk_cache_with(&fake, 10_000, 1);
    cache.trust(NOW, Uptime::NEVER);
    for number in 1..=50 {
        ask(&cache, number).await.unwrap().unwrap();
    }
    let first = ask(&cache, 0);
    yield_until(|| fake.loads() == 51).await;
    let changes: Vec<_> = (1..=50).map(|number| Change::Tenant(tenant(number))).collect();
    cache.apply_changes(&changes, NOW);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        cache.waiting_loads(),
        0,
        "they are held, so they are read again; nobody waits for them"
    );
    let wanted = ask(&cache, 50);
    let cold: Vec<_> = (100..199).map(|number| ask(&cache, number)).collect();
    until_waiting(&cache, 100).await;
    fake.gate.add_permits(2);
    first.await.unwrap().unwrap();
    for answer in cold.into_iter().chain([wanted]) {
        answer.await.unwrap().unwrap();
    }
    assert!(cache.held(tenant(1), NOW).is_none(), "it has yet to be read");
    fake.gate.add_permits(1);
    yield_until(|| (1..=50).all(|number| cache.held(tenant(number), NOW).is_some())).await;
    assert_eq!(fake.statements()[50..], [1, 100, 49]);
}

#[tokio::test]
async fn a_storm_of_changes_leaves_room_for_callers() {
    let fake = Fake::gated(10_000);
    fake.gate.add_permits(4_000);
    let cache = mk_cache_with(&fake, 10_000, 1);
    cache.trust(NOW, Uptime::NEVER);
    for number in 1..=4_000 {
        ask(&cache, number).await.unwrap().unwrap();
    }
    fake.gate.forget_permits(usize::MAX >> 4);
    let first = ask(&cache, 0);
    yield_until(|| fake.loads() == 4_001).await;
    for number in 1..=4_000 {
        cache.apply_changes(&[Change::Tenant(tenant(number))], NOW);
    }
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let cold = ask(&cache, 9_000);
    until_waiting(&cache, 1).await;
    fake.gate.add_permits(2);
    first.await.unwrap().unwrap();
    assert!(cold.await.unwrap().is_ok(), "it is in the next statement");
    assert_eq!(fake.statements()[4_001], 100);
}

#[tokio::test(start_paused = true)]
async fn while_the_database_fails_a_caller_waits_half_a_second_and_the_load_goes_on() {
    let fake = Fake::gated(10);
    let (cache, first) = busy(&fake).await;
    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(1);
    assert!(matches!(first.await.unwrap(), Err(LoadError::Store(StoreError::TimedOut))));

    // It hangs. Whoever asks first finds that out, and whoever asks for the same later knows it.
    let asked = tokio::time::Instant::now();
    let probe = cache.get(tenant(1), NOW).await;
    assert!(matches!(probe, Err(LoadError::Failing)), "{probe:?}");
    assert_eq!(asked.elapsed().as_millis(), 500);
    for number in [1, 2] {
        let next = cache.get(tenant(number), NOW).await;
        assert!(matches!(next, Err(LoadError::Failing)), "{next:?}");
    }
    assert_eq!(asked.elapsed().as_millis(), 500, "at once");
    assert_eq!(fake.loads(), 2);

    // What nobody waits for any more is held once it comes, and the database is asked as before.
    *fake.failing.lock().unwrap() = false;
    fake.gate.add_permits(2);
    yield_until(|| cache.held(tenant(1), NOW).is_some()).await;
    assert!(cache.get(tenant(2), NOW).await.is_ok());
}
