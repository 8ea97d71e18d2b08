//! The facts of tenants that exist, by id, for a limited number of tenants.
//!
//! This is what every request reads, mostly at random, so what counts is how much memory a lookup
//! touches: a lookup decides under the lock of one shard, and neither counts a reference nor moves
//! anything in a list of the least recently used. moka and quick_cache do, and with many tenants a
//! lookup in them takes longer (`cargo bench --bench lookup`: 305 ns at random among 100 000,
//! quick_cache 444, moka 904). See `docs/decisions/0002-our-own-map-of-held-tenants.md`.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use dashmap::DashMap;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use super::{ahead::HeldAhead, ring::Ring};
use crate::domain::{Facts, TenantId};

/// The epoch of facts that are known to have changed.
const OUTDATED: u32 = 0;

/// What is known of whether facts are still what the database says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Vouched {
    /// As much as of all that belongs to this epoch: no change of them is known.
    AsEpoch(u32),
    /// They have changed since. They were so at this instant; `None`: when they were read.
    Until(Option<DateTime<Utc>>),
}

/// Facts by tenant. Room is made by the second-chance rule: see [`Ring`].
#[derive(Debug)]
pub(super) struct HeldFacts {
    by_id: DashMap<TenantId, Held, FxBuildHasher>,
    /// The tenant of each subdomain, by the subdomain's hash. Two subdomains with equal hashes cost
    /// an extra load each time, and nothing else: every lookup compares the subdomain itself.
    by_subdomain: DashMap<u64, TenantId, FxBuildHasher>,
    hasher: RandomState,
    /// Locked by everyone who adds or removes.
    ring: Mutex<Ring>,
    /// How often something has become different.
    changes: AtomicU64,
    /// Which tenants are held ahead: they make room last.
    ahead: ArcSwap<HeldAhead>,
    /// Of those.
    evictions_ahead: AtomicU64,
}

#[derive(Debug)]
struct Held {
    facts: Facts,
    /// The epoch of [`Trust`](super::trust::Trust) in which they were read, or [`OUTDATED`].
    epoch: AtomicU32,
    /// The last instant at which outdated facts are known to have been so, in seconds since 1970; 0:
    /// when they were read. As short as that, it takes no room.
    was_so_at: AtomicU32,
    /// Its place in the ring.
    place: u32,
    /// Written only when it changes: a write would cost more than the whole lookup.
    asked_for: AtomicBool,
}

impl Held {
    fn vouched(&self) -> Vouched {
        match self.epoch.load(Ordering::Acquire) {
            OUTDATED => {
                let seconds = self.was_so_at.load(Ordering::Relaxed).into();
                let at = DateTime::from_timestamp(seconds, 0).filter(|_| seconds > 0);
                Vouched::Until(at)
            }
            epoch => Vouched::AsEpoch(epoch),
        }
    }

    fn outdate(&self, was_so_at: Option<DateTime<Utc>>) {
        self.was_so_at.store(seconds(was_so_at), Ordering::Relaxed);
        self.epoch.store(OUTDATED, Ordering::Release);
    }
}

/// Rounded down; 0 also for what no number of 32 bits can say.
fn seconds(at: Option<DateTime<Utc>>) -> u32 {
    at.and_then(|at| u32::try_from(at.timestamp()).ok()).unwrap_or(0)
}

