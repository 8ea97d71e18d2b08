//! Facts by tenant: held, loaded once however many wait, forgotten when they change, and served
//! stale in an outage.
//!
//! Three kinds of things are held, each with a bound of its own, so that a flood of one cannot push
//! out another:
//! - the facts of tenants that exist, by id and by subdomain, which every request asks for: see
//!   `held`;
//! - the tenants that do not exist, few and short: in moka, which keeps its bounds and lets go of
//!   what has expired by itself;
//! - the catalogue, once.
//!
//! What callers wait for comes first: see `queue`. What nobody waits for is read again at a pace of
//! its own: see `revalidate`.

mod ahead;
mod breaker;
mod busy;
mod bypass;
mod catalogue;
mod change;
mod change_clock;
mod copies;
mod error;
mod event;
mod fair_limiter;
mod flight;
mod health;
mod held;
mod known;
mod known_tenants;
mod load;
mod load_health;
mod lookup;
mod pace;
mod queue;
mod receive;
mod relay;
mod restored;
mod revalidate;
mod ring;
mod settings;
mod standing;
mod tally;
mod trust;
mod watchers;

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::runtime::Handle;

pub use self::{
    ahead::{AheadOutcome, HeldAhead, PassedOver},
    copies::{CatalogueCopy, FactsCopy},
    error::LoadError,
    event::Event,
    fair_limiter::Requester,
    health::CacheHealth,
    known::Known,
    load_health::FailingLoads,
    pace::{Budget, Pace},
    queue::MAX_BATCH,
    relay::{ChangeOutcome, Relayed, RelayedFeed, Relaying},
    restored::ReadBefore,
    revalidate::RevalidationStep,
    settings::{AfterChange, CacheSettings},
    tally::Tally,
    trust::FeedState,
    watchers::{Events, Received},
};
use self::{
    breaker::Breaker,
    catalogue::HeldCatalogue,
    change_clock::ChangeClock,
    fair_limiter::{FairLimiter, LimiterSettings},
    held::HeldFacts,
    known::Absent,
    known_tenants::KnownTenants,
    load_health::LoadHealth,
    lookup::{Lookup, is_within},
    queue::{LoadQueue, MAX_WAIT, Priority},
    relay::Relay,
    restored::Restored,
    revalidate::Differences,
    trust::Trust,
    watchers::Watchers,
};
use crate::{
    domain::{Facts, Label, TenantId},
    observability::log_limiter::LogLimiter,
    store::{LoadTenant, TenantKey},
};

/// Tenants that do not exist, at most. More of them only means that the oldest are asked for again.
const MAX_UNKNOWN: u64 = 10_000;

/// Readings past the cache that wait for their turn at most.
const MAX_WAITING_BYPASS_READS: usize = 1_000;

/// Of those, that one caller has asked for.
const MAX_WAITING_BYPASS_READS_EACH: usize = 100;

/// The facts of all tenants that were asked for lately. Clones share what is held.
#[derive(Debug)]
pub struct Cache<L>(Arc<Inner<L>>);

impl<L> Clone for Cache<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Was one load begun shortly after another? No load takes a minute, and a clock that was set back
/// tells nothing.
fn is_just_after(later: DateTime<Utc>, earlier: DateTime<Utc>) -> bool {
    earlier < later && later - earlier < TimeDelta::minutes(1)
}

#[derive(Debug)]
struct Inner<L> {
    loader: Arc<L>,
    /// Loads run here, so that a caller that gives up does not end the load for the others.
    runtime: Handle,
    settings: CacheSettings,
    facts: HeldFacts,
    unknown: moka::sync::Cache<TenantKey, Absent>,
    known_tenants: KnownTenants,
    catalogue: HeldCatalogue,
    breaker: Arc<Breaker>,
    queue: Arc<LoadQueue>,
    load_health: LoadHealth,
    /// Turns of those who read past the cache.
    bypass: FairLimiter,
    /// What was not what it should have been when it was read again.
    differences: Differences,
    log_limiter: LogLimiter,
    /// Held while what was loaded is put in place and while news is taken in, so that of a load
    /// and the news that came during it the news wins, and of two loads the one that began
    /// later.
    placing: Mutex<()>,
    trust: Trust,
    /// What another process held before, if that was read.
    restored: OnceLock<Restored>,
    change_clock: ChangeClock,
    watchers: Watchers,
    relay: Relay,
    tally: Tally,
}

