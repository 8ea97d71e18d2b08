//! The facts of tenants that exist, by id, at most so many of them.
//!
//! This is what every request reads, mostly at random, so what counts is how much memory a look
//! touches: a look decides under the lock of one shard, and neither counts a reference nor moves
//! anything in a list of the least recently used. moka and quick_cache do, and over many tenants a
//! look into them takes longer (`cargo bench --bench lookup`).

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use super::ring::Ring;
use crate::domain::{Facts, TenantId};

/// The epoch of facts that are known to have changed.
const OUTDATED: u32 = 0;

/// Facts by tenant. Room is made by the second-chance rule: see [`Ring`].
#[derive(Debug)]
pub(super) struct HeldFacts {
    by_id: DashMap<TenantId, Held, FxBuildHasher>,
    /// Which tenant a subdomain belongs to, by its hash. Two with one hash cost a load each time,
    /// and no more: whoever looks compares the subdomain itself.
    by_subdomain: DashMap<u64, TenantId, FxBuildHasher>,
    hasher: RandomState,
    /// Whoever adds or removes holds it.
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Held {
    facts: Facts,
    /// The epoch of [`Trust`](super::trust::Trust) in which they were read, or [`OUTDATED`].
    epoch: AtomicU32,
    /// Its place in the ring.
    place: u32,
    /// Written only when it changes: a write would cost more than the whole look.
    asked_for: AtomicBool,
}

impl HeldFacts {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_id: DashMap::default(),
            by_subdomain: DashMap::default(),
            hasher: RandomState::new(),
            ring: Mutex::new(Ring::new(capacity)),
        }
    }

    /// How many tenants are held.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Looks at the facts of a tenant in place, and the epoch they belong to. `look` must be quick:
    /// a shard is locked meanwhile.
    pub(super) fn peek<R>(&self, id: TenantId, look: impl FnOnce(&Facts, u32) -> R) -> Option<R> {
        let held = self.by_id.get(&id)?;
        if !held.asked_for.load(Ordering::Relaxed) {
            held.asked_for.store(true, Ordering::Relaxed);
        }
        Some(look(&held.facts, held.epoch.load(Ordering::Relaxed)))
    }

    /// The tenant that a subdomain may belong to.
    pub(super) fn by_subdomain(&self, subdomain: &str) -> Option<TenantId> {
        self.by_subdomain.get(&self.hasher.hash_one(subdomain)).map(|id| *id)
    }

    /// Puts facts in place, unless newer ones are there.
    pub(super) fn insert(&self, facts: Facts, epoch: u32) {
        let mut ring = self.ring.lock();
        let id = facts.tenant.id;
        let Some(mut held) = self.by_id.get_mut(&id) else {
            return self.add(&mut ring, facts, epoch);
        };
        if super::is_just_after(held.facts.as_of, facts.as_of) {
            return;
        }
        held.epoch.store(epoch, Ordering::Relaxed);
        if held.facts.says_the_same_as(&facts) {
            // What is held stays where it is in memory: others may hold it too.
            held.facts.as_of = facts.as_of;
            return;
        }
        if held.facts.tenant.subdomain != facts.tenant.subdomain {
            self.forget_subdomain(&held.facts);
            self.by_subdomain.insert(self.hasher.hash_one(&*facts.tenant.subdomain), id);
        }
        held.facts = facts;
    }

    /// Puts facts in place that are known to have changed, unless others are there.
    pub(super) fn insert_outdated(&self, facts: Facts) {
        let mut ring = self.ring.lock();
        if !self.by_id.contains_key(&facts.tenant.id) {
            self.add(&mut ring, facts, OUTDATED);
        }
    }

    /// Notes that facts were read again and are what they were. `false`: they are not, or are
    /// believed no longer.
    pub(super) fn prove(&self, found: &Facts, epoch: u32) -> bool {
        let Some(mut held) = self.by_id.get_mut(&found.tenant.id) else { return false };
        let is_proven =
            held.epoch.load(Ordering::Relaxed) == epoch && held.facts.says_the_same_as(found);
        if is_proven {
            held.facts.as_of = held.facts.as_of.max(found.as_of);
        }
        is_proven
    }

    /// Is a tenant held, whatever has become of it?
    pub(super) fn holds(&self, id: TenantId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Do a tenant's facts belong to this epoch?
    pub(super) fn is_of(&self, id: TenantId, epoch: u32) -> bool {
        self.by_id.get(&id).is_some_and(|held| held.epoch.load(Ordering::Relaxed) == epoch)
    }

    /// Marks a tenant's facts as known to have changed. They stay, for the case that the database
    /// cannot be asked.
    pub(super) fn outdate(&self, id: TenantId) {
        if let Some(held) = self.by_id.get(&id) {
            held.epoch.store(OUTDATED, Ordering::Relaxed);
        }
    }

    /// Lets go of a tenant, if its facts are such.
    pub(super) fn remove_if(&self, id: TenantId, such: impl FnOnce(&Facts) -> bool) {
        let mut ring = self.ring.lock();
        if let Some((_, held)) = self.by_id.remove_if(&id, |_, held| such(&held.facts)) {
            self.forget_subdomain(&held.facts);
            ring.vacate(held.place);
        }
    }

    /// No tenant has this subdomain any more.
    pub(super) fn no_longer_has(&self, subdomain: &str) {
        self.by_subdomain.remove(&self.hasher.hash_one(subdomain));
    }

    /// How many places there are to go through, be they empty.
    pub(super) fn places(&self) -> usize {
        self.ring.lock().len()
    }

    /// The tenants in the next so many places, round and round.
    pub(super) fn next(&self, places: usize) -> Vec<TenantId> {
        self.ring.lock().next(places)
    }

    /// When the facts were read that wait longest to be read again, as far as the next few places
    /// tell.
    pub(super) fn oldest(&self, places: usize) -> Option<DateTime<Utc>> {
        let next = self.ring.lock().peek(places);
        next.iter().filter_map(|id| self.by_id.get(id).map(|held| held.facts.as_of)).min()
    }

    fn add(&self, ring: &mut Ring, facts: Facts, epoch: u32) {
        let id = facts.tenant.id;
        let spare = |id: &TenantId| {
            self.by_id.get(id).is_some_and(|held| held.asked_for.swap(false, Ordering::Relaxed))
        };
        let (place, evicted) = ring.take_place(id, spare);
        if let Some((_, held)) = evicted.and_then(|evicted| self.by_id.remove(&evicted)) {
            self.forget_subdomain(&held.facts);
        }
        self.by_subdomain.insert(self.hasher.hash_one(&*facts.tenant.subdomain), id);
        let held = Held { facts, epoch: epoch.into(), place, asked_for: AtomicBool::new(false) };
        self.by_id.insert(id, held);
    }

    /// Another tenant may have the subdomain by now.
    fn forget_subdomain(&self, facts: &Facts) {
        let hash = self.hasher.hash_one(&*facts.tenant.subdomain);
        self.by_subdomain.remove_if(&hash, |_, id| *id == facts.tenant.id);
    }
}