impl HeldFacts {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_id: DashMap::default(),
            by_subdomain: DashMap::default(),
            hasher: RandomState::new(),
            ring: Mutex::new(Ring::new(capacity)),
            changes: 0.into(),
            ahead: ArcSwap::default(),
            evictions_ahead: 0.into(),
        }
    }

    /// How many tenants are held.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Reads the facts of a tenant in place, and what is known of whether they are still so. `look`
    /// must be quick: a shard is locked meanwhile.
    pub(super) fn peek<R>(
        &self,
        id: TenantId,
        look: impl FnOnce(&Facts, Vouched) -> R,
    ) -> Option<R> {
        let held = self.by_id.get(&id)?;
        if !held.asked_for.load(Ordering::Relaxed) {
            held.asked_for.store(true, Ordering::Relaxed);
        }
        Some(look(&held.facts, held.vouched()))
    }

    /// The tenant that a subdomain may belong to.
    pub(super) fn by_subdomain(&self, subdomain: &str) -> Option<TenantId> {
        self.by_subdomain.get(&self.hasher.hash_one(subdomain)).map(|id| *id)
    }

    /// Puts facts in place, unless newer ones are there. Are they held now?
    pub(super) fn insert(&self, facts: Facts, epoch: u32) -> bool {
        let mut ring = self.ring.lock();
        let id = facts.tenant.id;
        let Some(mut held) = self.by_id.get_mut(&id) else {
            self.add(&mut ring, facts, epoch);
            return true;
        };
        // What has changed since it was read is not newer, whatever a clock says that was set back; but of
        // what another instance sends, an edge may have read what came of a later change.
        let is_held_newer =
            held.epoch.load(Ordering::Relaxed) == epoch || held.facts.revision > facts.revision;
        if is_held_newer && super::is_just_after(held.facts.as_of, facts.as_of) {
            return false;
        }
        held.epoch.store(epoch, Ordering::Relaxed);
        if held.facts.says_the_same_as(&facts) {
            // The tenant's data stays where it is in memory: others may hold it too.
            held.facts.as_of = facts.as_of;
            return true;
        }
        self.replace(&mut held, facts);
        true
    }

    /// Puts facts in place that are known to have changed, unless others are there that are as good. They
    /// were so at this instant; `None`: when they were read.
    pub(super) fn insert_outdated(&self, facts: Facts, was_so_at: Option<DateTime<Utc>>) {
        let mut ring = self.ring.lock();
        let id = facts.tenant.id;
        let Some(mut held) = self.by_id.get_mut(&id) else {
            self.add(&mut ring, facts, OUTDATED);
            if let Some(held) = self.by_id.get(&id) {
                held.outdate(was_so_at);
            }
            return;
        };
        // Somebody was told of them: in an outage nobody is told again what was so before. A standby
        // that lags reads later what is older.
        let is_newer = facts.revision > held.facts.revision && facts.as_of >= held.facts.as_of;
        if is_newer && held.epoch.load(Ordering::Relaxed) == OUTDATED {
            self.replace(&mut held, facts);
            held.outdate(was_so_at);
        }
    }

    /// Records that facts were read again and are unchanged. `false`: they have changed, or are no
    /// longer trusted.
    pub(super) fn prove(&self, found: &Facts, epoch: u32) -> bool {
        let Some(mut held) = self.by_id.get_mut(&found.tenant.id) else { return false };
        let is_proven =
            held.epoch.load(Ordering::Relaxed) == epoch && held.facts.says_the_same_as(found);
        if is_proven {
            held.facts.as_of = held.facts.as_of.max(found.as_of);
        }
        is_proven
    }

    /// Is a tenant held, outdated or not?
    pub(super) fn holds(&self, id: TenantId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Do a tenant's facts belong to this epoch?
    pub(super) fn is_of(&self, id: TenantId, epoch: u32) -> bool {
        self.by_id.get(&id).is_some_and(|held| held.epoch.load(Ordering::Relaxed) == epoch)
    }

    /// Marks a tenant's facts as known to have changed, if they were not. They stay, in case the
    /// database cannot be reached. `proven_at`: when what belongs to an epoch was so.
    pub(super) fn outdate(
        &self,
        id: TenantId,
        proven_at: impl FnOnce(u32) -> Option<DateTime<Utc>>,
    ) {
        if let Some(held) = self.by_id.get(&id)
            && let Vouched::AsEpoch(epoch) = held.vouched()
        {
            held.outdate(proven_at(epoch));
            self.note_change();
        }
    }

    /// Removes a tenant that was not there when it was read, in this epoch; but not if it was found
    /// later.
    pub(super) fn remove(&self, id: TenantId, epoch: u32, as_of: DateTime<Utc>) {
        let mut ring = self.ring.lock();
        let is_older =
            |held: &Held| held.epoch.load(Ordering::Relaxed) != epoch || held.facts.as_of <= as_of;
        if let Some((_, held)) = self.by_id.remove_if(&id, |_, held| is_older(held)) {
            self.forget_subdomain(&held.facts);
            ring.vacate(held.place);
            self.note_change();
        }
    }

    /// Records that no tenant has this subdomain any more.
    pub(super) fn no_longer_has(&self, subdomain: &str) {
        self.by_subdomain.remove(&self.hasher.hash_one(subdomain));
    }

    /// The number of places to go through, including empty ones.
    pub(super) fn places(&self) -> usize {
        self.ring.lock().len()
    }

    /// The tenants in the next `places` places, cyclically.
    pub(super) fn next(&self, places: usize) -> Vec<TenantId> {
        self.ring.lock().next(places)
    }

    pub(super) fn hold_ahead(&self, whom: HeldAhead) {
        self.ahead.store(Arc::new(whom));
    }

    pub(super) fn held_ahead(&self) -> Arc<HeldAhead> {
        self.ahead.load_full()
    }

    /// How many tenants that were held ahead had to make room for others.
    pub(super) fn evictions_ahead(&self) -> u64 {
        self.evictions_ahead.load(Ordering::Relaxed)
    }

    /// How often something that is held has become different.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// What is held in so many places from this one on, and what is known of whether it is still so;
    /// `None`: there is no such place. Nothing counts as asked for by it.
    pub(super) fn copies(&self, from: usize, places: usize) -> Option<Vec<(Facts, Vouched)>> {
        let ids = self.ring.lock().at(from, places)?;
        let copy = |held: &Held| (held.facts.clone(), held.vouched());
        Some(ids.iter().filter_map(|id| self.by_id.get(id).map(|held| copy(&held))).collect())
    }

    /// When those facts were read that have waited longest to be read again, judging by the next
    /// few places.
    pub(super) fn oldest(&self, places: usize) -> Option<DateTime<Utc>> {
        let next = self.ring.lock().peek(places);
        next.iter().filter_map(|id| self.by_id.get(id).map(|held| held.facts.as_of)).min()
    }

    fn add(&self, ring: &mut Ring, facts: Facts, epoch: u32) {
        let id = facts.tenant.id;
        let ahead = self.ahead.load();
        let is_spared = |held: &Held| {
            held.asked_for.swap(false, Ordering::Relaxed) || ahead.prefers(&held.facts)
        };
        let spare = |id: &TenantId| self.by_id.get(id).is_some_and(|held| is_spared(&held));
        let (place, evicted) = ring.take_place(id, ahead.most_spared(), spare);
        if let Some((_, held)) = evicted.and_then(|evicted| self.by_id.remove(&evicted)) {
            let was_ahead = u64::from(ahead.includes(&held.facts));
            self.evictions_ahead.fetch_add(was_ahead, Ordering::Relaxed);
            self.forget_subdomain(&held.facts);
        }
        self.by_subdomain.insert(self.hasher.hash_one(&*facts.tenant.subdomain), id);
        let held = Held {
            facts,
            epoch: epoch.into(),
            was_so_at: 0.into(),
            place,
            asked_for: AtomicBool::new(false),
        };
        self.by_id.insert(id, held);
        self.note_change();
    }

    fn replace(&self, held: &mut Held, facts: Facts) {
        self.note_change();
        if held.facts.tenant.subdomain != facts.tenant.subdomain {
            self.forget_subdomain(&held.facts);
            let hash = self.hasher.hash_one(&*facts.tenant.subdomain);
            self.by_subdomain.insert(hash, facts.tenant.id);
        }
        held.facts = facts;
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes the subdomain's entry, unless another tenant has the subdomain by now.
    fn forget_subdomain(&self, facts: &Facts) {
        let hash = self.hasher.hash_one(&*facts.tenant.subdomain);
        self.by_subdomain.remove_if(&hash, |_, id| *id == facts.tenant.id);
    }
}
