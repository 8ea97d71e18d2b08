//! What is added up in this process, until it is sent.

use std::{
    hash::Hash,
    mem,
    sync::atomic::{AtomicUsize, Ordering},
};

use papaya::{Equivalent, HashMap};
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use uuid::Uuid;

use super::{MOST, UsageEvent};
use crate::clock::{Micros, date};

/// Sums that wait at most.
const MOST_SUMS: usize = 10_000;
/// The server adds up by quarters of an hour, of which days and months are made in every time zone.
const QUARTER: Micros = 900_000_000;

/// What a sum is of.
#[derive(Clone, Copy, Hash)]
pub(crate) struct Of<'a> {
    pub(crate) tenant: Uuid,
    pub(crate) meter: &'a str,
    pub(crate) module: &'a str,
}

/// The same, owned; its hash is that of [`Of`].
#[derive(Debug, Eq, Hash, PartialEq)]
struct Name {
    tenant: Uuid,
    meter: Box<str>,
    module: Box<str>,
}

impl From<Of<'_>> for Name {
    fn from(Of { tenant, meter, module }: Of<'_>) -> Self {
        Self { tenant, meter: meter.into(), module: module.into() }
    }
}

impl Equivalent<Name> for Of<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        // To compare nothing with nothing took 150 ns (benches/README.md).
        let is_module = match (self.module.is_empty(), name.module.is_empty()) {
            (false, false) => *self.module == *name.module,
            (one, other) => one == other,
        };
        self.tenant == name.tenant && is_module && *self.meter == *name.meter
    }
}

/// Sums by tenant, meter, module and quarter of an hour. Any number of threads add to them; nobody
/// waits for the network.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    by_name: HashMap<Name, Mutex<Entry>, FxBuildHasher>,
    /// How many sums there are that are not 0.
    waiting: AtomicUsize,
    /// Those among them of quarters before the last one of their name.
    older: AtomicUsize,
}

#[derive(Debug, Default)]
struct Entry {
    /// It is about to be removed: whoever has found it looks for another.
    is_gone: bool,
    current: Sum,
    /// Of the quarters before.
    older: Vec<Sum>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    amount: i64,
    /// When something was last added to it.
    at: Micros,
}

/// What became of an amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Added {
    Yes,
    Gone,
    /// There are too many sums, or there is too much of it.
    Full,
}

fn quarter(at: Micros) -> i64 {
    at.div_euclid(QUARTER)
}

impl Sums {
    /// Adds so much; false: there are too many sums, and it is dropped.
    pub(crate) fn add(&self, of: Of<'_>, amount: i64, now: Micros) -> bool {
        let names = self.by_name.pin();
        loop {
            let Some(entry) = names.get(&of) else {
                names.get_or_insert_with(of.into(), Mutex::default);
                continue;
            };
            let added = self.add_to(&mut entry.lock(), amount, now);
            match added {
                Added::Yes => return true,
                Added::Gone => _ = names.remove_if(&of, |_, entry| entry.lock().is_gone),
                Added::Full if self.join() => {}
                Added::Full => {
                    // What was made for it in vain is not to stay.
                    _ = names.remove_if(&of, |_, entry| entry.lock().leave());
                    return false;
                }
            }
        }
    }

    fn add_to(&self, entry: &mut Entry, amount: i64, now: Micros) -> Added {
        if entry.is_gone {
            return Added::Gone;
        }
        let is_full = || self.waiting.load(Ordering::Relaxed) >= MOST_SUMS;
        let current = &mut entry.current;
        if current.amount == 0 {
            if is_full() {
                return Added::Full;
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            *current = Sum { amount, at: now };
        } else if quarter(current.at) != quarter(now) && !is_full() {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.older.fetch_add(1, Ordering::Relaxed);
            entry.older.push(mem::replace(current, Sum { amount, at: now }));
        } else if let Some(sum) = current.amount.checked_add(amount) {
            // A sum stays in its quarter, also where there is no room for another one.
            let at = if quarter(current.at) == quarter(now) { now } else { current.at };
            *current = Sum { amount: sum, at };
        } else {
            return Added::Full;
        }
        Added::Yes
    }

    /// Joins the sums of all quarters to one each. Has that made room?
    fn join(&self) -> bool {
        if self.older.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let (mut freed, mut moved) = (0, 0);
        for entry in self.by_name.pin().values() {
            let mut entry = entry.lock();
            let Entry { current, older, .. } = &mut *entry;
            for sum in mem::take(older) {
                match current.amount.checked_add(sum.amount) {
                    Some(_) if current.amount == 0 => {
                        *current = sum;
                        moved += 1;
                    }
                    Some(amount) => {
                        current.amount = amount;
                        freed += 1;
                    }
                    None => older.push(sum),
                }
            }
        }
        self.waiting.fetch_sub(freed, Ordering::Relaxed);
        self.older.fetch_sub(freed + moved, Ordering::Relaxed);
        freed > 0
    }

    /// Takes out as much as one message holds. What nobody adds to any more is forgotten.
    pub(crate) fn take(&self, most: usize) -> Vec<UsageEvent> {
        let names = self.by_name.pin();
        let mut events = Vec::new();
        for (name, entry) in &names {
            if events.len() == most {
                break;
            }
            let mut entry = entry.lock();
            if entry.leave() {
                drop(entry);
                _ = names.remove_if(name, |_, entry| entry.lock().is_gone);
                continue;
            }
            while events.len() < most
                && let Some((sum, is_all)) = entry.take()
            {
                if is_all {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    if entry.older.pop().is_some() {
                        self.older.fetch_sub(1, Ordering::Relaxed);
                    }
                }
                events.push(event(name, sum));
            }
        }
        events
    }

    /// Does nothing wait?
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}

impl Entry {
    /// Is it empty? Then it is gone.
    fn leave(&mut self) -> bool {
        self.is_gone = self.current.amount == 0 && self.older.is_empty();
        self.is_gone
    }

    /// Takes out a sum, or as much of it as an event holds; also whether that is all of it.
    fn take(&mut self) -> Option<(Sum, bool)> {
        let sum = self.older.last_mut().unwrap_or(&mut self.current);
        let amount = sum.amount.min(MOST);
        sum.amount -= amount;
        let taken = (Sum { amount, at: sum.at }, sum.amount == 0);
        (amount > 0).then_some(taken)
    }
}

fn event(Name { tenant, meter, module }: &Name, Sum { amount, at }: Sum) -> UsageEvent {
    UsageEvent {
        amount,
        module: module.clone().into(),
        at: date(at),
        ..UsageEvent::new(*tenant, meter.clone(), "")
    }
}

#[cfg(test)]
mod tests;