impl<L: LoadTenant> Cache<L> {
    /// An empty cache over a database, whose loads run on `runtime`. It believes what it holds for
    /// the time to live, until a feed of changes is connected to it.
    pub fn new(loader: Arc<L>, settings: CacheSettings, runtime: Handle) -> Self {
        let unknown = moka::sync::Cache::builder()
            .max_capacity(MAX_UNKNOWN)
            .time_to_live(settings.negative_ttl.to_std().unwrap_or_default())
            .build();
        let breaker = Arc::<Breaker>::default();
        Self(Arc::new(Inner {
            loader,
            runtime,
            settings,
            facts: HeldFacts::new(settings.capacity),
            unknown,
            known_tenants: KnownTenants::default(),
            catalogue: HeldCatalogue::default(),
            queue: Arc::new(LoadQueue::new(settings.max_loads, Arc::clone(&breaker))),
            load_health: LoadHealth::default(),
            breaker,
            bypass: FairLimiter::new(LimiterSettings {
                turns: settings.max_bypass_reads,
                waiting: MAX_WAITING_BYPASS_READS,
                waiting_each: MAX_WAITING_BYPASS_READS_EACH,
                patience: MAX_WAIT,
            }),
            differences: Differences::default(),
            log_limiter: LogLimiter::default(),
            placing: Mutex::new(()),
            trust: Trust::new(),
            restored: OnceLock::new(),
            change_clock: ChangeClock::new(),
            watchers: Watchers::new(),
            relay: Relay::default(),
            tally: Tally::default(),
        }))
    }

    /// How the cache was set up.
    pub fn settings(&self) -> &CacheSettings {
        &self.0.settings
    }

    /// For how long after they were read facts are believed without asking again. `None`: every
    /// change is heard, so their age says nothing.
    pub fn time_to_live(&self) -> Option<TimeDelta> {
        (self.feed() != FeedState::Live).then_some(self.0.settings.ttl)
    }

    /// Until when what was so then may be served although the database cannot be asked: for
    /// `--max-stale`.
    pub fn bearable_until(&self, was_so_at: DateTime<Utc>) -> DateTime<Utc> {
        let max_stale = self.settings().max_stale;
        was_so_at.checked_add_signed(max_stale).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// What it has done.
    pub fn tally(&self) -> &Tally {
        &self.0.tally
    }

    /// Tenants held.
    pub fn len(&self) -> usize {
        self.0.facts.len()
    }

    /// Is this tenant held, outdated or not?
    pub fn holds(&self, id: TenantId) -> bool {
        self.0.facts.holds(id)
    }

    /// Is nothing held?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads that wait for their turn.
    pub fn waiting_loads(&self) -> usize {
        self.0.queue.waiting()
    }

    /// Looks, in place, at the facts that are held of a tenant and beyond doubt. `look` gives
    /// `None` where they do not answer it. This is the hot path.
    pub fn peek<R>(
        &self,
        id: TenantId,
        now: DateTime<Utc>,
        look: impl FnOnce(&Facts) -> Option<R>,
    ) -> Option<R> {
        let seen = self.0.peek(id, now, look)?;
        self.0.tally.hits.add();
        Some(seen)
    }

    /// What is held of a tenant, were it asked for now; `None` where it would be loaded first.
    pub fn held(&self, id: TenantId, now: DateTime<Utc>) -> Option<Known> {
        match self.0.lookup(id, now) {
            Lookup::Fresh(known) => Some(known),
            Lookup::Suspect(..) | Lookup::Miss => None,
        }
    }

    /// What is known of a tenant: what is held, or else what the database says, or, where it cannot
    /// be asked, what is held all the same.
    pub async fn get(&self, id: TenantId, now: DateTime<Utc>) -> Result<Known, LoadError> {
        self.answer(self.0.lookup(id, now), || TenantKey::Id(id), now).await
    }

    /// The same for the tenant that a subdomain belongs to.
    pub async fn get_by_label(
        &self,
        label: &Label,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        self.answer(self.0.lookup_by_label(label, now), || TenantKey::Subdomain(label.clone()), now)
            .await
    }

    /// The same for either key.
    pub async fn get_by_key(
        &self,
        key: &TenantKey,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        self.answer(self.0.lookup_by_key(key, now), || key.clone(), now).await
    }

    async fn answer(
        &self,
        look: Lookup,
        key: impl FnOnce() -> TenantKey,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        match self.0.counted(look) {
            Lookup::Fresh(known) => Ok(known),
            // Boxed, so that the future of an answer that is held stays small: it is moved several
            // times.
            Lookup::Suspect(known, was_so_at) => Box::pin(self.load(key(), Priority::Caller, now))
                .await
                .or_else(|error| self.0.make_do(known, was_so_at, error, now)),
            Lookup::Miss => Box::pin(self.load(key(), Priority::Caller, now)).await,
        }
    }

    /// What is known of a tenant, at least as fresh as a revision, which must be above 0.
    pub async fn get_at_least(
        &self,
        id: TenantId,
        revision: u64,
        requester: Requester,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        let tally = self.tally();
        if self.feed() == FeedState::Off {
            // Nobody counts: the database itself is as fresh as it gets.
            tally.misses.add();
            return self.read_bypassing(id, revision, requester, now).await;
        }
        if let Some(known) =
            self.held(id, now).filter(|known| !known.stale && known.revision >= revision)
        {
            tally.hits.add();
            return Ok(known);
        }
        tally.misses.add();
        let known = self.read_bypassing(id, revision, requester, now).await?;
        if known.revision >= revision { Ok(known) } else { Err(LoadError::NotFreshEnough) }
    }
}
