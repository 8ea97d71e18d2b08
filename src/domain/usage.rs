//! Usage: what is counted against limits, each thing once.

mod leases;
mod ledger;
mod modules;
mod recording;
mod sums;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use thiserror::Error;

pub use self::{
    leases::{LeaseRequest, Leased, Settled},
    ledger::{CounterId, KeyId, Ledger, Reserved},
    modules::CountableModules,
    recording::{Corrected, Event, Recorded},
    sums::{Sum, SumId, Sums},
};
use super::{
    LimitKind, TenantId,
    calendar::{Month, Zones},
    limits::MAX_USAGE_KEY_BYTES,
};

/// The span that a counter belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Period {
    /// A level: it has none.
    Level,
    /// A calendar month.
    Month(Month),
}

impl Period {
    /// The period of an instant, of a tenant with these time zones.
    pub fn at(kind: LimitKind, instant: DateTime<Utc>, zones: &Zones) -> Self {
        match kind {
            LimitKind::Level => Self::Level,
            LimitKind::Monthly => Self::Month(zones.month_at(instant)),
        }
    }

    /// When it ends, and another begins; `None`: never.
    pub fn end(self, zones: &Zones) -> Option<DateTime<Utc>> {
        match self {
            Self::Level => None,
            Self::Month(month) => Some(zones.month_end(month)),
        }
    }
}

/// The stored form: empty for a level, `2026-11` for a month.
impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Level => Ok(()),
            Self::Month(month) => month.fmt(f),
        }
    }
}

/// What is counted of one tenant: a limit's key.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MeterId {
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the limit that bounds it.
    pub meter: Arc<str>,
}

/// The name of a thing that is counted: 1 to 128 printable ASCII characters without blanks.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UsageKey(Arc<str>);

/// The text is not a usage key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("must be 1 to {MAX_USAGE_KEY_BYTES} printable ASCII characters, without blanks")]
pub struct InvalidUsageKey;

impl UsageKey {
    /// Reads a key.
    pub fn parse(text: &str) -> Result<Self, InvalidUsageKey> {
        let is_good = (1..=MAX_USAGE_KEY_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.into())) } else { Err(InvalidUsageKey) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What there is of a meter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counter {
    /// What is taken for good, 0 or more.
    pub used: i64,
    /// What is held, and returns by itself, 0 or more.
    pub held: i64,
}

impl Counter {
    /// Both.
    pub fn taken(self) -> i64 {
        self.used.saturating_add(self.held)
    }
}

/// What has become of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyState {
    /// It is counted for good.
    Counted,
    /// It is held until then, exclusive.
    Held(DateTime<Utc>),
    /// It was given back, or counts for nothing since it corrects another.
    Released,
}

impl KeyState {
    /// The stored form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Held(_) => "held",
            Self::Released => "released",
        }
    }
}

/// When something was used, and the stored form of its day: what it is summed up by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsedAt {
    /// When.
    pub at: DateTime<Utc>,
    /// `2026-11-30`; empty for a level.
    pub day: Arc<str>,
}

impl UsedAt {
    /// An instant, of a tenant with these time zones.
    pub fn new(kind: LimitKind, at: DateTime<Utc>, zones: &Zones) -> Self {
        let day = match kind {
            LimitKind::Level => String::new(),
            LimitKind::Monthly => zones.day_at(at).to_string(),
        };
        Self { at, day: day.into() }
    }
}

/// What becomes of what is not settled of a lease when that runs out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsettled {
    /// It counts as used, until its holder says otherwise: never beyond the limit.
    Spent,
    /// It is free again: what was spent and not told is not counted.
    Returned,
}

/// What makes a key a lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Who holds it.
    pub holder: Arc<str>,
    /// What becomes of the rest; `None`: its holder has told what was spent.
    pub unsettled: Option<Unsettled>,
}

impl Lease {
    /// The stored form of what makes a key a lease; empty: it is none.
    pub fn word(lease: Option<&Self>) -> &'static str {
        match lease.map(|lease| lease.unsettled) {
            None => "",
            Some(None) => "settled",
            Some(Some(Unsettled::Spent)) => "spent",
            Some(Some(Unsettled::Returned)) => "returned",
        }
    }

    /// Reads the stored form.
    pub fn parse(word: &str, holder: &str) -> Option<Self> {
        let unsettled = match word {
            "" => return None,
            "spent" => Some(Unsettled::Spent),
            "returned" => Some(Unsettled::Returned),
            _ => None,
        };
        Some(Self { holder: holder.into(), unsettled })
    }
}

/// A key that took something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRow {
    /// The stored form of the period that it was taken from.
    pub period: Arc<str>,
    /// When that was used.
    pub used_at: UsedAt,
    /// How much was asked for.
    pub asked: i64,
    /// How much was taken, up to that.
    pub amount: i64,
    /// How much of that is counted as used by now: all of it once it is counted, less what was
    /// corrected; of a lease, what is spent.
    pub used: i64,
    /// What has become of it.
    pub state: KeyState,
    /// The module that it was taken for; empty: none was named.
    pub module: Arc<str>,
    /// The key that it corrects; empty: none.
    pub corrects: Arc<str>,
    /// Is it a lease?
    pub lease: Option<Lease>,
}

impl KeyRow {
    /// What of it is held.
    pub fn held(&self) -> i64 {
        match self.state {
            KeyState::Held(_) => self.amount - self.used,
            KeyState::Counted | KeyState::Released => 0,
        }
    }

    /// May another thing take its key?
    pub fn is_free(&self) -> bool {
        self.state == KeyState::Released && self.corrects.is_empty()
    }

    /// Is it the key of a thing that took so much, rather than of a lease or a correction?
    pub fn took(&self, amount: i64) -> bool {
        self.asked == amount && self.corrects.is_empty() && self.lease.is_none()
    }
}

/// A request for so much of a limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reservation {
    /// The name of what is counted.
    pub key: UsageKey,
    /// How much, 1 or more.
    pub amount: i64,
    /// It is held until then only; `None`: it is taken for good.
    pub hold_until: Option<DateTime<Utc>>,
    /// Where there is less, take what there is.
    pub partial: bool,
    /// The module that it is for; empty: none is named.
    pub module: Arc<str>,
    /// When.
    pub used_at: UsedAt,
}

impl Reservation {
    /// Its key, where so much is taken.
    pub fn row(&self, counter: &CounterId, amount: i64) -> KeyRow {
        let (state, used) = match self.hold_until {
            Some(until) => (KeyState::Held(until), 0),
            None => (KeyState::Counted, amount),
        };
        let (used_at, module) = (self.used_at.clone(), Arc::clone(&self.module));
        KeyRow { amount, used, state, ..ledger::new_row(counter, self.amount, used_at, module) }
    }
}
