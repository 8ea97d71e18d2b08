//! The catalogue, held once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Cache, flight::Flights, is_within};
use crate::{
    domain::Catalogue,
    store::{LoadTenant, StoreError},
};

/// The catalogue that was read last.
#[derive(Debug, Default)]
pub(super) struct HeldCatalogue {
    held: ArcSwapOption<Catalogue>,
    /// It has changed since it was read.
    outdated: AtomicBool,
    /// When it was last asked for, with or without success.
    asked_at: Mutex<Option<DateTime<Utc>>>,
    load: Arc<Flights<(), Result<Arc<Catalogue>, StoreError>>>,
}

impl HeldCatalogue {
    fn asked_within(&self, age: TimeDelta, now: DateTime<Utc>) -> bool {
        let asked_at = *self.asked_at.lock();
        asked_at.is_some_and(|at| is_within(age, at, now))
    }

    /// It has changed. What is held stays, for the case that the database cannot be asked; a load that is under way
    /// may have missed the change.
    pub(super) fn outdate(&self) {
        self.outdated.store(true, Ordering::SeqCst);
        *self.asked_at.lock() = None;
        self.load.forget(|()| true);
    }

    /// What is held, unless it has changed since, or is older than that.
    fn current(&self, age: TimeDelta, now: DateTime<Utc>) -> Option<Arc<Catalogue>> {
        let held = self.held.load_full().filter(|held| is_within(age, held.as_of, now));
        held.filter(|_| !self.outdated.load(Ordering::SeqCst))
    }
}

impl<L: LoadTenant> Cache<L> {
    /// The catalogue, no older than the time to live. With the database away, the one that is held.
    pub async fn catalogue(&self, now: DateTime<Utc>) -> Result<Arc<Catalogue>, StoreError> {
        self.catalogue_within(self.0.settings.ttl, now).await
    }

    /// The catalogue for a question about one module. A code that is unknown reads it again, at most once per
    /// `negative_ttl`, so that a new module is not unknown for long.
    pub async fn catalogue_for(&self, module: &str, now: DateTime<Utc>) -> Result<Arc<Catalogue>, StoreError> {
        let catalogue = self.catalogue(now).await?;
        if catalogue.module(module).is_some() {
            return Ok(catalogue);
        }
        self.catalogue_within(self.0.settings.negative_ttl, now).await
    }

    async fn catalogue_within(&self, age: TimeDelta, now: DateTime<Utc>) -> Result<Arc<Catalogue>, StoreError> {
        if let Some(current) = self.0.catalogue.current(age, now) {
            return Ok(current);
        }
        match self.0.catalogue.held.load_full() {
            // It was asked for just now, in vain: not everyone has to wait for the next attempt.
            Some(held) if self.0.catalogue.asked_within(self.0.settings.negative_ttl, now) => Ok(held),
            Some(held) => Ok(self.load_catalogue(age, now).await.unwrap_or(held)),
            None => self.load_catalogue(age, now).await,
        }
    }

    async fn load_catalogue(&self, age: TimeDelta, now: DateTime<Utc>) -> Result<Arc<Catalogue>, StoreError> {
        let held = || self.0.catalogue.current(age, now);
        let inner = Arc::clone(&self.0);
        let load = async move {
            *inner.catalogue.asked_at.lock() = Some(now);
            // Cleared first: a change that comes while it is read outdates it again.
            let was_outdated = inner.catalogue.outdated.swap(false, Ordering::SeqCst);
            let loaded = inner.in_time(inner.loader.load_catalogue(now)).await;
            if loaded.is_err() && was_outdated {
                inner.catalogue.outdated.store(true, Ordering::SeqCst);
            }
            let catalogue = Arc::new(loaded?);
            inner.catalogue.held.store(Some(Arc::clone(&catalogue)));
            Ok(catalogue)
        };
        self.0.catalogue.load.join(&self.0.runtime, (), held, load).await
    }
}
