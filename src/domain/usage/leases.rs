//! Leases: slices that are taken before they are spent, in the memory of whoever holds them.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    CounterId, KeyRow, KeyState, Lease, Ledger, Unsettled, UsageKey, UsedAt, ledger::new_row,
};
use crate::domain::{LimitInForce, LimitReason, Wanted};

/// Where less is left, nothing is leased: the last of a limit must not lie in somebody's memory
/// while others are refused.
const LEAST_LEFT: i64 = 32;

/// A request for a slice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseRequest {
    /// Its name.
    pub key: UsageKey,
    /// How much would be welcome, 1 or more.
    pub wanted: i64,
    /// When it runs out, exclusive.
    pub until: DateTime<Utc>,
    /// Who holds it.
    pub holder: Arc<str>,
    /// What becomes of what is not settled.
    pub unsettled: Unsettled,
    /// The module that it is for; empty: none is named.
    pub module: Arc<str>,
    /// When.
    pub used_at: UsedAt,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leased {
    /// So much may be spent.
    Granted {
        /// How much, 1 or more.
        amount: i64,
        /// The key was here before, and this is what it was told then.
        repeated: bool,
        /// When it runs out.
        until: DateTime<Utc>,
    },
    /// Nothing: there is too little left to lease.
    Nothing(LimitReason),
    /// The key names something else, or a lease that is over.
    Conflict,
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settled {
    /// What is spent is counted.
    Counted {
        /// How much is counted as spent.
        spent: i64,
        /// What was held, or counted as spent, and is free now.
        returned: i64,
    },
    /// There is no such lease.
    NotFound,
    /// More was spent than was granted.
    TooMuch,
}

impl Ledger {
    /// Leases a slice of a counter that so many others have leases of, so that each finds some.
    pub fn lease(
        &mut self,
        counter: &CounterId,
        asked: &LeaseRequest,
        limit: &LimitInForce,
        is_enforced: bool,
        others: i64,
    ) -> Leased {
        let id = (counter.0.clone(), asked.key.clone());
        if let Some(row) = self.taken(&id) {
            let is_same = row.asked == asked.wanted
                && row.lease.as_ref().is_some_and(|lease| lease.holder == asked.holder);
            return match row.state {
                KeyState::Held(until) if is_same => {
                    Leased::Granted { amount: row.amount, repeated: true, until }
                }
                _ => Leased::Conflict,
            };
        }
        let there = self.counter(counter).taken();
        let reason = limit.reason(Wanted { observed: there, amount: 1 });
        let most = match limit.remaining(there).filter(|_| is_enforced) {
            Some(left) if left < LEAST_LEFT => 0,
            Some(left) => left / (2 * others + 2),
            None => i64::MAX - there,
        };
        let amount = asked.wanted.min(most);
        if amount <= 0 {
            return Leased::Nothing(reason);
        }
        let lease = Lease { holder: Arc::clone(&asked.holder), unsettled: Some(asked.unsettled) };
        let (used_at, module) = (asked.used_at.clone(), Arc::clone(&asked.module));
        let row = KeyRow {
            asked: asked.wanted,
            used: 0,
            state: KeyState::Held(asked.until),
            lease: Some(lease),
            ..new_row(counter, amount, used_at, module)
        };
        self.put(id, row);
        Leased::Granted { amount, repeated: false, until: asked.until }
    }

    /// Counts what was spent of a lease so far; where that `is_final`, the rest is free. After it has
    /// run out its holder may still say so, and what had counted as spent is free again as long as
    /// its period lasts: `present` is the counter of the present one.
    pub fn settle(
        &mut self,
        present: &CounterId,
        key: &UsageKey,
        spent: i64,
        is_final: bool,
    ) -> Settled {
        let id = (present.0.clone(), key.clone());
        let Some((row, lease)) =
            self.taken(&id).cloned().and_then(|row| row.lease.clone().map(|lease| (row, lease)))
        else {
            return Settled::NotFound;
        };
        if spent > row.amount {
            return Settled::TooMuch;
        }
        let before = row.used + row.held();
        let is_over = row.state == KeyState::Counted;
        let may_fall = is_over && lease.unsettled.is_some() && is_final && row.period == present.1;
        let used = if may_fall { spent } else { spent.max(row.used) };
        if lease.unsettled.is_none() || (used == row.used && !is_final) {
            return Settled::Counted { spent: row.used, returned: 0 };
        }
        let state = if is_final { KeyState::Counted } else { row.state };
        let unsettled = lease.unsettled.filter(|_| !is_final);
        let after = KeyRow { used, state, lease: Some(Lease { unsettled, ..lease }), ..row };
        let returned = before - after.used - after.held();
        self.put(id, after);
        Settled::Counted { spent: used, returned: returned.max(0) }
    }
}
