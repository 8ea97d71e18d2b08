//! What has changed, gathered for all who follow.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use prost::bytes::Bytes;

use crate::{
    cache::{ChangeOutcome, Relayed, RelayedFeed},
    domain::TenantId,
    store::Change,
};

/// Tenants whose facts are to follow, at most. With more, some are only told to have changed, and read
/// when they are asked for.
const MAX_AWAITED: usize = 1 << 16;

/// How far a follower has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Position {
    /// The instance that gave it.
    pub(crate) instance: u64,
    /// The number of the last batch.
    pub(crate) sequence: u64,
    /// How far the log of changes had been read by then, in words of the database.
    pub(crate) mark: Arc<[u8]>,
}

/// What has changed.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Changes {
    /// Anything may have.
    pub(in crate::service) reset: bool,
    /// The set of tenants has, or a subdomain.
    pub(in crate::service) directory: bool,
    /// The modules and plans have.
    pub(in crate::service) catalogue: bool,
    /// The facts of these tenants have.
    pub(in crate::service) tenants: HashSet<TenantId>,
    /// What has become of tenants, after all of that.
    pub(in crate::service) outcomes: HashMap<TenantId, ChangeOutcome>,
}

/// Changes that are sent together, and how far one is that knows them.
#[derive(Debug)]
pub(in crate::service) struct Batch {
    pub(in crate::service) position: Position,
    pub(in crate::service) changes: Changes,
    /// The same as a message, once somebody has needed it.
    pub(in crate::service) encoded: OnceLock<Bytes>,
}

/// What was learned and is not in a batch yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) changes: Changes,
    pub(super) mark: Option<Arc<[u8]>>,
    pub(super) feed: Option<RelayedFeed>,
    /// The tenants that have changed and whose facts were not sent since.
    awaited: HashSet<TenantId>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        let Self { reset, directory, catalogue, tenants, outcomes } = self;
        !reset && !directory && !catalogue && tenants.is_empty() && outcomes.is_empty()
    }

    /// How many tenants they are of.
    pub(super) fn len(&self) -> usize {
        self.tenants.len() + self.outcomes.len()
    }

    /// Anything may have changed, also the set of tenants, the modules and the plans.
    pub(super) fn reset() -> Self {
        Self { reset: true, ..Self::default() }
    }

    /// Of changes whose outcomes nobody sends.
    pub(super) fn of(changes: &[Change]) -> Self {
        let mut all = Self::default();
        for change in changes {
            all.add(*change);
        }
        all.outcomes = all.tenants.iter().map(|id| (*id, ChangeOutcome::Unread(*id))).collect();
        all
    }

    fn add(&mut self, change: Change) {
        match change {
            Change::Tenant(id) => {
                self.outcomes.remove(&id);
                self.tenants.insert(id);
            }
            Change::Tenants => *self = Self::reset(),
            Change::Directory => self.directory = true,
            Change::Catalogue => self.catalogue = true,
        }
    }

    /// Those that somebody may know who may know of these tenants only.
    pub(in crate::service) fn of_tenants(&self, may: impl Fn(TenantId) -> bool) -> Self {
        let outcomes = self.outcomes.iter().filter(|(id, _)| may(**id));
        Self {
            tenants: self.tenants.iter().copied().filter(|id| may(*id)).collect(),
            outcomes: outcomes.map(|(id, outcome)| (*id, outcome.clone())).collect(),
            ..*self
        }
    }
}

impl Gathered {
    /// Adds what was learned; `None`: some of it was lost.
    pub(super) fn add(&mut self, relayed: Option<Relayed>) {
        match relayed {
            None => self.add_change(Change::Tenants),
            Some(Relayed::Change(change)) => self.add_change(change),
            Some(Relayed::Outcome(outcome)) => self.add_outcome(outcome),
            Some(Relayed::Mark(mark)) => self.mark = Some(mark),
            Some(Relayed::Feed(feed)) => self.feed = Some(feed),
        }
    }

    fn add_outcome(&mut self, outcome: ChangeOutcome) {
        let id = outcome.tenant();
        let is_awaited = match outcome {
            // Perhaps it is read later.
            ChangeOutcome::Unread(_) => self.awaited.contains(&id),
            ChangeOutcome::Facts(_) | ChangeOutcome::Gone(..) => self.awaited.remove(&id),
        };
        if is_awaited {
            self.changes.outcomes.insert(id, outcome);
        }
    }

    fn add_change(&mut self, change: Change) {
        self.changes.add(change);
        match change {
            Change::Tenant(id) if self.awaited.len() < MAX_AWAITED => {
                self.awaited.insert(id);
            }
            Change::Tenant(id) => {
                self.changes.outcomes.insert(id, ChangeOutcome::Unread(id));
            }
            Change::Tenants => self.awaited.clear(),
            Change::Directory | Change::Catalogue => {}
        }
    }
}
