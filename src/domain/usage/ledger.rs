//! What one transaction finds, and what it makes of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{
    Counter, KeyRow, KeyState, Lease, MeterId, Reservation, Sum, Sums, Unsettled, UsageKey, UsedAt,
};
use crate::domain::{LimitInForce, LimitReason, Wanted};

/// A counter: the meter, and the stored form of its period.
pub type CounterId = (MeterId, Arc<str>);

/// A key of a meter.
pub type KeyId = (MeterId, UsageKey);

/// The meters that a transaction has locked, and what it has read of them under these locks. What is
/// done with them is done here first, and written afterwards.
///
/// Of each counter, `used` is what its keys say is used, with what was counted without a key, and
/// `held` what they say is held. One function, `put`, keeps that true, and the sums.
#[derive(Debug, Default)]
pub struct Ledger {
    meters: BTreeSet<MeterId>,
    counters: BTreeMap<CounterId, Counter>,
    keys: BTreeMap<KeyId, KeyRow>,
    sums: Sums,
    changed_counters: BTreeSet<CounterId>,
    changed_keys: BTreeSet<KeyId>,
    now: DateTime<Utc>,
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
    /// What was found of these meters. What has run out of those that are locked is given back, or
    /// counted where its holder has chosen that.
    pub fn new(
        meters: impl IntoIterator<Item = MeterId>,
        counters: impl IntoIterator<Item = (CounterId, Counter)>,
        keys: impl IntoIterator<Item = (KeyId, KeyRow)>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut ledger = Self {
            meters: meters.into_iter().collect(),
            counters: counters.into_iter().collect(),
            keys: keys.into_iter().collect(),
            now,
            ..Self::default()
        };
        let has_run_out = |(id, row): &(&KeyId, &KeyRow)| {
            matches!(row.state, KeyState::Held(until) if until <= now)
                && ledger.meters.contains(&id.0)
        };
        let over = ledger.keys.iter().filter(has_run_out);
        for (id, row) in over.map(|(id, row)| (id.clone(), row.clone())).collect::<Vec<_>>() {
            ledger.put(id, run_out(row));
        }
        ledger
    }

    /// Is this meter locked, so that something may be changed?
    pub fn has_locked(&self, meter: &MeterId) -> bool {
        self.meters.contains(meter)
    }

    /// The module that a key was taken for, if it is taken; empty: none was named.
    pub fn module_of(&self, meter: &MeterId, key: &UsageKey) -> Option<&str> {
        self.taken(&(meter.clone(), key.clone())).map(|row| &*row.module)
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
        if let Some(row) = self.taken(&id) {
            if !row.took(asked.amount) {
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
        self.put(id, asked.row(counter, amount));
        Reserved::Granted { amount, repeated: false, reason }
    }

    /// Gives back what a key took, or only what it holds still. How much that was. What a lease
    /// holds is its holder's.
    pub fn release(&mut self, meter: &MeterId, key: &UsageKey, only_held: bool) -> i64 {
        let id = (meter.clone(), key.clone());
        let Some(row) = self.taken(&id).filter(|row| row.lease.is_none()).cloned() else {
            return 0;
        };
        let released = row.used + row.held();
        if row.state == KeyState::Released || only_held && !matches!(row.state, KeyState::Held(_)) {
            return 0;
        }
        self.put(id, KeyRow { state: KeyState::Released, used: 0, ..row });
        released
    }

    /// The counters that have changed.
    pub fn changed_counters(&self) -> impl Iterator<Item = (&CounterId, Counter)> {
        self.changed_counters.iter().map(|id| (id, self.counter(id)))
    }

    /// The keys that have changed.
    pub fn changed_keys(&self) -> impl Iterator<Item = (&KeyId, &KeyRow)> {
        self.changed_keys.iter().filter_map(|id| Some((id, self.keys.get(id)?)))
    }

    /// What is added to the sums.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Has anything changed?
    pub fn is_changed(&self) -> bool {
        !self.changed_keys.is_empty() || !self.changed_counters.is_empty()
    }

    /// A key that another thing may not take.
    pub(super) fn taken(&self, id: &KeyId) -> Option<&KeyRow> {
        self.keys.get(id).filter(|row| !row.is_free())
    }

    pub(super) fn take_for_good(&mut self, id: &KeyId) {
        let Some(row) = self.keys.get(id).cloned() else { return };
        if let KeyState::Held(_) = row.state {
            self.put(id.clone(), KeyRow { state: KeyState::Counted, used: row.amount, ..row });
        }
    }

    /// Counts so much without a key.
    pub(super) fn add(
        &mut self,
        counter: &CounterId,
        amount: i64,
        used_at: &UsedAt,
        module: &Arc<str>,
    ) {
        self.change(counter, amount, 0);
        let added = Sum { amount, events: 1, without_key: amount, ..Sum::default() };
        self.sums.add(&counter.0, used_at, module, added, self.now);
    }

    /// Puts a key in the place of what was there under it, in the counters and in the sums.
    pub(super) fn put(&mut self, id: KeyId, row: KeyRow) {
        if let Some(before) = self.keys.get(&id).cloned() {
            self.count(&id.0, &before, -1);
        }
        self.count(&id.0, &row, 1);
        self.keys.insert(id.clone(), row);
        self.changed_keys.insert(id);
    }

    /// Adds what a key counts for, or takes it away.
    fn count(&mut self, meter: &MeterId, row: &KeyRow, sign: i64) {
        self.change(&(meter.clone(), Arc::clone(&row.period)), sign * row.used, sign * row.held());
        if row.used != 0 {
            let added = Sum { amount: sign * row.used, events: sign, ..Sum::default() };
            self.sums.add(meter, &row.used_at, &row.module, added, self.now);
        }
    }

    fn change(&mut self, id: &CounterId, used: i64, held: i64) {
        if (used, held) != (0, 0) {
            let counter = self.counters.entry(id.clone()).or_default();
            // Somebody may have changed a counter by hand: it is then wrong, and nobody is stopped.
            counter.used = counter.used.saturating_add(used);
            counter.held = counter.held.saturating_add(held);
            self.changed_counters.insert(id.clone());
        }
    }
}

/// A key as it is when it takes so much for good.
pub(super) fn new_row(
    counter: &CounterId,
    amount: i64,
    used_at: UsedAt,
    module: Arc<str>,
) -> KeyRow {
    KeyRow {
        period: Arc::clone(&counter.1),
        used_at,
        asked: amount,
        amount,
        used: amount,
        state: KeyState::Counted,
        module,
        corrects: "".into(),
        lease: None,
    }
}

/// What becomes of what is held when that runs out.
fn run_out(row: KeyRow) -> KeyRow {
    match &row.lease {
        None => KeyRow { state: KeyState::Released, used: 0, ..row },
        Some(Lease { unsettled: Some(Unsettled::Spent), .. }) => {
            KeyRow { state: KeyState::Counted, used: row.amount, ..row }
        }
        Some(_) => KeyRow { state: KeyState::Counted, ..row },
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
