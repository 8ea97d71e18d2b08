//! A fake database, which counts, waits and fails as it is told, and a cache over it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    cache::{AfterChange, Cache, CacheSettings},
    domain::{Catalogue, Facts, Plan, Tenant, TenantId, TenantStatus},
    store::{LoadTenant, Loaded, Read, Source, StoreError, TenantKey},
};
use sea_orm::DbErr;
use tokio::{runtime::Handle, sync::Semaphore};
use uuid::Uuid;

/// A database whose tenants are those with a number below `tenants`.
pub struct Fake {
    pub tenants: AtomicUsize,
    pub loads: AtomicUsize,
    pub rosters: AtomicUsize,
    pub catalogues: AtomicUsize,
    pub failing: Mutex<bool>,
    /// A load takes a permit before it answers.
    pub gate: Semaphore,
    /// The same for the catalogue, which is never waited for at first.
    pub catalogue_gate: Semaphore,
    /// Every tenant's, as a load finds it when it begins.
    pub revision: AtomicU64,
    /// How many tenants each statement has read, in the order in which they began.
    pub statements: Mutex<Vec<usize>>,
    /// The tenant whose row cannot be read.
    pub unreadable: Mutex<Option<TenantId>>,
    /// A load of this tenant panics.
    pub panicking: Mutex<Option<TenantId>>,
    /// The only plan there is.
    pub plan: Mutex<Option<&'static str>>,
}

impl Fake {
    pub fn with(tenants: usize) -> Arc<Self> {
        Arc::new(Self {
            tenants: tenants.into(),
            loads: 0.into(),
            rosters: 0.into(),
            catalogues: 0.into(),
            failing: Mutex::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS >> 1),
            catalogue_gate: Semaphore::new(Semaphore::MAX_PERMITS >> 1),
            revision: 1.into(),
            statements: Mutex::default(),
            unreadable: Mutex::default(),
            panicking: Mutex::default(),
            plan: Mutex::default(),
        })
    }

    /// One whose loads wait until they are let go.
    pub fn gated(tenants: usize) -> Arc<Self> {
        let fake = Self::with(tenants);
        fake.gate.forget_permits(Semaphore::MAX_PERMITS);
        fake
    }

    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub fn statements(&self) -> Vec<usize> {
        self.statements.lock().unwrap().clone()
    }

    fn exists(&self, id: Uuid) -> bool {
        id.as_u128() < self.tenants.load(Ordering::SeqCst) as u128
    }

    /// A statement that reads tenants: it takes a permit, however many they are.
    async fn ask(&self, keys: &[TenantKey]) -> Result<u64, StoreError> {
        let revision = self.revision.load(Ordering::SeqCst);
        self.statements.lock().unwrap().push(keys.len());
        self.loads.fetch_add(keys.len(), Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        if *self.failing.lock().unwrap() { Err(StoreError::TimedOut) } else { Ok(revision) }
    }

    fn find(
        &self,
        key: &TenantKey,
        revision: u64,
        now: DateTime<Utc>,
    ) -> Result<Loaded, StoreError> {
        let id = match key {
            TenantKey::Id(id) => id.uuid(),
            TenantKey::Subdomain(label) => {
                Uuid::from_u128(label.as_str().trim_start_matches('t').parse().unwrap())
            }
        };
        if *self.unreadable.lock().unwrap() == Some(id.into()) {
            let cause = Arc::new(DbErr::Custom("a word".into()));
            return Err(StoreError::Unreadable {
                column: "tenants.status",
                key: id.to_string(),
                cause,
            });
        }
        let panicking = *self.panicking.lock().unwrap();
        assert_ne!(panicking, Some(id.into()), "as it was told");
        let tenant = Tenant {
            id: id.into(),
            name: "name".into(),
            subdomain: format!("t{}", id.as_u128()).into(),
            database_schema: "schema".into(),
            status: TenantStatus::Active,
            plan_slug: None,
            own: None,
        };
        let facts = self.exists(id).then(|| Facts::new(tenant, vec![], revision, now));
        Ok(Loaded::read(revision, facts, now))
    }
}

pub fn tenant(number: usize) -> TenantId {
    Uuid::from_u128(number as u128).into()
}

impl LoadTenant for Fake {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        _: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let revision = self.ask(keys).await?;
        Ok(Read::proven(keys.iter().map(|key| self.find(key, revision, now)).collect()))
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        self.rosters.fetch_add(1, Ordering::SeqCst);
        let all = 0..self.tenants.load(Ordering::SeqCst);
        Ok(Read::proven(all.map(|number| TenantKey::Id(tenant(number))).collect()))
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        let number = self.catalogues.fetch_add(1, Ordering::SeqCst);
        self.catalogue_gate.acquire().await.unwrap().forget();
        if *self.failing.lock().unwrap() {
            return Err(StoreError::TimedOut);
        }
        let plan = |slug: &str| Plan { slug: slug.into(), is_active: true, modules: [].into() };
        let plans = self.plan.lock().unwrap().iter().map(|slug| plan(slug)).collect();
        Ok(Read::proven(Catalogue::new(vec![], plans, number as u64, now)))
    }
}

pub fn mk_cache(fake: &Arc<Fake>, capacity: usize) -> Cache<Fake> {
    mk_cache_with(fake, capacity, 1_000)
}

/// One that sends so many statements at the same time.
pub fn mk_cache_with(fake: &Arc<Fake>, capacity: usize, max_loads: usize) -> Cache<Fake> {
    mk_cache_of(fake, CacheSettings { capacity, max_loads, ..settings() })
}

pub fn mk_cache_of(fake: &Arc<Fake>, settings: CacheSettings) -> Cache<Fake> {
    Cache::new(Arc::clone(fake), settings, Handle::current())
}

pub fn settings() -> CacheSettings {
    CacheSettings {
        ttl: TimeDelta::seconds(300),
        negative_ttl: TimeDelta::seconds(10),
        max_stale: TimeDelta::hours(1),
        capacity: 100,
        max_loads: 1_000,
        max_bypass_reads: 4,
        after_change: AfterChange::Reload,
        load_timeout: Duration::from_secs(60),
    }
}

pub async fn yield_until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}
