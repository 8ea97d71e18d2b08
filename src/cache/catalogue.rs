//! The catalogue, held once for all.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Cache, FeedState, LoadError, flight::Flight, is_within};
use crate::{
    domain::{Catalogue, Facts, TenantId},
    store::LoadTenant,
};

/// The catalogue that was read last.
#[derive(Debug, Default)]
pub(super) struct HeldCatalogue {
    held: ArcSwapOption<VersionedCatalogue>,
    /// How often it has changed.
    changes: AtomicU64,
    /// When it was last queried without success, or is being queried although no change is known.
    asked_at: Mutex<Option<DateTime<Utc>>>,
    load: Arc<Flight<Arc<Catalogue>>>,
    /// It was not what it should have been when it was read again.
    difference: Mutex<Option<Difference>>,
}

/// A catalogue that was read again and said something else, although no change was known.
#[derive(Clone, Copy, Debug)]
struct Difference {
    /// How often it had changed by then.
    changes: u64,
    found_at: DateTime<Utc>,
}

/// A catalogue, and the number of changes that it is sure to reflect; `None`: nobody vouches for it.
#[derive(Debug)]
struct VersionedCatalogue {
    catalogue: Arc<Catalogue>,
    changes: Option<u64>,
}

impl HeldCatalogue {
    fn asked_within(&self, age: TimeDelta, now: DateTime<Utc>) -> bool {
        let asked_at = *self.asked_at.lock();
        asked_at.is_some_and(|at| is_within(age, at, now))
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Marks it as changed. What is held stays, in case the database cannot be reached; a load that
    /// is under way may have missed the change.
    pub(super) fn outdate(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        *self.asked_at.lock() = None;
        self.load.forget();
    }

    /// What is held, outdated or not.
    fn held(&self) -> Option<Arc<Catalogue>> {
        self.held.load().as_deref().map(|read| Arc::clone(&read.catalogue))
    }

    /// What is held, unless it has changed since or is older than `age`; `None`: however old.
    fn current(&self, age: Option<TimeDelta>, now: DateTime<Utc>) -> Option<Arc<Catalogue>> {
        self.current_of(self.held.load().as_deref(), age, now).map(Arc::clone)
    }

    /// The same of what was held a moment ago.
    fn current_of<'a>(
        &self,
        held: Option<&'a VersionedCatalogue>,
        age: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Option<&'a Arc<Catalogue>> {
        let current = held.filter(|read| read.changes == Some(self.changes()))?;
        let is_young = age.is_none_or(|age| is_within(age, current.catalogue.as_of, now));
        is_young.then_some(&current.catalogue)
    }

    /// Notes that a catalogue which was read after this number of changes says something else than
    /// the one that is held, which was read after as many.
    fn compare(&self, catalogue: &Catalogue, changes: u64) {
        let held = self.held.load();
        let same = held.as_deref().filter(|read| read.changes == Some(changes));
        if same.is_some_and(|read| !read.catalogue.says_the_same_as(catalogue)) {
            let difference = Difference { changes, found_at: catalogue.as_of };
            self.difference.lock().get_or_insert(difference);
        }
    }

    /// Has it differed, was that found by then, and has no change been heard of since?
    pub(super) fn has_diverged(&self, found_by: DateTime<Utc>) -> bool {
        let mut difference = self.difference.lock();
        let judged = difference.take_if(|difference| difference.found_at <= found_by);
        judged.is_some_and(|difference| difference.changes == self.changes())
    }

    /// Puts a catalogue in place that was read once, before anything is known of changes.
    /// `is_current`: it counts as what the database says, as far as is known.
    pub(super) fn restore(&self, catalogue: Catalogue, is_current: bool, now: DateTime<Utc>) {
        let changes = self.changes();
        self.place(&Arc::new(catalogue), is_current.then_some(changes));
        // Nobody has to wait for a database that may hang before the first answer.
        *self.asked_at.lock() = is_current.then_some(now);
    }

    /// What is held, and whether it has changed since.
    pub(super) fn copy(&self) -> Option<(Arc<Catalogue>, bool)> {
        let held = self.held.load_full()?;
        Some((Arc::clone(&held.catalogue), held.changes != Some(self.changes())))
    }

    /// Keeps a catalogue that was read after this number of changes, unless a later load was
    /// quicker.
    fn place(&self, catalogue: &Arc<Catalogue>, changes: Option<u64>) {
        let read = Arc::new(VersionedCatalogue { catalogue: Arc::clone(catalogue), changes });
        self.held.rcu(|held| match held {
            Some(later) if later.changes > changes => Some(Arc::clone(later)),
            _ => Some(Arc::clone(&read)),
        });
    }

    /// Begins a load. If nothing has changed, everybody else is answered from what is held
    /// meanwhile; otherwise they wait for the load, because they may have facts that only the new
    /// catalogue explains.
    fn begin(&self, now: DateTime<Utc>) -> u64 {
        let changes = self.changes();
        if self.held.load().as_deref().is_some_and(|read| read.changes == Some(changes)) {
            *self.asked_at.lock() = Some(now);
        }
        changes
    }

