//! What was used already, and is written down whatever the limit.

use std::sync::Arc;

use super::{CounterId, KeyId, KeyRow, KeyState, Ledger, UsageKey, UsedAt, ledger::new_row};

/// Something that was used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Its name; `None`: its producer counts by a sequence.
    pub key: Option<UsageKey>,
    /// How much, 1 or more.
    pub amount: i64,
    /// It takes so much of this one back, rather than adding it.
    pub corrects: Option<Corrected>,
    /// The module that it was used for; empty: none is named.
    pub module: Arc<str>,
    /// When.
    pub used_at: UsedAt,
}

/// What an event takes back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Corrected {
    /// Its name.
    pub key: UsageKey,
    /// The codes that the event's module had before: it may have been counted under one of these.
    pub former_modules: Box<[Arc<str>]>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// It is counted.
    Counted,
    /// It was counted before, with this amount.
    Repeated,
    /// Its key was counted with another amount, or names something else.
    Conflict,
    /// So much is not left of what it corrects, for this module.
    NothingToCorrect,
    /// So much cannot be counted by anybody.
    TooMuch,
}

impl Ledger {
    /// Writes down what was used. Where its key holds something, that is taken for good.
    pub fn record(&mut self, counter: &CounterId, event: &Event) -> Recorded {
        if self.counter(counter).taken().checked_add(event.amount).is_none() {
            return Recorded::TooMuch;
        }
        let Some(key) = &event.key else {
            self.add(counter, event.amount, &event.used_at, &event.module);
            return Recorded::Counted;
        };
        let id = (counter.0.clone(), key.clone());
        if let Some(corrected) = &event.corrects {
            return self.correct(&id, corrected, event);
        }
        match self.taken(&id).cloned() {
            Some(row) => self.record_again(id, row, event.amount),
            None => {
                let (used_at, module) = (event.used_at.clone(), Arc::clone(&event.module));
                self.put(id, new_row(counter, event.amount, used_at, module));
                Recorded::Counted
            }
        }
    }

    /// What was used of a thing that there is. Of what is held another part may have been used than was
    /// granted: that is known now.
    fn record_again(&mut self, id: KeyId, row: KeyRow, amount: i64) -> Recorded {
        let is_thing = row.corrects.is_empty() && row.lease.is_none();
        match row.state {
            _ if !is_thing => Recorded::Conflict,
            KeyState::Held(_) => {
                let is_same = row.amount == amount;
                let (state, used) = (KeyState::Counted, amount);
                self.put(id, KeyRow { asked: amount, amount, used, state, ..row });
                if is_same { Recorded::Repeated } else { Recorded::Counted }
            }
            _ if row.asked == amount || row.amount == amount => Recorded::Repeated,
            _ => Recorded::Conflict,
        }
    }

    /// Takes so much of a key back, from the day and the month that it was counted in.
    fn correct(&mut self, id: &KeyId, corrected: &Corrected, event: &Event) -> Recorded {
        let Corrected { key, former_modules } = corrected;
        if let Some(row) = self.taken(id) {
            let is_same = row.asked == event.amount && *row.corrects == *key.as_str();
            return if is_same { Recorded::Repeated } else { Recorded::Conflict };
        }
        let target = (id.0.clone(), key.clone());
        let is_good = |row: &&KeyRow| {
            let is_counted = row.state == KeyState::Counted && row.lease.is_none();
            // Whoever may not count for a module takes nothing back from it.
            let is_of_it = row.module == event.module || former_modules.contains(&row.module);
            is_counted && row.used >= event.amount && is_of_it
        };
        let Some(row) = self.taken(&target).filter(is_good).cloned() else {
            return Recorded::NothingToCorrect;
        };
        let correction = KeyRow {
            asked: event.amount,
            amount: event.amount,
            used: 0,
            state: KeyState::Released,
            corrects: key.as_str().into(),
            ..row.clone()
        };
        self.put(target, KeyRow { used: row.used - event.amount, ..row });
        self.put(id.clone(), correction);
        Recorded::Counted
    }
}
