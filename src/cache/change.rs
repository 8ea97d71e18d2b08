//! What the change feed reports to the cache: changes, and that anything may have changed.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    AfterChange, Cache, Event, Events, FeedState, Inner,
    queue::Priority,
    relay::{ChangeOutcome, Relayed},
};
use crate::{
    domain::TenantId,
    store::{Change, LoadTenant, TenantKey},
};

impl<L: LoadTenant> Cache<L> {
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
            self.0.relay.pass_on(|| Relayed::Change(Change::Tenants));
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
        let is_held = match self.0.settings.after_change {
            AfterChange::Reload => self.0.facts.holds(id),
            AfterChange::Leave => false,
            AfterChange::Receive => return self.notify_if_missed(Event::Tenant(id, 0)),
        };
        if !is_held && !self.0.watchers.has_watchers_of(id) && !self.0.relay.is_wanted() {
            return;
        }
        self.notify_if_missed(Event::Tenant(id, 0));
        let cache = self.clone();
        self.0.runtime.spawn(async move {
            let loaded = cache.load(TenantKey::Id(id), Priority::Background, now).await;
            // Where it was put in place, that was passed on before, and this says nothing more.
            cache.0.relay.pass_on_outcome(|| ChangeOutcome::Unread(id));
            cache.notify(Event::Tenant(id, loaded.map_or(0, |known| known.revision)));
        });
    }

    /// Watchers rely on what they hold again as soon as they are told that the feed is live, so they
    /// are told before that of what was missed, and not only once it has been read.
    fn notify_if_missed(&self, event: Event) {
        if self.feed() == FeedState::Suspect {
            self.notify(event);
        }
    }

    fn catalogue_changed(&self, now: DateTime<Utc>) {
        self.0.catalogue.outdate();
        self.0.relay.pass_on(|| Relayed::Change(Change::Catalogue));
        self.notify_if_missed(Event::Catalogue(0));
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
            self.facts.outdate(id, |epoch| self.trust.proven_at_in(epoch));
            self.unknown.invalidate(&key);
            self.relay.pass_on(|| Relayed::Change(Change::Tenant(id)));
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
            self.relay.pass_on(|| Relayed::Change(Change::Directory));
        }
        self.queue.forget(|flying| matches!(flying, TenantKey::Subdomain(_)));
    }
}
