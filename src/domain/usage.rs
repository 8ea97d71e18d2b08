//! Usage: what is counted against limits, each thing once.

mod ledger;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use thiserror::Error;

pub use self::ledger::{CounterId, KeyId, Ledger, Reserved};
use super::{LimitKind, TenantId, limits::MAX_USAGE_KEY_BYTES, month::Month};

/// The span that a counter belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Period {
    /// A level: it has none.
    Level,
    /// A calendar month.
    Month(Month),
}

impl Period {
    /// The period of an instant.
    pub fn at(kind: LimitKind, instant: DateTime<Utc>, zone: Tz) -> Self {
        match kind {
            LimitKind::Level => Self::Level,
            LimitKind::Monthly => Self::Month(Month::at(instant, zone)),
        }
    }

    /// When it ends, and another begins; `None`: never.
    pub fn end(self, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Level => None,
            Self::Month(month) => Some(month.next().start(zone)),
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
    /// It was given back.
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

/// A key that took something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRow {
    /// The stored form of the period that it was taken from.
    pub period: Arc<str>,
    /// How much was asked for.
    pub asked: i64,
    /// How much was taken, up to that.
    pub amount: i64,
    /// What has become of it.
    pub state: KeyState,
    /// The module that it was taken for; empty: none was named.
    pub module: Arc<str>,
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
}
