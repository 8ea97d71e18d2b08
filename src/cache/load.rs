//! Loading, and putting what was loaded in place.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{Instrument, Span};

use super::{Absent, Cache, Feed, Inner, Known, Look, is_just_after, news::Beginning};
use crate::{
    domain::{Facts, Label, TenantId},
    store::{LoadTenant, Source, StoreError, TenantKey},
};

impl<L: LoadTenant> Cache<L> {
    /// What the database says now, whatever is held.
    pub async fn get_past(&self, id: TenantId, now: DateTime<Utc>) -> Result<Known, StoreError> {
        let inner = Arc::clone(&self.0);
        // A load of its own: one that is under way may have begun before the write that the caller wants to see.
        self.past(async move {
            let beginning = inner.news.begin();
            inner.load_since(beginning, &TenantKey::Id(id), Source::Primary, now).await
        })
        .await
    }

    /// Runs a reading that passes the cache by: few at a time, so that they leave connections to the loads, and in time.
    pub async fn past<T: Send + 'static>(
        &self,
        reading: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        let reading = self.0.runtime.spawn(
            async move {
                let turn = async {
                    // The semaphore is never closed.
                    let _turn = inner.past.acquire().await.map_err(|_| StoreError::Abandoned)?;
                    reading.await
                };
                inner.in_time(turn).await
            }
            .instrument(span()),
        );
        reading.await.unwrap_or(Err(StoreError::Abandoned))
    }

    /// Loads a tenant, or joins the load that is under way.
    pub(super) async fn load(&self, key: TenantKey, now: DateTime<Utc>) -> Result<Known, StoreError> {
        if let Some(as_of) = self.0.off_the_roster(&key, now).await? {
            return Ok(self.0.absent(0, as_of));
        }
        self.fly(key, now).await
    }

    /// Loads a tenant in the background, if that is not being done.
    pub(super) fn refresh(&self, key: TenantKey, now: DateTime<Utc>) {
        // The load runs by itself; a failure is in the log, and what is held stays.
        drop(self.fly(key, now));
    }

    fn fly(
        &self,
        key: TenantKey,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Known, StoreError>> + Send + use<L> {
        let (inner, loaded) = (Arc::clone(&self.0), key.clone());
        let load = async move { inner.in_time(inner.load_in_turn(&loaded, now)).await }.instrument(span());
        let held = || match self.0.look_by_key(&key, now) {
            Look::Good(known) => Some(known),
            Look::Due(_) | Look::Doubtful(_) | Look::Missing => None,
        };
        self.0.loads.join(&self.0.runtime, key.clone(), held, load)
    }
}

/// A load belongs to the trace of the request that began it, if that is traced.
fn span() -> Span {
    if Span::current().is_none() { Span::none() } else { tracing::info_span!(target: "traced", "load") }
}

impl<L: LoadTenant> Inner<L> {
    async fn load_in_turn(&self, key: &TenantKey, now: DateTime<Utc>) -> Result<Known, StoreError> {
        let _turn = self.gate.pass().await?;
        let (beginning, source) = {
            // News that is being taken in would be missing from one of the two.
            let _placing = self.placing.lock();
            (self.news.begin(), self.source_for(key))
        };
        self.load_since(beginning, key, source, now).await
    }

    fn source_for(&self, key: &TenantKey) -> Source {
        match self.trust.feed() {
            // Who hears of no change cannot tell whether a replica is up to date.
            Feed::Off => Source::Primary,
            Feed::Live | Feed::Suspect => self.news.source_for(key),
        }
    }

    /// Reads a tenant and puts what was found in place. Whoever calls this bounds its time.
    async fn load_since(
        &self,
        beginning: Beginning,
        key: &TenantKey,
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Known, StoreError> {
        let epoch = self.trust.epoch();
        self.tally.loads.add();
        let loaded = self.loader.load_tenant(key, source, now).await?;
        let known = Known::of(loaded, now);
        let _placing = self.placing.lock();
        match &known.facts {
            Some(facts) => self.place(facts, beginning, epoch),
            None => self.place_nothing(key, &known, beginning),
        }
        Ok(known)
    }

    /// Bounds the time of something that asks the database, and notes how that went.
    pub(super) async fn in_time<T>(&self, load: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let loaded = tokio::time::timeout(self.settings.load_timeout, load).await.unwrap_or(Err(StoreError::TimedOut));
        let was_failing = self.gate.is_failing();
        self.gate.note(&loaded);
        if let Err(error) = &loaded {
            self.tally.load_errors.add();
            // Told here, once a load, and not by each of the callers that wait for it; and while it goes on, not each time.
            if was_failing {
                tracing::debug!(%error, "a load failed: {error}");
            } else {
                tracing::warn!(%error, "a load failed: {error}");
            }
        }
        loaded
    }

    fn place(&self, facts: &Facts, beginning: Beginning, epoch: u32) {
        let id = facts.tenant.id;
        if self.news.since(beginning, id) {
            // They have changed since. Where nothing else is held they will do, if the database cannot be asked again.
            self.facts.insert_outdated(facts.clone());
            return;
        }
        // A load that began later has found that the tenant is gone.
        if self.unknown.get(&TenantKey::Id(id)).is_some_and(|gone| is_just_after(gone.as_of, facts.as_of)) {
            return;
        }
        self.facts.insert(facts.clone(), epoch);
        self.unknown.invalidate(&TenantKey::Id(id));
        if let Some(label) = Label::parse(&facts.tenant.subdomain) {
            self.labels.insert(label.clone(), id);
            self.unknown.invalidate(&TenantKey::Subdomain(label));
        }
    }

    fn place_nothing(&self, key: &TenantKey, known: &Known, beginning: Beginning) {
        let now = known.as_of;
        match key {
            TenantKey::Id(id) if self.news.since(beginning, *id) => return,
            TenantKey::Id(id) => self.facts.remove_if(*id, |held| held.as_of <= now),
            TenantKey::Subdomain(_) if self.news.of_directory_since(beginning) => return,
            TenantKey::Subdomain(label) => self.labels.invalidate(label),
        }
        self.unknown.insert(key.clone(), Absent { as_of: now, revision: known.revision });
        self.roster.count_unknown(now, self.settings.negative_ttl);
    }
}
