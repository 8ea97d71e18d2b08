//! A meter of the double: what was taken under each key, whose sums are the counters.

use std::collections::BTreeMap;

use super::Period;
use crate::{
    Reserve, Unsettled,
    clock::{Micros, micros},
    usage::Range,
};

/// Who reads what was used reads it an hour later.
const SOON: Micros = 3_600_000_000;

#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) rows: BTreeMap<String, Row>,
    /// What producers have added up.
    pub(super) sums: Vec<Row>,
}

/// What was taken under a key.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) period: Period,
    pub(super) asked: i64,
    pub(super) amount: i64,
    /// What of the amount is used.
    pub(super) used: i64,
    pub(super) used_at: Micros,
    /// What of it was said late.
    pub(super) late: i64,
    pub(super) module: String,
    pub(super) state: State,
    pub(super) lease: Option<LeaseRow>,
    /// Empty: it corrects nothing.
    pub(super) corrects: String,
    pub(super) changed_at: Micros,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Counted,
    Held(Micros),
    Released,
}

#[derive(Clone, Debug)]
pub(super) struct LeaseRow {
    pub(super) holder: String,
    /// `None`: it is settled.
    pub(super) unsettled: Option<Unsettled>,
}

/// What there is of a counter.
#[derive(Clone, Copy, Default)]
pub(super) struct Counter {
    pub(super) used: i64,
    pub(super) held: i64,
}

/// What became of a request to take.
pub(super) enum Taken {
    Granted { amount: i64, repeated: bool },
    Refused,
    Conflict,
}

impl Row {
    /// So much, counted.
    pub(super) fn counted(period: Period, amount: i64, used_at: Micros, now: Micros) -> Self {
        let mut row = Self {
            period,
            asked: amount,
            amount,
            used: 0,
            used_at,
            late: 0,
            module: String::new(),
            state: State::Counted,
            lease: None,
            corrects: String::new(),
            changed_at: now,
        };
        row.use_up(amount, now);
        row
    }

    /// So much of it is used, and no more is.
    pub(super) fn use_up(&mut self, used: i64, now: Micros) {
        if now - self.used_at > SOON {
            self.late += used - self.used;
        }
        (self.used, self.changed_at) = (used, now);
    }

    pub(super) fn end(&mut self, state: State, used: i64, now: Micros) {
        self.state = state;
        self.use_up(used, now);
    }

    fn held(&self) -> i64 {
        if matches!(self.state, State::Held(_)) { self.amount - self.used } else { 0 }
    }
}

impl Meter {
    /// What is held and has run out is given back, or counts as spent.
    pub(super) fn give_back_until(&mut self, now: Micros) {
        for row in self.rows.values_mut() {
            if !matches!(row.state, State::Held(until) if until <= now) {
                continue;
            }
            match row.lease.as_ref().map(|lease| lease.unsettled) {
                None => row.end(State::Released, 0, now),
                Some(Some(Unsettled::Spent)) => row.end(State::Counted, row.amount, now),
                Some(_) => row.end(State::Counted, row.used, now),
            }
        }
    }

    pub(super) fn counter(&self, period: Period) -> Counter {
        let mut counter = Counter::default();
        for row in self.rows.values().chain(&self.sums).filter(|row| row.period == period) {
            counter.used += row.used;
            counter.held += row.held();
        }
        counter
    }

    /// The row of a key that names something still.
    pub(super) fn taken(&mut self, key: &str) -> Option<&mut Row> {
        let row = self.rows.get_mut(key)?;
        (row.state != State::Released || !row.corrects.is_empty()).then_some(row)
    }

    /// `most`: what may be taken of it.
    pub(super) fn reserve(
        &mut self,
        wanted: &Reserve,
        most: i64,
        period: Period,
        now: Micros,
    ) -> Taken {
        if let Some(row) = self.taken(&wanted.key) {
            if row.asked != wanted.amount || row.lease.is_some() || !row.corrects.is_empty() {
                return Taken::Conflict;
            }
            if wanted.hold_for.is_none() && row.state != State::Counted {
                row.end(State::Counted, row.amount, now);
            }
            return Taken::Granted { amount: row.amount, repeated: true };
        }
        let amount = if wanted.partial { wanted.amount.min(most) } else { wanted.amount };
        if amount <= 0 || amount > most {
            return Taken::Refused;
        }
        let mut row = Row::counted(period, amount, now, now);
        (row.asked, row.module) = (wanted.amount, wanted.module.clone());
        if let Some(hold) = wanted.hold_for {
            row.end(State::Held(now.saturating_add(micros(hold))), 0, now);
        }
        self.rows.insert(wanted.key.clone(), row);
        Taken::Granted { amount, repeated: false }
    }

    pub(super) fn release(&mut self, key: &str, only_held: bool, now: Micros) -> i64 {
        match self.rows.get_mut(key) {
            Some(row) if only_held && !matches!(row.state, State::Held(_)) => 0,
            Some(row) if row.state != State::Released && row.lease.is_none() => {
                let amount = row.used + row.held();
                row.end(State::Released, 0, now);
                amount
            }
            _ => 0,
        }
    }

    /// How many were not counted and are now, and how many were and are no longer there.
    pub(super) fn reconcile(&mut self, range: &Range, as_of: Micros, now: Micros) -> (i64, i64) {
        let Range { after, up_to, keys } = range;
        let is_meant = |key: &String| key > after && (up_to.is_empty() || key <= up_to);
        let (mut counted, mut released) = (0, 0);
        for (key, row) in self.rows.iter_mut().filter(|(key, _)| is_meant(key)) {
            let is_gone = row.state == State::Counted && row.changed_at <= as_of;
            if is_gone && !keys.contains(key) {
                row.end(State::Released, 0, now);
                released += 1;
            }
        }
        for key in keys {
            match self.rows.get_mut(key) {
                Some(row) if row.state == State::Counted => {}
                Some(row) if row.state == State::Released && row.changed_at > as_of => {}
                Some(row) if row.state != State::Released => {
                    row.end(State::Counted, row.amount, now);
                    counted += 1;
                }
                _ => {
                    self.rows.insert(key.clone(), Row::counted(None, 1, now, now));
                    counted += 1;
                }
            }
        }
        (counted, released)
    }
}
