//! The cache when news comes, and when none can: over a fake database, so that each race is forced.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use entitlementd::{
    cache::{
        Cache, CacheHealth, CacheSettings, ChangeOutcome, Event, FeedState, Known, LoadError,
        Received, Requester,
    },
    clock::Uptime,
    domain::Label,
    store::Change,
};
use tokio::task::JoinHandle;

use crate::harness::{
    NOW,
    fake::{Fake, mk_cache, mk_cache_of, settings, tenant, yield_until},
};

/// A change of tenant 0 is committed, and announced.
fn change(fake: &Fake, cache: &Cache<Fake>) {
    fake.revision.fetch_add(1, Ordering::SeqCst);
    apply_changes(cache, Change::Tenant(tenant(0)));
}

fn apply_changes(cache: &Cache<Fake>, change: Change) {
    cache.apply_changes(&[change], NOW);
}

/// Asks for tenant 0, in a task of its own.
fn ask(cache: &Cache<Fake>) -> JoinHandle<Result<Known, LoadError>> {
    let cache = cache.clone();
    tokio::spawn(async move { cache.get(tenant(0), NOW).await })
}

fn mk_fed(fake: &Arc<Fake>) -> Cache<Fake> {
    let cache = mk_cache(fake, 50);
    cache.trust(NOW, Uptime::NEVER);
    cache
}

fn held_revision(cache: &Cache<Fake>) -> Option<u64> {
    cache.held(tenant(0), NOW).map(|known| known.revision)
}

#[tokio::test]
async fn a_load_that_began_before_the_news_is_not_kept() {
    let fake = Fake::gated(1);
    let cache = mk_fed(&fake);
    let early = ask(&cache);
    yield_until(|| fake.loads() == 1).await;
    change(&fake, &cache);
    fake.gate.add_permits(1);
    // It asked before the change, and may be told what was so then.
    assert_eq!(early.await.unwrap().unwrap().revision, 1);
    assert_eq!(held_revision(&cache), None, "the news came later than what was read");
    // Except for the case that the database cannot be asked again.
    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(1);
    let known = cache.get(tenant(0), NOW).await.unwrap();
    assert_eq!((known.revision, known.stale), (1, true));
    *fake.failing.lock().unwrap() = false;
    fake.gate.add_permits(1);
    assert_eq!(cache.get(tenant(0), NOW).await.unwrap().revision, 2);
}

#[tokio::test]
async fn in_an_outage_nobody_is_told_what_was_so_before_what_somebody_was_told() {
    let fake = Fake::gated(1);
    fake.gate.add_permits(1);
    let cache = mk_fed(&fake);
    assert_eq!(cache.get(tenant(0), NOW).await.unwrap().revision, 1);
    change(&fake, &cache);
    let asked = ask(&cache);
    yield_until(|| fake.loads() == 2).await;
    // What is read is overtaken by another change.
    change(&fake, &cache);
    fake.gate.add_permits(1);
    assert_eq!(asked.await.unwrap().unwrap().revision, 2);
    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(100);
    let known = cache.get(tenant(0), NOW).await.unwrap();
    assert_eq!((known.revision, known.stale), (2, true));
}

#[tokio::test]
async fn what_is_sent_of_a_change_is_not_kept_where_what_came_of_a_later_one_was_read() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    let sent = cache.get(tenant(0), NOW).await.unwrap().facts.unwrap();
    fake.revision.fetch_add(1, Ordering::SeqCst);
    let at = |seconds| NOW + TimeDelta::seconds(seconds);
    cache.apply_changes(&[Change::Tenant(tenant(0))], at(1));
    assert_eq!(cache.get(tenant(0), at(1)).await.unwrap().revision, 2);
    // The news of the first change comes late, and what it came to then.
    cache.apply_changes(&[Change::Tenant(tenant(0))], at(2));
    cache.receive(ChangeOutcome::Facts(sent.clone()), at(2));
    assert_eq!(cache.get(tenant(0), at(2)).await.unwrap().revision, 2);
    // A database that was put back to an earlier state is believed all the same.
    cache.reset(at(100));
    let mut restored = sent;
    restored.as_of = at(100);
    cache.receive(ChangeOutcome::Facts(restored), at(100));
    assert_eq!(cache.get(tenant(0), at(100)).await.unwrap().revision, 1);
}

