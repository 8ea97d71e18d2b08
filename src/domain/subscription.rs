//! A subscription: one tenant's right to one module, with a status and a window in time.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ModuleCode, Reason};

/// One row of `tenant_subscriptions`. A tenant may have several for one module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The row's UUID, which breaks ties.
    pub id: Uuid,
    /// The module, from a join.
    pub module: ModuleCode,
    /// The status, parsed.
    pub status: SubscriptionStatus,
    /// The start of the right. `None`: it has always run.
    pub starts_at: Option<DateTime<Utc>>,
    /// The end of the right, exclusive. `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Does `trial_ends_at` count?
    pub is_trial: bool,
    /// The trial's end, exclusive like `expires_at`. `None`: the trial has no end of its own.
    pub trial_ends_at: Option<DateTime<Utc>>,
}

impl Subscription {
    /// The order in which facts keep rows: grouped by module, then ordered by the start of their
    /// windows, then by id.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_module = self.module.cmp(&other.module);
        by_module.then(self.starts_at.cmp(&other.starts_at)).then(self.id.cmp(&other.id))
    }
}

/// What [`Facts`](super::Facts) hold of a subscription: everything except its id, which its
/// position among the others replaces.
///
/// The facts of a hundred thousand tenants hold a million of these, and every decision reads some.
/// What decisions read comes first in memory, and there is no padding between the fields.
#[derive(Clone, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct HeldSubscription {
    /// The module.
    pub module: ModuleCode,
    /// The status, parsed.
    pub status: SubscriptionStatus,
    /// Does `trial_ends_at` count?
    pub is_trial: bool,
    /// The start of the right. `None`: it has always run.
    pub starts_at: Option<DateTime<Utc>>,
    /// The end of the right, exclusive. `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The trial's end, exclusive like `expires_at`. `None`: the trial has no end of its own.
    pub trial_ends_at: Option<DateTime<Utc>>,
}

impl From<Subscription> for HeldSubscription {
    fn from(row: Subscription) -> Self {
        let Subscription { id: _, module, status, starts_at, expires_at, is_trial, trial_ends_at } =
            row;
        Self { module, status, is_trial, starts_at, expires_at, trial_ends_at }
    }
}

/// The status of a subscription, parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubscriptionStatus {
    /// `active`: the only one that can grant.
    Active,
    /// `suspended`.
    Suspended,
    /// `cancelled`.
    Cancelled,
    /// `expired`.
    Expired,
    /// Any other status, or none.
    Other,
}

impl SubscriptionStatus {
    /// Parses a `tenant_subscriptions.status`, ignoring case and surrounding blanks.
    pub fn of(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "active" => Self::Active,
            "suspended" => Self::Suspended,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            _ => Self::Other,
        }
    }

    /// The stored form; "other" for an unknown status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Other => "other",
        }
    }

    fn denial(self) -> Option<Reason> {
        match self {
            Self::Active => None,
            Self::Suspended => Some(Reason::SubscriptionSuspended),
            Self::Cancelled => Some(Reason::SubscriptionCancelled),
            Self::Expired => Some(Reason::SubscriptionExpired),
            Self::Other => Some(Reason::SubscriptionInactive),
        }
    }
}

/// A period of time: from `start` (inclusive) to `end` (exclusive), never empty. The ends of
/// chrono's calendar stand for "always" and "never".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
}

impl Window {
    pub(super) fn contains(self, at: DateTime<Utc>) -> bool {
        self.start <= at && at < self.end
    }
}

impl HeldSubscription {
    /// The part of [`Subscription::order`] that is left without the id.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.module.cmp(&other.module).then(self.starts_at.cmp(&other.starts_at))
    }

    /// The outcome of this row alone: lines 5 to 9 of the decision table.
    pub fn reason(&self, at: DateTime<Utc>) -> Reason {
        self.reason_and_line(at).0
    }

    /// The outcome of this row alone, and the line of the decision table that decides.
    pub(super) fn reason_and_line(&self, at: DateTime<Utc>) -> (Reason, u8) {
        if let Some(reason) = self.status.denial() {
            (reason, 5)
        } else if self.starts_at.is_some_and(|start| at < start) {
            (Reason::SubscriptionNotStarted, 6)
        } else if self.expires_at.is_some_and(|end| end <= at) {
            (Reason::SubscriptionExpired, 7)
        } else if self.is_trial && self.trial_ends_at.is_some_and(|end| end <= at) {
            (Reason::TrialEnded, 8)
        } else {
            (Reason::Enabled, 9)
        }
    }

    /// When this row grants; `None` if it never does.
    pub(super) fn window(&self) -> Option<Window> {
        if self.status != SubscriptionStatus::Active {
            return None;
        }
        let start = self.starts_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
        let expiry = self.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let trial_end =
            self.trial_ends_at.filter(|_| self.is_trial).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let end = expiry.min(trial_end);
        (start < end).then_some(Window { start, end })
    }
}
