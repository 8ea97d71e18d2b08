//! Facts by tenant: held, loaded once however many wait, and forgotten in time.
//!
//! Three kinds of things are held, each with a bound of its own, so that a flood of one cannot push out another:
//! - the facts of tenants that exist, by id, which every request asks for: see `held`;
//! - which tenant a subdomain belongs to, and the tenants that do not exist, few and short: in moka, which keeps its
//!   bounds and lets go of what has expired by itself;
//! - the catalogue, once.

mod catalogue;
mod flight;
mod held;
mod roster;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{runtime::Handle, sync::Semaphore};

use self::{catalogue::HeldCatalogue, flight::Flights, held::HeldFacts, roster::Roster};
use crate::{
    domain::{Facts, Label, TenantId},
    store::{LoadTenant, StoreError, TenantKey},
};

/// Tenants that do not exist, at most. More of them only means that the oldest are asked for again.
const MOST_UNKNOWN: u64 = 10_000;

/// Readings past the cache at the same time: fewer than the pool has connections.
const MOST_PAST: usize = 4;

/// How much is held, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// Facts are fresh for this long after they were read.
    pub ttl: TimeDelta,
    /// That a tenant or module does not exist is believed for this long.
    pub negative_ttl: TimeDelta,
    /// Tenants held.
    pub capacity: usize,
    /// A load that takes longer is given up.
    pub load_timeout: Duration,
}

/// What is known of a tenant.
#[derive(Clone, Debug)]
pub enum Known {
    /// It exists.
    Facts(Facts),
    /// It does not, as of this instant.
    Nothing(DateTime<Utc>),
}

impl Known {
    /// Its facts, if it exists.
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Facts(facts) => Some(facts),
            Self::Nothing(_) => None,
        }
    }

    /// When the database was asked.
    pub fn as_of(&self) -> DateTime<Utc> {
        match self {
            Self::Facts(facts) => facts.as_of,
            Self::Nothing(as_of) => *as_of,
        }
    }
}

/// The facts of all tenants that were asked for lately. Clones share what is held.
#[derive(Debug)]
pub struct Cache<L>(Arc<Inner<L>>);

impl<L> Clone for Cache<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Was one load begun shortly after another? No load takes a minute, and a clock that was set back tells nothing.
fn is_just_after(later: DateTime<Utc>, earlier: DateTime<Utc>) -> bool {
    earlier < later && later - earlier < TimeDelta::minutes(1)
}

/// Is `now` that close to an instant? A clock that was set back must not make what is held younger than it is.
fn is_within(span: TimeDelta, instant: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - instant).abs() < span
}

#[derive(Debug)]
struct Inner<L> {
    loader: Arc<L>,
    /// Loads run here, so that a caller that gives up does not end the load for the others.
    runtime: Handle,
    settings: CacheSettings,
    facts: HeldFacts,
    labels: moka::sync::Cache<Label, TenantId>,
    unknown: moka::sync::Cache<TenantKey, DateTime<Utc>>,
    roster: Roster,
    catalogue: HeldCatalogue,
    loads: Arc<Flights<TenantKey, Result<Known, StoreError>>>,
    /// Turns of those who read past the cache.
    turns: Semaphore,
    /// Held while what was loaded is put in place, so that of two loads the one that began later wins.
    placing: Mutex<()>,
}

impl<L: LoadTenant> Cache<L> {
    /// An empty cache over a database, whose loads run on `runtime`.
    pub fn new(loader: Arc<L>, settings: CacheSettings, runtime: Handle) -> Self {
        let unknown = moka::sync::Cache::builder()
            .max_capacity(MOST_UNKNOWN)
            .time_to_live(settings.negative_ttl.to_std().unwrap_or_default())
            .build();
        Self(Arc::new(Inner {
            loader,
            runtime,
            settings,
            facts: HeldFacts::new(settings.capacity),
            labels: moka::sync::Cache::new(settings.capacity as u64),
            unknown,
            roster: Roster::default(),
            catalogue: HeldCatalogue::default(),
            loads: Arc::default(),
            turns: Semaphore::new(MOST_PAST),
            placing: Mutex::new(()),
        }))
    }

    /// How the cache was set up.
    pub fn settings(&self) -> &CacheSettings {
        &self.0.settings
    }

    /// Looks, in place, at the facts that are held of a tenant and still fresh. This is the hot path.
    pub fn glance<R>(&self, id: TenantId, now: DateTime<Utc>, look: impl FnOnce(&Facts) -> R) -> Option<R> {
        self.0.facts.glance(id, |facts| self.0.is_fresh(facts, now).then(|| look(facts)))?
    }

    /// What is held of a tenant and still fresh.
    pub fn held(&self, id: TenantId, now: DateTime<Utc>) -> Option<Known> {
        let facts = self.glance(id, now, Facts::clone).map(Known::Facts);
        facts.or_else(|| self.0.held_unknown(&TenantKey::Id(id), now))
    }

