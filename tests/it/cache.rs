//! The cache over a fake database, which counts, waits and fails as it is told.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use entitlementd::{
    cache::{LoadError, Requester},
    domain::Label,
    store::StoreError,
};

use crate::harness::{
    NOW,
    fake::{Fake, mk_cache, tenant, yield_until},
};

#[tokio::test]
async fn a_thousand_callers_of_a_cold_tenant_cost_one_load() {
    let fake = Fake::gated(1);
    let cache = mk_cache(&fake, 100);
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get(tenant(0), NOW).await })
        })
        .collect();
    yield_until(|| fake.loads() == 1).await;
    fake.gate.add_permits(1);
    for caller in callers {
        assert!(caller.await.unwrap().unwrap().facts.is_some());
    }
    assert_eq!(fake.loads(), 1);
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_cancel_the_load_for_the_others() {
    let fake = Fake::gated(1);
    let cache = mk_cache(&fake, 100);
    let get = || {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get(tenant(0), NOW).await })
    };
    let first = get();
    yield_until(|| fake.loads() == 1).await;
    let second = get();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    fake.gate.add_permits(1);
    assert!(second.await.unwrap().unwrap().facts.is_some());
    assert_eq!(fake.loads(), 1);
}

#[tokio::test]
async fn a_load_that_everyone_gave_up_is_kept_all_the_same() {
    let fake = Fake::gated(1);
    let cache = mk_cache(&fake, 100);
    let only = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get(tenant(0), NOW).await })
    };
    yield_until(|| fake.loads() == 1).await;
    only.abort();
    fake.gate.add_permits(1);
    yield_until(|| cache.held(tenant(0), NOW).is_some()).await;
    assert_eq!(fake.loads(), 1);
}

#[tokio::test]
async fn waiters_share_a_failure_instead_of_queueing_for_one_each() {
    let fake = Fake::gated(1);
    *fake.failing.lock().unwrap() = true;
    let cache = mk_cache(&fake, 100);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get(tenant(0), NOW).await })
        })
        .collect();
    yield_until(|| fake.loads() == 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    fake.gate.add_permits(1);
    for caller in callers {
        assert!(matches!(caller.await.unwrap(), Err(LoadError::Store(StoreError::TimedOut))));
    }
    assert_eq!(fake.loads(), 1);
    // The failure is not held: the next caller finds the database well again.
    *fake.failing.lock().unwrap() = false;
    fake.gate.add_permits(1);
    assert!(cache.get(tenant(0), NOW).await.unwrap().facts.is_some());
}

#[tokio::test]
async fn a_flood_of_unknown_tenants_neither_evicts_real_ones_nor_hammers_the_database() {
    let fake = Fake::with(50);
    let cache = mk_cache(&fake, 50);
    for number in 0..50 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    for number in 1_000..101_000 {
        assert!(cache.get(tenant(number), NOW).await.unwrap().facts.is_none());
    }
    assert!(fake.loads() <= 50 + 100, "{} loads", fake.loads());
    assert_eq!(fake.rosters.load(Ordering::SeqCst), 1);
    for number in 0..50 {
        assert!(cache.held(tenant(number), NOW).is_some(), "tenant {number} was evicted");
    }
}

#[tokio::test]
async fn a_tenant_made_during_a_flood_is_found_after_the_negative_ttl() {
    let fake = Fake::with(1);
    let cache = mk_cache(&fake, 50);
    for number in 1_000..2_000 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    fake.tenants.store(2, Ordering::SeqCst);
    let at = |seconds| NOW + TimeDelta::seconds(seconds);
    let before = cache.get(tenant(1), at(9)).await.unwrap();
    assert!(before.facts.is_none());
    assert_eq!(before.as_of, NOW, "as old as the roster");
    assert!(cache.get(tenant(1), at(10)).await.unwrap().facts.is_some());
}

#[tokio::test]
async fn a_cache_holds_as_many_tenants_as_its_capacity() {
    let fake = Fake::with(20_000);
    let cache = mk_cache(&fake, 10_000);
    for number in 0..10_000 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    assert!((0..10_000).all(|number| cache.held(tenant(number), NOW).is_some()));
    for number in 10_000..20_000 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    let held = (0..20_000).filter(|number| cache.held(tenant(*number), NOW).is_some()).count();
    assert!((9_000..=11_000).contains(&held), "{held} tenants are held");
}