    /// The database is heard from again, so that what nobody vouched for can be read anew.
    pub(super) fn ask_again(&self) {
        *self.asked_at.lock() = None;
    }

    /// Records that a load which began after this number of changes has failed, or that nobody
    /// vouches for it.
    fn fail(&self, changes: u64, now: DateTime<Utc>) {
        let mut asked_at = self.asked_at.lock();
        if self.changes() == changes {
            *asked_at = Some(now);
        }
    }
}

impl<L: LoadTenant> Cache<L> {
    /// The catalogue. While changes are received, the one that is held, however old; otherwise one
    /// no older than the time to live. While the database is unreachable, the one that is held.
    pub async fn catalogue(&self, now: DateTime<Utc>) -> Result<Arc<Catalogue>, LoadError> {
        self.catalogue_within(self.time_to_live(), now).await
    }

    /// Reads the catalogue again if it is this old, so that nobody has to wait for that later. A
    /// catalogue that nobody has asked for is not read.
    pub async fn refresh_catalogue(&self, age: TimeDelta, now: DateTime<Utc>) {
        if self.0.catalogue.held().is_some() && !self.0.breaker.is_open() {
            // A failure has been logged, and what is held stays.
            drop(self.catalogue_within(Some(age), now).await);
        }
    }

    /// The catalogue for a question about one module. An unknown code causes it to be read again,
    /// at most once per `negative_ttl`, so that a new module is recognized soon.
    pub async fn catalogue_for(
        &self,
        module: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<Catalogue>, LoadError> {
        self.catalogue_that(|catalogue| catalogue.module(module).is_some(), now).await
    }

    /// The catalogue for a question that it can answer only if it knows something. If it does not, it
    /// is read again, at most once per `negative_ttl`.
    pub async fn catalogue_that(
        &self,
        knows: impl Fn(&Catalogue) -> bool,
        now: DateTime<Utc>,
    ) -> Result<Arc<Catalogue>, LoadError> {
        let catalogue = self.catalogue(now).await?;
        if knows(&catalogue) {
            return Ok(catalogue);
        }
        self.catalogue_within(Some(self.0.settings.negative_ttl), now).await
    }

    /// Is this the catalogue that is held, and is no change of it known?
    pub fn is_current(&self, catalogue: &Catalogue) -> bool {
        let is_it = |held: &VersionedCatalogue| {
            held.catalogue.as_of == catalogue.as_of
                && held.changes == Some(self.0.catalogue.changes())
        };
        self.feed() != FeedState::Suspect
            && self.0.catalogue.held.load().as_deref().is_some_and(is_it)
    }

    /// The catalogue, if it is held and current.
    pub fn current_catalogue(&self, now: DateTime<Utc>) -> Option<Arc<Catalogue>> {
        self.0.catalogue.current(self.time_to_live(), now)
    }

    /// Looks at what is held of a tenant, as [`Cache::peek`] does, and at the catalogue. Neither is
    /// shared with whoever looks: counting who has it would cost more than the look.
    pub fn peek_with_catalogue<R>(
        &self,
        id: TenantId,
        now: DateTime<Utc>,
        look: impl FnOnce(&Facts, &Catalogue) -> Option<R>,
    ) -> Option<R> {
        let held = self.0.catalogue.held.load();
        let age = self.time_to_live();
        let catalogue = self.0.catalogue.current_of(held.as_deref(), age, now)?;
        self.peek(id, now, |facts| look(facts, catalogue))
    }

    async fn catalogue_within(
        &self,
        age: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Arc<Catalogue>, LoadError> {
        if let Some(current) = self.0.catalogue.current(age, now) {
            return Ok(current);
        }
        // Boxed, as all loads are, so that the futures of answers that need none stay small.
        let load = || Box::pin(self.load_catalogue(age, now));
        match self.0.catalogue.held() {
            // It was queried just now, without success: not everyone has to wait for the next
            // attempt.
            Some(held) if self.0.catalogue.asked_within(self.0.settings.negative_ttl, now) => {
                Ok(held)
            }
            Some(held) => Ok(load().await.unwrap_or(held)),
            None => load().await,
        }
    }

    async fn load_catalogue(
        &self,
        age: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Arc<Catalogue>, LoadError> {
        let held = || self.0.catalogue.current(age, now);
        let inner = Arc::clone(&self.0);
        let load = async move {
            let (changes, sent) = (inner.catalogue.begin(now), inner.send(now));
            let loaded = inner.in_time(inner.loader.load_catalogue(now)).await;
            let loaded = loaded.and_then(|read| inner.if_bearable(read, now));
            inner.queue.note_other(&loaded);
            let is_sure = loaded.as_ref().is_ok_and(|read| inner.vouches_for(sent.answered(read)));
            if !is_sure {
                inner.catalogue.fail(changes, now);
            }
            let catalogue = Arc::new(loaded?.value);
            if is_sure && inner.trust.trusted().feed == FeedState::Live {
                inner.catalogue.compare(&catalogue, changes);
            }
            inner.catalogue.place(&catalogue, is_sure.then_some(changes));
            Ok(catalogue)
        };
        self.0.catalogue.load.join(&self.0.runtime, held, load).await
    }
}