    /// What is known of a tenant: what is held, or else what the database says.
    pub async fn get(&self, id: TenantId, now: DateTime<Utc>) -> Result<Known, StoreError> {
        match self.held(id, now) {
            Some(known) => Ok(known),
            None => self.load(TenantKey::Id(id), now).await,
        }
    }

    /// The same for the tenant that a subdomain belongs to.
    pub async fn get_by_label(&self, label: &Label, now: DateTime<Utc>) -> Result<Known, StoreError> {
        match self.held_by_label(label, now) {
            Some(known) => Ok(known),
            None => self.load(TenantKey::Subdomain(label.clone()), now).await,
        }
    }

    fn held_by_label(&self, label: &Label, now: DateTime<Utc>) -> Option<Known> {
        let facts = self.0.labels.get(label).and_then(|id| self.glance(id, now, Facts::clone));
        match facts.filter(|facts| &*facts.tenant.subdomain == label.as_str()) {
            Some(facts) => Some(Known::Facts(facts)),
            None => self.0.held_unknown(&TenantKey::Subdomain(label.clone()), now),
        }
    }

    fn held_by_key(&self, key: &TenantKey, now: DateTime<Utc>) -> Option<Known> {
        match key {
            TenantKey::Id(id) => self.held(*id, now),
            TenantKey::Subdomain(label) => self.held_by_label(label, now),
        }
    }

    /// What the database says now, whatever is held.
    pub async fn get_past(&self, id: TenantId, now: DateTime<Utc>) -> Result<Known, StoreError> {
        let inner = Arc::clone(&self.0);
        // A load of its own: one that is under way may have begun before the write that the caller wants to see.
        self.past(async move { inner.load(&TenantKey::Id(id), now).await }).await
    }

    /// Runs a reading that passes the cache by: few at a time, so that they leave connections to the loads, and in time.
    pub async fn past<T: Send + 'static>(
        &self,
        reading: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        let reading = self.0.runtime.spawn(async move {
            let turn = async {
                // The semaphore is never closed.
                let _turn = inner.turns.acquire().await.map_err(|_| StoreError::Abandoned)?;
                reading.await
            };
            inner.in_time(turn).await
        });
        reading.await.unwrap_or(Err(StoreError::Abandoned))
    }

    /// Loads a tenant, or joins the load that is under way.
    async fn load(&self, key: TenantKey, now: DateTime<Utc>) -> Result<Known, StoreError> {
        if let Some(as_of) = self.0.off_the_roster(&key, now).await? {
            return Ok(Known::Nothing(as_of));
        }
        let (inner, loaded) = (Arc::clone(&self.0), key.clone());
        let load = async move { inner.in_time(inner.load(&loaded, now)).await };
        let held = || self.held_by_key(&key, now);
        self.0.loads.join(&self.0.runtime, key.clone(), held, load).await
    }
}

impl<L: LoadTenant> Inner<L> {
    fn is_fresh(&self, facts: &Facts, now: DateTime<Utc>) -> bool {
        is_within(self.settings.ttl, facts.as_of, now)
    }

    fn held_unknown(&self, key: &TenantKey, now: DateTime<Utc>) -> Option<Known> {
        let as_of = self.unknown.get(key)?;
        is_within(self.settings.negative_ttl, as_of, now).then_some(Known::Nothing(as_of))
    }

    /// Reads a tenant and puts what was found in place. Whoever calls this bounds its time.
    async fn load(&self, key: &TenantKey, now: DateTime<Utc>) -> Result<Known, StoreError> {
        let facts = self.loader.load_tenant(key, now).await?;
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match facts {
            Some(facts) => self.place(facts),
            None => self.place_nothing(key, now),
        })
    }

    async fn in_time<T>(&self, load: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let loaded = tokio::time::timeout(self.settings.load_timeout, load).await.unwrap_or(Err(StoreError::TimedOut));
        // Told here, once a load, and not by each of the callers that wait for it.
        loaded.inspect_err(|error| tracing::warn!(%error, "a load failed: {error}"))
    }

    fn place(&self, facts: Facts) -> Known {
        let id = facts.tenant.id;
        // A load that began later has found that the tenant is gone.
        if self.unknown.get(&TenantKey::Id(id)).is_some_and(|gone| is_just_after(gone, facts.as_of)) {
            return Known::Facts(facts);
        }
        self.facts.insert(facts.clone());
        self.unknown.invalidate(&TenantKey::Id(id));
        if let Some(label) = Label::parse(&facts.tenant.subdomain) {
            self.labels.insert(label.clone(), id);
            self.unknown.invalidate(&TenantKey::Subdomain(label));
        }
        Known::Facts(facts)
    }

    fn place_nothing(&self, key: &TenantKey, now: DateTime<Utc>) -> Known {
        match key {
            TenantKey::Id(id) => self.facts.remove_if(*id, |held| held.as_of <= now),
            TenantKey::Subdomain(label) => self.labels.invalidate(label),
        }
        self.unknown.insert(key.clone(), now);
        self.roster.count_unknown(now, self.settings.negative_ttl);
        Known::Nothing(now)
    }
}
