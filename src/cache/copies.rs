//! Copies of what is held, for whoever keeps it elsewhere.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{Cache, FeedState, LoadError, held::Vouched};
use crate::{
    domain::{Catalogue, Facts},
    store::{LoadTenant, TenantKey, within},
};

/// How long the keys of all tenants may take. A server of the database may allow a statement less.
const LIST_TIME: Duration = Duration::from_secs(30);

/// Facts that are held.
#[derive(Clone, Debug)]
pub struct FactsCopy {
    /// The facts.
    pub facts: Facts,
    /// If they are known to have changed, or not known to be what they were: the last instant at which
    /// they are known to have been so.
    pub outdated_after: Option<DateTime<Utc>>,
}

/// The catalogue that is held.
#[derive(Clone, Debug)]
pub struct CatalogueCopy {
    /// The catalogue.
    pub catalogue: Arc<Catalogue>,
    /// Is it known to have changed?
    pub is_outdated: bool,
}

impl<L: LoadTenant> Cache<L> {
    /// What is held in so many places from this one on, and nothing once there are no more places.
    /// What comes and goes while somebody goes through them may be left out.
    pub fn copies(&self, from: usize, places: usize) -> Option<Vec<FactsCopy>> {
        let copies = self.0.facts.copies(from, places)?;
        let current = Vouched::AsEpoch(self.epoch());
        let copy = |(facts, vouched)| FactsCopy {
            outdated_after: (vouched != current).then(|| self.0.were_so_at(&facts, vouched)),
            facts,
        };
        Some(copies.into_iter().map(copy).collect())
    }

    /// The catalogue, if one is held.
    pub fn copy_of_catalogue(&self) -> Option<CatalogueCopy> {
        let (catalogue, is_outdated) = self.0.catalogue.copy()?;
        Some(CatalogueCopy { catalogue, is_outdated })
    }

    /// The last instant at which facts are known to have been so that were given out as stale.
    pub fn were_so_at(&self, facts: &Facts) -> DateTime<Utc> {
        let look = |held: &Facts, vouched| {
            // Others may be held by now.
            let is_same = held.as_of == facts.as_of && held.revision == facts.revision;
            is_same.then(|| self.0.were_so_at(held, vouched))
        };
        self.0.facts.peek(facts.tenant.id, look).flatten().unwrap_or(facts.as_of)
    }

    /// The last instant at which a catalogue is known to have been so.
    pub fn catalogue_was_so_at(&self, catalogue: &Catalogue) -> DateTime<Utc> {
        let held = self.0.catalogue.copy();
        let is_current =
            held.is_some_and(|(held, is_outdated)| !is_outdated && held.as_of == catalogue.as_of);
        let proven_at = self.0.trust.proven_at().filter(|_| is_current);
        proven_at.map_or(catalogue.as_of, |at| at.max(catalogue.as_of))
    }

    /// The keys of all tenants. Nobody waits for them but who is to hold all, so they may take longer than
    /// a load: of a million tenants they do.
    pub async fn tenant_keys(&self) -> Result<Vec<TenantKey>, LoadError> {
        let read = within(LIST_TIME, self.0.loader.load_keys()).await;
        Ok(read.inspect_err(|error| self.0.failed(error))?.value)
    }

    /// How often something that is held has become different.
    pub fn differences(&self) -> u64 {
        self.0.facts.changes() + self.0.catalogue.changes() + u64::from(self.epoch())
    }

    /// The number of what was held before anything may last have changed.
    pub fn epoch(&self) -> u32 {
        self.0.trust.trusted().epoch
    }

    /// Does the feed vouch, or has it, for what is held and not outdated? Otherwise each thing is only
    /// known to have been so when it was read.
    pub fn are_changes_received(&self) -> bool {
        self.feed() != FeedState::Off && self.0.trust.proven_at().is_some()
    }

    /// When the database last vouched for what is held and not outdated, to this process or to the
    /// one before.
    pub fn rests_on(&self) -> Option<DateTime<Utc>> {
        self.last_proof().or_else(|| self.restored())
    }
}