#[tokio::test]
async fn what_is_read_after_the_news_is_kept_though_the_clock_was_set_back() {
    let fake = Fake::gated(1);
    fake.gate.add_permits(100);
    let cache = mk_fed(&fake);
    let [later, back] = [30, 10].map(|seconds| NOW + TimeDelta::seconds(seconds));
    assert_eq!(cache.get(tenant(0), later).await.unwrap().revision, 1);
    change(&fake, &cache);
    assert_eq!(cache.get(tenant(0), back).await.unwrap().revision, 2);
    assert_eq!(cache.held(tenant(0), back).unwrap().revision, 2);
    // Gone, likewise, and nobody makes do with it.
    fake.tenants.store(0, Ordering::SeqCst);
    change(&fake, &cache);
    assert!(cache.get(tenant(0), NOW).await.unwrap().facts.is_none());
    assert_eq!(cache.len(), 0);
}

#[tokio::test]
async fn who_asks_after_the_news_does_not_join_a_load_that_began_before_it() {
    let fake = Fake::gated(1);
    let cache = mk_fed(&fake);
    let early = ask(&cache);
    yield_until(|| fake.loads() == 1).await;
    change(&fake, &cache);
    let late = ask(&cache);
    yield_until(|| fake.loads() == 2).await;
    fake.gate.add_permits(2);
    early.await.unwrap().unwrap();
    assert_eq!(late.await.unwrap().unwrap().revision, 2);
    assert_eq!(held_revision(&cache), Some(2));
}

#[tokio::test]
async fn a_late_landing_of_the_early_load_does_not_replace_the_later_one() {
    let fake = Fake::gated(1);
    let cache = mk_fed(&fake);
    let early = ask(&cache);
    yield_until(|| fake.loads() == 1).await;
    change(&fake, &cache);
    let late = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_at_least(tenant(0), 2, Requester::ANYBODY, NOW).await })
    };
    yield_until(|| fake.loads() == 2).await;
    fake.gate.add_permits(1);
    early.await.unwrap().unwrap();
    assert_eq!(held_revision(&cache), None);
    fake.gate.add_permits(1);
    assert_eq!(late.await.unwrap().unwrap().revision, 2);
    assert_eq!(held_revision(&cache), Some(2));
}

#[tokio::test]
async fn a_subdomains_load_that_began_before_the_news_is_not_kept() {
    let fake = Fake::gated(1);
    let cache = mk_fed(&fake);
    let early = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_by_label(&Label::parse("t0").unwrap(), NOW).await })
    };
    yield_until(|| fake.loads() == 1).await;
    change(&fake, &cache);
    fake.gate.add_permits(1);
    early.await.unwrap().unwrap();
    assert_eq!(held_revision(&cache), None);
}

#[tokio::test]
async fn a_tenant_that_is_made_is_not_unknown_for_a_moment_longer() {
    let fake = Fake::with(0);
    let cache = mk_fed(&fake);
    let label = Label::parse("t0").unwrap();
    assert!(cache.get(tenant(0), NOW).await.unwrap().facts.is_none());
    assert!(cache.get_by_label(&label, NOW).await.unwrap().facts.is_none());
    fake.tenants.store(1, Ordering::SeqCst);
    apply_changes(&cache, Change::Tenant(tenant(0)));
    apply_changes(&cache, Change::Directory);
    assert!(cache.get_by_label(&label, NOW).await.unwrap().facts.is_some());
    assert!(cache.get(tenant(0), NOW).await.unwrap().facts.is_some());
}

