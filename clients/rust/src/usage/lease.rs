//! Slices of a limit, as they are asked for and settled.

use std::time::Duration;

use uuid::Uuid;

use crate::{LimitReason, clock::Micros};

/// What becomes of what is not settled of a slice when that runs out, as where the process dies.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Unsettled {
    /// It counts as used: never beyond the limit.
    #[default]
    Spent,
    /// It is free again. What was spent and never told is not counted, so that more may be used than the
    /// limit allows.
    Returned,
}

/// What is to be leased, to be spent in this process.
///
/// ```
/// use std::time::Duration;
///
/// use entitlement_client::{Lease, Unsettled};
///
/// let calls = Lease::new("transactions_monthly")
///     .size(500)
///     .ttl(Duration::from_secs(30))
///     .unsettled(Unsettled::Returned)
///     .module("finance");
/// # drop(calls);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Lease {
    pub(crate) meter: String,
    pub(crate) size: i64,
    pub(crate) ttl: Duration,
    pub(crate) unsettled: Unsettled,
    /// Empty: the tenant's own use.
    pub(crate) module: String,
}

impl Lease {
    /// Slices of `meter`, which is the key of a limit.
    pub fn new(meter: impl Into<String>) -> Self {
        Self {
            meter: meter.into(),
            size: 100,
            ttl: Duration::from_secs(60),
            unsettled: Unsettled::default(),
            module: String::new(),
        }
    }

    /// How much of a slice would be welcome, 1 to 10^12; of what little is left the server grants less.
    /// Default 100.
    pub fn size(mut self, size: i64) -> Self {
        self.size = size;
        self
    }

    /// How long a slice lasts, 5 s to 10 min; it is spent for nine tenths of that. Default 60 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// What becomes of what is not settled, as where the process dies. Default: it counts as used.
    pub fn unsettled(mut self, rule: Unsettled) -> Self {
        self.unsettled = rule;
        self
    }

    /// The code of the module that it is for, which the tenant must be allowed to use. Default: none is
    /// asked about.
    pub fn module(mut self, code: impl Into<String>) -> Self {
        self.module = code.into();
        self
    }
}

/// A request for a slice.
#[derive(Clone, Debug)]
pub(crate) struct Acquire {
    pub(crate) tenant: Uuid,
    pub(crate) id: Uuid,
    pub(crate) holder: String,
    pub(crate) lease: Lease,
}

/// What was granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Granted {
    /// 0: nothing.
    pub(crate) amount: i64,
    /// How long it lasts from when it was asked for.
    pub(crate) ttl: Micros,
    /// How the counter stands, or why nothing is granted.
    pub(crate) reason: LimitReason,
}

/// What was spent of a slice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Settle {
    pub(crate) tenant: Uuid,
    pub(crate) meter: String,
    pub(crate) id: Uuid,
    pub(crate) spent: i64,
    /// No more will be.
    pub(crate) is_final: bool,
}