#[tokio::test]
async fn facts_that_were_read_later_are_not_replaced_by_older_ones() {
    let fake = Fake::gated(1);
    let cache = mk_cache(&fake, 50);
    let later = NOW + TimeDelta::seconds(5);
    let slow = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get(tenant(0), NOW).await })
    };
    yield_until(|| fake.loads() == 1).await;
    let past = {
        let cache = cache.clone();
        tokio::spawn(
            async move { cache.read_bypassing(tenant(0), 1, Requester::ANYBODY, later).await },
        )
    };
    yield_until(|| fake.loads() == 2).await;
    fake.gate.add_permits(2);
    slow.await.unwrap().unwrap();
    past.await.unwrap().unwrap();
    assert_eq!(cache.held(tenant(0), later).unwrap().as_of, later);
}

#[tokio::test]
async fn a_tenant_that_a_later_load_found_gone_is_not_brought_back_by_an_earlier_one() {
    let fake = Fake::gated(1);
    let cache = mk_cache(&fake, 50);
    let later = NOW + TimeDelta::seconds(5);
    let get = |now| {
        let cache = cache.clone();
        async move { cache.read_bypassing(tenant(0), 1, Requester::ANYBODY, now).await.unwrap() }
    };
    // The earlier load has read the row, and is held up; the later one finds it gone, and lands
    // first.
    let earlier = cache.clone();
    fake.gate.add_permits(1);
    let facts = get(NOW).await;
    assert!(facts.facts.is_some());
    fake.tenants.store(0, Ordering::SeqCst);
    fake.gate.add_permits(1);
    assert!(get(later).await.facts.is_none());
    fake.tenants.store(1, Ordering::SeqCst);
    fake.gate.add_permits(1);
    get(NOW).await;
    assert!(earlier.held(tenant(0), later).unwrap().facts.is_none());
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_make_facts_younger() {
    let fake = Fake::with(1);
    let cache = mk_cache(&fake, 50);
    cache.get(tenant(0), NOW).await.unwrap();
    let back = NOW - TimeDelta::hours(1);
    assert!(cache.held(tenant(0), back).is_none());
    assert_eq!(cache.get(tenant(0), back).await.unwrap().as_of, back);
    assert_eq!(cache.held(tenant(0), back).unwrap().as_of, back);
}

#[tokio::test]
async fn an_unknown_code_reads_the_catalogue_again_at_most_once_per_negative_ttl() {
    let fake = Fake::with(1);
    let cache = mk_cache(&fake, 50);
    let at = |seconds| NOW + TimeDelta::seconds(seconds);
    for (seconds, readings) in [(0, 1), (9, 1), (10, 2), (11, 2), (19, 2), (20, 3)] {
        for _ in 0..100 {
            cache.catalogue_for("unknown", at(seconds)).await.unwrap();
        }
        assert_eq!(fake.catalogues.load(Ordering::SeqCst), readings, "after {seconds} s");
    }
}

#[tokio::test]
async fn the_catalogue_outlives_an_outage_and_is_not_asked_for_by_everyone() {
    let fake = Fake::with(1);
    let cache = mk_cache(&fake, 50);
    cache.catalogue(NOW).await.unwrap();
    *fake.failing.lock().unwrap() = true;
    let later = NOW + TimeDelta::seconds(1_000);
    for _ in 0..100 {
        assert_eq!(cache.catalogue(later).await.unwrap().as_of, NOW);
    }
    assert_eq!(fake.catalogues.load(Ordering::SeqCst), 2, "once at first, once in vain");
}

#[tokio::test]
async fn a_subdomain_is_answered_from_the_facts_of_its_tenant() {
    let fake = Fake::with(3);
    let cache = mk_cache(&fake, 50);
    let label = Label::parse("t2").unwrap();
    assert_eq!(cache.get_by_label(&label, NOW).await.unwrap().facts.unwrap().tenant.id, tenant(2));
    assert!(cache.held(tenant(2), NOW).is_some());
    cache.get_by_label(&label, NOW).await.unwrap();
    assert_eq!(fake.loads(), 1);
}