#[tokio::test]
async fn a_tenant_that_is_made_during_a_flood_is_found_at_once() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    for number in 1_000..2_000 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    assert_eq!(fake.rosters.load(Ordering::SeqCst), 1);
    fake.tenants.store(2, Ordering::SeqCst);
    apply_changes(&cache, Change::Tenant(tenant(1)));
    apply_changes(&cache, Change::Directory);
    assert!(cache.get(tenant(1), NOW).await.unwrap().facts.is_some());
}

#[tokio::test]
async fn a_revision_that_is_held_costs_no_load_and_one_that_is_not_costs_one() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.get(tenant(0), NOW).await.unwrap();
    assert_eq!(
        cache.get_at_least(tenant(0), 1, Requester::ANYBODY, NOW).await.unwrap().revision,
        1
    );
    assert_eq!(fake.loads(), 1);
    // The write is committed, and not announced yet.
    fake.revision.store(2, Ordering::SeqCst);
    assert_eq!(
        cache.get_at_least(tenant(0), 2, Requester::ANYBODY, NOW).await.unwrap().revision,
        2
    );
    assert_eq!(fake.loads(), 2);
    assert_eq!(held_revision(&cache), Some(2), "and everyone has it");
    assert!(matches!(
        cache.get_at_least(tenant(0), 3, Requester::ANYBODY, NOW).await,
        Err(LoadError::NotFreshEnough)
    ));
}

#[tokio::test]
async fn what_is_suspect_is_served_as_stale_at_once_and_time_still_passes() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.get(tenant(0), NOW).await.unwrap();
    cache.suspect();
    let at = |hours| NOW + TimeDelta::hours(hours);
    let known = cache.get(tenant(0), NOW + TimeDelta::minutes(59)).await.unwrap();
    assert!(known.stale && known.facts.is_some());
    assert_eq!(fake.loads(), 1, "a database that does not answer is not asked by every caller");
    assert_eq!(cache.health(NOW + TimeDelta::minutes(59)), CacheHealth::Stale { since: NOW });
    assert_eq!(cache.health(at(1)), CacheHealth::TooStale);
    *fake.failing.lock().unwrap() = true;
    assert!(cache.get(tenant(0), at(1)).await.is_err(), "nobody vouches for it any more");
    // The feed is back, and has read the log: nothing has changed.
    cache.trust(at(1), Uptime::NEVER);
    assert!(!cache.get(tenant(0), at(1)).await.unwrap().stale);
    assert_eq!(cache.health(at(1)), CacheHealth::Good);
}

#[tokio::test]
async fn what_has_changed_and_cannot_be_read_is_served_as_stale_and_not_refused() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.get(tenant(0), NOW).await.unwrap();
    change(&fake, &cache);
    *fake.failing.lock().unwrap() = true;
    let known = cache.get(tenant(0), NOW).await.unwrap();
    assert_eq!((known.stale, known.revision), (true, 1));
    assert!(
        cache.get_at_least(tenant(0), 1, Requester::ANYBODY, NOW).await.is_err(),
        "it was asked for something fresh"
    );
    *fake.failing.lock().unwrap() = false;
    let known = cache.get(tenant(0), NOW).await.unwrap();
    assert_eq!((known.stale, known.revision), (false, 2));
}

#[tokio::test]
async fn what_has_changed_is_served_as_stale_for_max_stale_from_when_it_last_was_so() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.get(tenant(0), NOW).await.unwrap();
    let at = |minutes| NOW + TimeDelta::minutes(minutes);
    cache.trust(at(300), Uptime::NEVER);
    *fake.failing.lock().unwrap() = true;
    cache.apply_changes(&[Change::Tenant(tenant(0))], at(310));
    cache.trust(at(310), Uptime::NEVER);
    let known = cache.get(tenant(0), at(359)).await.unwrap();
    assert!(known.stale && known.revision == 1, "it was so five hours after it was read");
    cache.trust(at(360), Uptime::NEVER);
    assert!(cache.get(tenant(0), at(360)).await.is_err(), "it was so an hour ago at the latest");
    cache.suspect();
    assert!(cache.get(tenant(0), at(360)).await.is_err(), "later proofs are none of it");
}

