//! What one transaction finds, and what it makes of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{Counter, KeyRow, KeyState, MeterId, Reservation, UsageKey};
use crate::domain::{LimitInForce, LimitReason, Wanted};

/// A counter: the meter, and the stored form of its period.
pub type CounterId = (MeterId, Arc<str>);

/// A key of a meter.
pub type KeyId = (MeterId, UsageKey);

/// The counters that a transaction has locked, and the keys that it has read under these locks. What
/// is done with them is done here first, and written afterwards.
///
/// Of each counter, `used` is the sum of its counted keys, and `held` of those that are held.
#[derive(Debug, Default)]
pub struct Ledger {
    counters: BTreeMap<CounterId, Counter>,
    keys: BTreeMap<KeyId, KeyRow>,
    changed_counters: BTreeSet<CounterId>,
    changed_keys: BTreeSet<KeyId>,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reserved {
    /// It was taken.
    Granted {
        /// How much.
        amount: i64,
        /// The key was here before, and this is what it was told then.
        repeated: bool,
        /// How the whole request stands to the limit: beyond it where that is not enforced, or where
        /// only a part was taken.
        reason: LimitReason,
    },
    /// There is too little.
    Refused(LimitReason),
    /// The key took another amount.
    Conflict,
}

impl Ledger {
    /// What was found. Holds that have run out are given back, as far as their counters are locked.
    pub fn new(
        counters: impl IntoIterator<Item = (CounterId, Counter)>,
        keys: impl IntoIterator<Item = (KeyId, KeyRow)>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut ledger = Self {
            counters: counters.into_iter().collect(),
            keys: keys.into_iter().collect(),
            ..Self::default()
        };
        let has_run_out = |row: &KeyRow| matches!(row.state, KeyState::Held(until) if until <= now);
        let over = ledger.keys.iter().filter(|(_, row)| has_run_out(row));
        for id in over.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            ledger.give_back(&id);
        }
        ledger
    }

    /// Is everything locked that a request about this key may change? `counter` is that of the
    /// present period.
    pub fn has_locked(&self, counter: &CounterId, key: &UsageKey) -> bool {
        let of_key = self.keys.get(&(counter.0.clone(), key.clone()));
        let is_locked = |row: &KeyRow| {
            row.state == KeyState::Released
                || self.counters.contains_key(&(counter.0.clone(), Arc::clone(&row.period)))
        };
        self.counters.contains_key(counter) && of_key.is_none_or(is_locked)
    }

    /// What there is of a counter.
    pub fn counter(&self, id: &CounterId) -> Counter {
        self.counters.get(id).copied().unwrap_or_default()
    }

    /// Takes so much of a counter. `limit` is the one that holds; it is no obstacle unless it
    /// `is_enforced`.
    pub fn reserve(
        &mut self,
        counter: &CounterId,
        asked: &Reservation,
        limit: &LimitInForce,
        is_enforced: bool,
    ) -> Reserved {
        let id = (counter.0.clone(), asked.key.clone());
        let there = self.counter(counter).taken();
        if let Some(row) = self.keys.get(&id).filter(|row| row.state != KeyState::Released) {
            if row.asked != asked.amount {
                return Reserved::Conflict;
            }
            let amount = row.amount;
            if asked.hold_until.is_none() {
                self.take_for_good(&id);
            }
            let reason = limit.reason(Wanted { observed: there, amount: 0 });
            return Reserved::Granted { amount, repeated: true, reason };
        }
        let reason = limit.reason(Wanted { observed: there, amount: asked.amount });
        let left = limit.remaining(there).unwrap_or(i64::MAX).min(i64::MAX.saturating_sub(there));
        let amount = if reason.allows() || !is_enforced {
            asked.amount
        } else if asked.partial {
            asked.amount.min(left)
        } else {
            return Reserved::Refused(reason);
        };
        if amount <= 0 || there.checked_add(amount).is_none() {
            return Reserved::Refused(reason);
        }
        let state = asked.hold_until.map_or(KeyState::Counted, KeyState::Held);
        let row = KeyRow {
            period: Arc::clone(&counter.1),
            asked: asked.amount,
            amount,
            state,
            module: Arc::clone(&asked.module),
        };
        self.change(counter, |there| match state {
            KeyState::Held(_) => there.held += amount,
            _ => there.used += amount,
        });
        self.put(id, row);
        Reserved::Granted { amount, repeated: false, reason }
    }

    /// Gives back what a key took, or only what it holds still. How much that was.
    pub fn release(&mut self, meter: &MeterId, key: &UsageKey, only_held: bool) -> i64 {
        let id = (meter.clone(), key.clone());
        let is_held = self.keys.get(&id).is_some_and(|row| matches!(row.state, KeyState::Held(_)));
        if only_held && !is_held { 0 } else { self.give_back(&id) }
    }

    /// The counters that have changed.
    pub fn changed_counters(&self) -> impl Iterator<Item = (&CounterId, Counter)> {
        self.changed_counters.iter().map(|id| (id, self.counter(id)))
    }

    /// The keys that have changed.
    pub fn changed_keys(&self) -> impl Iterator<Item = (&KeyId, &KeyRow)> {
        self.changed_keys.iter().filter_map(|id| Some((id, self.keys.get(id)?)))
    }

    fn take_for_good(&mut self, id: &KeyId) {
        let Some(row) = self.keys.get(id).cloned() else { return };
        if let KeyState::Held(_) = row.state {
            let amount = row.amount;
            self.change(&(id.0.clone(), Arc::clone(&row.period)), |there| {
                there.held -= amount;
                there.used += amount;
            });
            self.put(id.clone(), KeyRow { state: KeyState::Counted, ..row });
        }
    }

    fn give_back(&mut self, id: &KeyId) -> i64 {
        let Some(row) = self.keys.get(id).cloned() else { return 0 };
        let counter = (id.0.clone(), Arc::clone(&row.period));
        if row.state == KeyState::Released || !self.counters.contains_key(&counter) {
            return 0;
        }
        let amount = row.amount;
        self.change(&counter, |there| match row.state {
            KeyState::Held(_) => there.held -= amount,
            _ => there.used -= amount,
        });
        self.put(id.clone(), KeyRow { state: KeyState::Released, ..row });
        amount
    }

    fn change(&mut self, id: &CounterId, change: impl FnOnce(&mut Counter)) {
        if let Some(counter) = self.counters.get_mut(id) {
            change(counter);
            self.changed_counters.insert(id.clone());
        }
    }

    fn put(&mut self, id: KeyId, row: KeyRow) {
        self.keys.insert(id.clone(), row);
        self.changed_keys.insert(id);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
