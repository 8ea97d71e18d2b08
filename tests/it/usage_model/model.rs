//! What counting comes to, as simple as it can be said: a map of keys, and no counters at all.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::usage::ORDERS;

/// What is younger than that when a list was read is left alone.
const YOUNG: TimeDelta = TimeDelta::seconds(5);

/// A tenant's number, and what is counted of it.
pub type Meter = (u32, &'static str);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Counted,
    /// Until then. After that it is as if it had been released, at a time that nobody knows: whoever
    /// comes next does that.
    Held(DateTime<Utc>),
    Released,
}

#[derive(Clone, Debug)]
struct Key {
    period: String,
    asked: i64,
    amount: i64,
    state: State,
    changed: DateTime<Utc>,
}

impl Key {
    fn is_held(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state, State::Held(until) if now < until)
    }

    fn has_run_out(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state, State::Held(until) if until <= now)
    }

    fn counts(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Counted || self.is_held(now)
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub meter: Meter,
    pub key: String,
    pub amount: i64,
    pub hold: Option<TimeDelta>,
    pub partial: bool,
}

/// What a level is said to be.
#[derive(Clone, Debug)]
pub struct List {
    pub tenant: u32,
    pub keys: BTreeSet<String>,
    pub as_of: DateTime<Utc>,
    pub after: String,
    pub up_to: String,
}

/// A counter and what is left of the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counter {
    pub used: i64,
    pub held: i64,
    pub remaining: Option<i64>,
}

/// The answer to a reservation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    Granted { amount: i64, repeated: bool, counter: Counter },
    Refused(Counter),
    Conflict,
}

/// The answer to a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reconciled {
    pub counted: i64,
    pub released: i64,
    pub counter: Counter,
}

#[derive(Debug)]
pub struct Model {
    pub now: DateTime<Utc>,
    keys: BTreeMap<(Meter, String), Key>,
    /// `None` for a limit is unlimited.
    pub planned: BTreeMap<&'static str, Option<i64>>,
    pub overrides: BTreeMap<Meter, (Option<i64>, Option<DateTime<Utc>>)>,
}

impl Model {
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now, keys: BTreeMap::new(), planned: BTreeMap::new(), overrides: BTreeMap::new() }
    }

    /// The present period of a meter. The servers are in UTC.
    fn period(&self, meter: Meter) -> String {
        if meter.1 == ORDERS { self.now.format("%Y-%m").to_string() } else { String::new() }
    }

    fn limit(&self, meter: Meter) -> Option<i64> {
        let own = self.overrides.get(&meter);
        let own = own.filter(|(_, ends)| ends.is_none_or(|ends| self.now < ends));
        own.map_or_else(|| self.planned[meter.1], |(value, _)| *value)
    }

    pub fn counter(&self, meter: Meter) -> Counter {
        let period = self.period(meter);
        let here = self.keys.iter().filter(|((of, _), key)| *of == meter && key.period == period);
        let (mut used, mut held) = (0, 0);
        for (_, key) in here {
            match key.state {
                State::Counted => used += key.amount,
                State::Held(_) if key.is_held(self.now) => held += key.amount,
                State::Held(_) | State::Released => {}
            }
        }
        Counter { used, held, remaining: self.limit(meter).map(|limit| limit - used - held) }
    }

    pub fn reserve(&mut self, wanted: &Wanted) -> Told {
        let Wanted { meter, ref key, amount: asked, hold, partial } = *wanted;
        let (now, period) = (self.now, self.period(meter));
        let id = (meter, key.clone());
        if let Some(there) = self.keys.get_mut(&id).filter(|there| there.counts(now)) {
            if there.asked != asked {
                return Told::Conflict;
            }
            if hold.is_none() && there.state != State::Counted {
                (there.state, there.changed) = (State::Counted, now);
            }
            let amount = there.amount;
            return Told::Granted { amount, repeated: true, counter: self.counter(meter) };
        }
        let left = self.counter(meter).remaining.unwrap_or(i64::MAX);
        let amount = if partial { asked.min(left) } else { asked };
        if amount > left || amount <= 0 {
            return Told::Refused(self.counter(meter));
        }
        let state = hold.map_or(State::Counted, |hold| State::Held(now + hold));
        self.keys.insert(id, Key { period, asked, amount, state, changed: now });
        Told::Granted { amount, repeated: false, counter: self.counter(meter) }
    }

    /// How much is given back, and the counter of the present period.
    pub fn release(&mut self, meter: Meter, key: &str, only_held: bool) -> (i64, Counter) {
        let now = self.now;
        let there = self.keys.get_mut(&(meter, key.to_owned())).filter(|there| there.counts(now));
        let there = there.filter(|there| !only_held || there.is_held(now));
        let amount = there.map_or(0, |there| {
            (there.state, there.changed) = (State::Released, now);
            there.amount
        });
        (amount, self.counter(meter))
    }

    pub fn reconcile(&mut self, list: &List, meter: Meter) -> Reconciled {
        let (now, old) = (self.now, list.as_of - YOUNG);
        let is_meant =
            |key: &str| *key > *list.after && (list.up_to.is_empty() || *key <= *list.up_to);
        let mut released = 0;
        for ((of, name), key) in &mut self.keys {
            let leaves = *of == meter
                && key.state == State::Counted
                && key.changed <= old
                && is_meant(name)
                && !list.keys.contains(name);
            if leaves {
                (key.state, key.changed) = (State::Released, now);
                released += 1;
            }
        }
        let mut counted = 0;
        for name in &list.keys {
            let there = self.keys.get(&(meter, name.clone()));
            let amount = match there {
                Some(key) if key.state == State::Counted => continue,
                Some(key) if key.state == State::Released && key.changed > old => continue,
                Some(key) if key.is_held(now) => key.amount,
                _ => 1,
            };
            counted += 1;
            let (period, state) = (String::new(), State::Counted);
            let key = Key { period, asked: amount, amount, state, changed: now };
            self.keys.insert((meter, name.clone()), key);
        }
        Reconciled { counted, released, counter: self.counter(meter) }
    }

    /// Keys that are held.
    pub fn held(&self) -> Vec<(Meter, String, i64)> {
        let held = self.keys.iter().filter(|(_, key)| key.is_held(self.now));
        held.map(|((meter, name), key)| (*meter, name.clone(), key.asked)).collect()
    }

    pub fn is_held(&self, meter: Meter, name: &str) -> bool {
        let there = self.keys.get(&(meter, name.to_owned()));
        there.is_some_and(|there| there.is_held(self.now))
    }

    /// Is this a key whose hold has run out? What becomes of it when a level is put right depends on
    /// when somebody came by.
    pub fn has_run_out(&self, meter: Meter, name: &str) -> bool {
        let there = self.keys.get(&(meter, name.to_owned()));
        there.is_some_and(|there| there.has_run_out(self.now))
    }
}