#[tokio::test]
async fn after_a_reset_what_cannot_be_read_is_served_as_stale_for_max_stale_from_the_last_proof() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.get(tenant(0), NOW).await.unwrap();
    let at = |minutes| NOW + TimeDelta::minutes(minutes);
    cache.trust(at(300), Uptime::NEVER);
    *fake.failing.lock().unwrap() = true;
    cache.reset(at(310));
    cache.trust(at(310), Uptime::NEVER);
    assert!(cache.get(tenant(0), at(359)).await.unwrap().stale, "nobody is locked out by it");
    cache.suspect();
    assert!(cache.get(tenant(0), at(360)).await.is_err(), "later proofs are none of it");
}

#[tokio::test]
async fn a_time_of_day_that_is_set_back_makes_nothing_last_longer() {
    let fake = Fake::with(1);
    let max_stale = TimeDelta::milliseconds(50);
    let cache = mk_cache_of(&fake, CacheSettings { max_stale, ..settings() });
    cache.trust(NOW, Uptime::NEVER);
    cache.get(tenant(0), NOW).await.unwrap();
    cache.trust(NOW, Uptime::NEVER);
    *fake.failing.lock().unwrap() = true;
    cache.suspect();
    // The time of day stands still, as if it were set back all the time.
    let is_over = async {
        while cache.get(tenant(0), NOW).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_over).await.expect("it is served for ever");
    assert_eq!(cache.health(NOW), CacheHealth::TooStale);
}

#[tokio::test]
async fn while_the_database_fails_two_ask_it_and_the_others_fail_at_once() {
    let fake = Fake::gated(0);
    let cache = mk_fed(&fake);
    *fake.failing.lock().unwrap() = true;
    fake.gate.add_permits(1);
    assert!(cache.get(tenant(1), NOW).await.is_err());
    let ask = |number| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get(tenant(number), NOW).await })
    };
    let probes = [ask(2), ask(3)];
    yield_until(|| fake.loads() == 3).await;
    for number in 4..1_000 {
        assert!(matches!(ask(number).await.unwrap(), Err(LoadError::Failing)));
    }
    assert_eq!(fake.loads(), 3);
    *fake.failing.lock().unwrap() = false;
    fake.gate.add_permits(1_000);
    for probe in probes {
        probe.await.unwrap().unwrap();
    }
    cache.get(tenant(4), NOW).await.unwrap();
}

#[tokio::test]
async fn after_a_reset_everything_is_read_again_before_it_is_served() {
    let fake = Fake::with(20);
    let cache = mk_fed(&fake);
    for number in 0..20 {
        cache.get(tenant(number), NOW).await.unwrap();
    }
    fake.revision.store(9, Ordering::SeqCst);
    cache.reset(NOW);
    for number in 0..20 {
        assert_eq!(cache.get(tenant(number), NOW).await.unwrap().revision, 9);
        cache.get(tenant(number), NOW).await.unwrap();
    }
    assert_eq!(fake.loads(), 40, "each once");
}

#[tokio::test]
async fn watchers_are_told_after_the_cache_has_forgotten() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.get(tenant(0), NOW).await.unwrap();
    let mut watch = cache.watch(Arc::default());
    change(&fake, &cache);
    assert_eq!(watch.next().await.unwrap(), Received::Event(Event::Tenant(tenant(0), 2)));
    assert_eq!(held_revision(&cache), Some(2));
    apply_changes(&cache, Change::Tenants);
    assert_eq!(watch.next().await.unwrap(), Received::Event(Event::Reset));
    assert_eq!(held_revision(&cache), None);
    cache.feed_off(None);
    assert_eq!(watch.next().await.unwrap(), Received::Event(Event::FeedOff));
    assert_eq!(cache.feed(), FeedState::Off);
}

