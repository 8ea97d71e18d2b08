//! What the change feed reports to the cache, and what the cache sends to its watchers.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cache, Events, FeedState, Inner, is_within, queue::Priority};
use crate::{
    domain::TenantId,
    store::{Change, LoadTenant, TenantKey},
};

/// An event that watchers receive, after the cache has dropped what it held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A tenant's facts have changed; they are at this revision now, or at one that could not be
    /// read (0).
    Tenant(TenantId, u64),
    /// The catalogue has changed, and is at this revision now.
    Catalogue(u64),
    /// Anything may have changed.
    Reset,
    /// Changes are no longer received.
    FeedOff,
}

/// Can the cache answer for what it holds?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CacheHealth {
    /// Yes.
    Good,
    /// It serves what it holds, although the database does not answer.
    Stale {
        /// When the database last answered.
        since: DateTime<Utc>,
    },
    /// The database has not answered for longer than stale answers are served.
    TooStale,
}

impl<L: LoadTenant> Cache<L> {
    /// The state of the feed.
    pub fn feed(&self) -> FeedState {
        self.0.trust.feed()
    }

    /// When the database last answered the feed.
    pub fn last_proof(&self) -> Option<DateTime<Utc>> {
        self.0.trust.last_proof()
    }

    /// Can it answer for what it holds?
    pub fn health(&self, now: DateTime<Utc>) -> CacheHealth {
        match self.last_proof() {
            _ if self.0.trust.is_answered() => CacheHealth::Good,
            Some(since) if is_within(self.0.settings.max_stale, since, now) => {
                CacheHealth::Stale { since }
            }
            _ => CacheHealth::TooStale,
        }
    }

    /// How many changes have been taken in. See [`Source::AnyThatHolds`](crate::store::Source).
    pub fn changes_so_far(&self) -> u64 {
        self.0.change_clock.count()
    }

    /// How long ago the feed last heard from the database; zero if there is no feed.
    pub fn lag(&self, now: DateTime<Utc>) -> TimeDelta {
        match (self.feed(), self.last_proof()) {
            (FeedState::Off, _) | (_, None) => TimeDelta::zero(),
            (_, Some(proof)) => (now - proof).max(TimeDelta::zero()),
        }
    }

    /// The feed has caught up with the log, and receives every change from here on.
    pub fn trust(&self, now: DateTime<Utc>) {
        self.0.trust.set(FeedState::Live, Some(now));
        self.0.breaker.close();
    }

    /// Changes may be missed from here on: what is held is in doubt, until the feed has caught up.
    pub fn suspect(&self) {
        self.0.trust.set(FeedState::Suspect, None);
    }

    /// There is no feed, or none that can be trusted: the time to live is the limit. `proof`: when
    /// the database has just answered, if it has.
    pub fn feed_off(&self, proof: Option<DateTime<Utc>>) {
        let was_heard = self.feed() != FeedState::Off;
        self.0.trust.set(FeedState::Off, proof);
        if proof.is_some() {
            self.0.breaker.close();
        }
        if was_heard {
            self.notify(Event::FeedOff);
        }
    }

    /// Applies changes. What is held of the changed things is no longer trusted, and loads of them
    /// that are under way are not kept.
    pub fn apply_changes(&self, changes: &[Change], now: DateTime<Utc>) {
        for change in changes {
            self.0.tally.changes.add();
            match change {
                Change::Tenant(id) => self.tenant_changed(*id, now),
                Change::Directory => self.0.directory_changed(),
                Change::Catalogue => self.catalogue_changed(now),
                Change::Tenants => self.reset(now),
            }
        }
    }

    /// Anything may have changed: everything that is held must be read again.
    pub fn reset(&self, now: DateTime<Utc>) {
        {
            let _placing = self.0.placing.lock();
            self.0.change_clock.everything_changed();
            self.0.trust.end_epoch();
            self.0.unknown.invalidate_all();
            self.0.known_tenants.forget();
            self.0.catalogue.outdate();
        }
        self.0.queue.forget(|_| true);
        self.0.tally.resets.add();
        self.notify(Event::Reset);
        // Read again at once: it has a part in most denials, and may be wanted in an outage.
        let cache = self.clone();
        self.0.runtime.spawn(async move { drop(cache.catalogue(now).await) });
    }

    /// Watches changes from here on: those of these tenants and those that concern all; `tenants`
    /// is empty: everything. A watcher that falls behind is notified of that, and must check
    /// everything again.
    pub fn watch(&self, tenants: Arc<HashSet<TenantId>>) -> Events {
        self.0.watchers.watch(tenants)
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.0.watchers.count()
    }

    pub(super) fn notify(&self, event: Event) {
        self.0.watchers.notify(event);
    }

    fn tenant_changed(&self, id: TenantId, now: DateTime<Utc>) {
        self.0.outdate(id);
        // Read again at once: the next caller need not wait as long, and watchers want the
        // revision.
        let is_worth_it = self.0.settings.reload_changed && self.0.facts.holds(id);
        if !is_worth_it && !self.0.watchers.has_watchers_of(id) {
            return;
        }
        let cache = self.clone();
        self.0.runtime.spawn(async move {
            let loaded = cache.load(TenantKey::Id(id), Priority::Background, now).await;
            cache.notify(Event::Tenant(id, loaded.map_or(0, |known| known.revision)));
        });
    }

    fn catalogue_changed(&self, now: DateTime<Utc>) {
        self.0.catalogue.outdate();
        let cache = self.clone();
        self.0.runtime.spawn(async move {
            let revision = cache.catalogue(now).await.map_or(0, |catalogue| catalogue.revision);
            cache.notify(Event::Catalogue(revision));
        });
    }
}

impl<L: LoadTenant> Inner<L> {
    fn outdate(&self, id: TenantId) {
        let key = TenantKey::Id(id);
        {
            let _placing = self.placing.lock();
            self.change_clock.tenant_changed(id);
            self.facts.outdate(id);
            self.unknown.invalidate(&key);
        }
        self.queue.forget(|flying| *flying == key || matches!(flying, TenantKey::Subdomain(_)));
    }

    fn directory_changed(&self) {
        {
            let _placing = self.placing.lock();
            self.change_clock.directory_changed();
            self.known_tenants.forget();
            // Which subdomains they are is not known, and there are few.
            self.unknown.invalidate_all();
        }
        self.queue.forget(|flying| matches!(flying, TenantKey::Subdomain(_)));
    }
}
