//! The facts of tenants that exist, by id, at most so many of them.
//!
//! This is what every request reads, mostly at random, so what counts is how much memory a look touches: a look decides
//! under the lock of one shard, and neither counts a reference nor moves anything in a list of the least recently used.
//! moka and quick_cache do, and over many tenants a look into them takes longer (`cargo bench --bench lookup`).

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use dashmap::{DashMap, Entry};
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::domain::{Facts, TenantId};

/// An eviction passes over this many tenants that were asked for, and then takes the next all the same.
const MOST_PASSED_OVER: usize = 64;

/// The epoch of facts that are known to have changed.
const OUTDATED: u32 = 0;

/// Facts by tenant. Room is made by the second-chance rule: the tenant that came first goes, unless it was asked for
/// since it came or was last passed over.
#[derive(Debug)]
pub(super) struct HeldFacts {
    capacity: usize,
    by_id: DashMap<TenantId, Held, FxBuildHasher>,
    /// Ids in the order in which they came, at most `capacity` of them. One that is held no longer is dropped when its
    /// turn comes.
    order: Mutex<VecDeque<TenantId>>,
}

#[derive(Debug)]
struct Held {
    facts: Facts,
    /// The epoch of [`Trust`](super::trust::Trust) in which they were read, or [`OUTDATED`].
    epoch: AtomicU32,
    /// Written only when it changes: a write would cost more than the whole look.
    asked_for: AtomicBool,
}

impl Held {
    fn new(facts: Facts, epoch: u32) -> Self {
        Self { facts, epoch: epoch.into(), asked_for: AtomicBool::new(false) }
    }
}

impl HeldFacts {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, by_id: DashMap::default(), order: Mutex::default() }
    }

    /// How many tenants are held.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Looks at the facts of a tenant in place, and the epoch they belong to. `look` must be quick: a shard is locked
    /// meanwhile.
    pub(super) fn glance<R>(&self, id: TenantId, look: impl FnOnce(&Facts, u32) -> R) -> Option<R> {
        let held = self.by_id.get(&id)?;
        if !held.asked_for.load(Ordering::Relaxed) {
            held.asked_for.store(true, Ordering::Relaxed);
        }
        Some(look(&held.facts, held.epoch.load(Ordering::Relaxed)))
    }

    /// Puts facts in place, unless newer ones are there.
    pub(super) fn insert(&self, facts: Facts, epoch: u32) {
        let id = facts.tenant.id;
        match self.by_id.entry(id) {
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                if !super::is_just_after(held.facts.as_of, facts.as_of) {
                    held.facts = facts;
                    held.epoch.store(epoch, Ordering::Relaxed);
                }
                return;
            }
            Entry::Vacant(vacant) => _ = vacant.insert(Held::new(facts, epoch)),
        }
        self.make_room_after(id);
    }

    /// Puts facts in place that are known to have changed, unless others are there.
    pub(super) fn insert_outdated(&self, facts: Facts) {
        let id = facts.tenant.id;
        if let Entry::Vacant(vacant) = self.by_id.entry(id) {
            drop(vacant.insert(Held::new(facts, OUTDATED)));
            self.make_room_after(id);
        }
    }

    /// Marks a tenant's facts as known to have changed. They stay, for the case that the database cannot be asked.
    pub(super) fn outdate(&self, id: TenantId) {
        if let Some(held) = self.by_id.get(&id) {
            held.epoch.store(OUTDATED, Ordering::Relaxed);
        }
    }

    /// Lets go of a tenant, if its facts are such.
    pub(super) fn remove_if(&self, id: TenantId, such: impl FnOnce(&Facts) -> bool) {
        self.by_id.remove_if(&id, |_, held| such(&held.facts));
    }

    /// Some tenants that are held, a different few each time: those that came first, which go to the end of the line.
    pub(super) fn next_few(&self, count: usize) -> Vec<TenantId> {
        let mut order = self.order.lock();
        let count = count.min(order.len());
        let few: Vec<TenantId> = order.drain(..count).collect();
        order.extend(&few);
        few
    }

    fn make_room_after(&self, id: TenantId) {
        let mut order = self.order.lock();
        order.push_back(id);
        let mut passed_over = 0;
        while order.len() > self.capacity {
            let Some(first) = order.pop_front() else { return };
            let spared = |held: &Held| passed_over < MOST_PASSED_OVER && held.asked_for.swap(false, Ordering::Relaxed);
            let removed = self.by_id.remove_if(&first, |_, held| !spared(held)).is_some();
            if !removed && self.by_id.contains_key(&first) {
                order.push_back(first);
                passed_over += 1;
            }
        }
    }
}