#[tokio::test]
async fn a_catalogue_that_has_changed_is_not_served_while_the_new_one_is_read() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    assert_eq!(cache.catalogue(NOW).await.unwrap().revision, 0);
    fake.catalogue_gate.forget_permits(usize::MAX >> 4);
    apply_changes(&cache, Change::Tenants);
    yield_until(|| fake.catalogues.load(Ordering::SeqCst) == 2).await;
    // Facts that are read from here on may name what only the new one knows.
    let asked = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.catalogue_for("renamed", NOW).await })
    };
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    fake.catalogue_gate.add_permits(1);
    assert_eq!(asked.await.unwrap().unwrap().revision, 1);
    // Where nothing has changed, nobody looks whether it has, and who does so in the background
    // keeps nobody waiting.
    let late = NOW + TimeDelta::seconds(1_000);
    assert_eq!(cache.catalogue(late).await.unwrap().revision, 1);
    let looking = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.refresh_catalogue(TimeDelta::seconds(240), late).await })
    };
    yield_until(|| fake.catalogues.load(Ordering::SeqCst) == 3).await;
    assert_eq!(cache.catalogue(late).await.unwrap().revision, 1);
    fake.catalogue_gate.add_permits(1);
    looking.await.unwrap();
    assert_eq!(cache.catalogue(late).await.unwrap().revision, 2);
}

#[tokio::test]
async fn a_catalogue_that_was_read_before_a_change_is_not_kept_for_it() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    fake.catalogue_gate.forget_permits(usize::MAX >> 4);
    let early = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.catalogue(NOW).await })
    };
    yield_until(|| fake.catalogues.load(Ordering::SeqCst) == 1).await;
    apply_changes(&cache, Change::Catalogue);
    yield_until(|| fake.catalogues.load(Ordering::SeqCst) == 2).await;
    fake.catalogue_gate.add_permits(2);
    early.await.unwrap().unwrap();
    assert_eq!(cache.catalogue(NOW).await.unwrap().revision, 1);
}

#[tokio::test]
async fn what_is_read_while_nobody_vouches_for_it_is_marked_and_read_again() {
    let fake = Fake::with(0);
    let cache = mk_fed(&fake);
    cache.suspect();
    let absent = cache.get(tenant(0), NOW).await.unwrap();
    assert!(absent.facts.is_none() && absent.stale);
    cache.catalogue(NOW).await.unwrap();
    cache.catalogue(NOW).await.unwrap();
    assert_eq!(fake.catalogues.load(Ordering::SeqCst), 1, "not everybody waits for another");
    // A standby that lagged is replaced by one that has it all: nothing of that is announced again.
    fake.tenants.store(1, Ordering::SeqCst);
    cache.trust(NOW, Uptime::NEVER);
    let found = cache.get(tenant(0), NOW).await.unwrap();
    assert!(found.facts.is_some() && !found.stale);
    cache.catalogue(NOW).await.unwrap();
    cache.catalogue(NOW).await.unwrap();
    assert_eq!(fake.catalogues.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_list_of_tenants_that_nobody_vouches_for_is_not_kept() {
    let fake = Fake::with(1);
    let cache = mk_fed(&fake);
    cache.suspect();
    for number in 1_000..1_200 {
        assert!(cache.get(tenant(number), NOW).await.unwrap().stale);
    }
    let rosters = fake.rosters.load(Ordering::SeqCst);
    assert!(rosters > 0);
    fake.tenants.store(2, Ordering::SeqCst);
    cache.trust(NOW, Uptime::NEVER);
    assert!(cache.get(tenant(1), NOW).await.unwrap().facts.is_some());
}
