//! The decision: the answer for one module at one instant.

use chrono::{DateTime, Utc};

use super::{Catalogue, Facts, HeldSubscription, subscription::Window};

/// Why a module may be used, or why not, in the order of the decision table.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// Line 1.
    TenantNotFound,
    /// Line 2, status `suspended`.
    TenantSuspended,
    /// Line 2, status `cancelled`.
    TenantCancelled,
    /// Line 2, any other status that is not served.
    TenantNotServed,
    /// Line 3.
    ModuleNotFound,
    /// Line 4.
    NotSubscribed,
    /// Line 5, status `suspended`.
    SubscriptionSuspended,
    /// Line 5, status `cancelled`.
    SubscriptionCancelled,
    /// Line 5, status `expired`, and line 7.
    SubscriptionExpired,
    /// Line 5, a status that is not known.
    SubscriptionInactive,
    /// Line 6.
    SubscriptionNotStarted,
    /// Line 8.
    TrialEnded,
    /// Line 9: allowed.
    Enabled,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; Self::Enabled as usize + 1] = [
        Self::TenantNotFound,
        Self::TenantSuspended,
        Self::TenantCancelled,
        Self::TenantNotServed,
        Self::ModuleNotFound,
        Self::NotSubscribed,
        Self::SubscriptionSuspended,
        Self::SubscriptionCancelled,
        Self::SubscriptionExpired,
        Self::SubscriptionInactive,
        Self::SubscriptionNotStarted,
        Self::TrialEnded,
        Self::Enabled,
    ];
}

/// The answer for one module at one instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// Why, or why not.
    pub reason: Reason,
    /// The line of the decision table that decided, from 1.
    pub line: u8,
    /// The next instant at which time alone changes `allowed`; `None`: never.
    pub valid_until: Option<DateTime<Utc>>,
}

impl Decision {
    /// May the module be used?
    pub fn allowed(self) -> bool {
        self.reason == Reason::Enabled
    }

    /// Was it a subscription that decided, rather than the tenant or the catalogue?
    pub fn by_subscription(self) -> bool {
        self.line >= 5
    }

    fn timeless(reason: Reason, line: u8) -> Self {
        Self { reason, line, valid_until: None }
    }
}

/// Decides by docs/decision-table.md: the first line that applies.
///
/// `facts` is `None` if the tenant does not exist. The facts carry their module codes by join, so a
/// module that a subscription names exists even if the given catalogue is older. A former code of a
/// module counts as that module's code.
pub fn check(
    facts: Option<&Facts>,
    catalogue: &Catalogue,
    module: &str,
    at: DateTime<Utc>,
) -> Decision {
    let by_facts = check_facts(facts, module, at).or_else(|| match catalogue.code_of_now(module) {
        same if same == module => None,
        code => check_facts(facts, code, at),
    });
    by_facts.unwrap_or_else(|| match catalogue.module(module) {
        None => Decision::timeless(Reason::ModuleNotFound, 3),
        Some(_) => Decision::timeless(Reason::NotSubscribed, 4),
    })
}

/// Decides by the facts alone; `None` if there is no subscription to the module, so that the
/// catalogue is needed to decide.
pub fn check_facts(facts: Option<&Facts>, module: &str, at: DateTime<Utc>) -> Option<Decision> {
    let Some(facts) = facts else {
        return Some(Decision::timeless(Reason::TenantNotFound, 1));
    };
    if let Some(reason) = facts.status().denial() {
        return Some(Decision::timeless(reason, 2));
    }
    decide(facts.rows_of(module), at)
}

/// Lines 5 to 9 over all rows of one module; `None` if there are none.
pub(super) fn decide(rows: &[HeldSubscription], at: DateTime<Utc>) -> Option<Decision> {
    let (_, row) = deciding_row(rows, at)?;
    let (reason, line) = row.reason_and_line(at);
    Some(Decision { reason, line, valid_until: next_change(rows, at) })
}

/// The index, among the module's rows, of the row that gave a decision its reason; `None` if
/// something else did.
pub fn deciding_subscription(
    facts: &Facts,
    module: &str,
    decision: Decision,
    at: DateTime<Utc>,
) -> Option<usize> {
    let deciding = deciding_row(facts.rows_of(module), at).filter(|_| decision.by_subscription());
    deciding.map(|(place, _)| place)
}

/// The row that gives the answer its reason, with its index: the one that got furthest down the
/// table (a grant is its end), then the one with the latest start, then the one with the highest
/// id.
fn deciding_row(
    rows: &[HeldSubscription],
    at: DateTime<Utc>,
) -> Option<(usize, &HeldSubscription)> {
    // Rows are ordered by start and id, and of several equal maxima `max_by_key` takes the last.
    rows.iter().enumerate().max_by_key(|(_, row)| row.reason_and_line(at).1)
}

/// The next instant at which time alone changes whether any of the rows grants: the end of the
/// uninterrupted right if one does, otherwise the first start ahead.
fn next_change(rows: &[HeldSubscription], at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match right_at(rows, at) {
        Some(right) => (right.end < DateTime::<Utc>::MAX_UTC).then_some(right.end),
        None => rows
            .iter()
            .filter_map(HeldSubscription::window)
            .map(|window| window.start)
            .find(|start| at < *start),
    }
}

/// The uninterrupted right that contains `at`, as far as it reaches forward. Windows that touch are
/// one right.
fn right_at(rows: &[HeldSubscription], at: DateTime<Utc>) -> Option<Window> {
    // Rows are ordered by the start of their windows, so one pass is enough.
    rows.iter().filter_map(HeldSubscription::window).fold(None, |right, window| match right {
        None => window.contains(at).then_some(window),
        Some(right) if window.start <= right.end => {
            Some(Window { end: right.end.max(window.end), ..right })
        }
        Some(right) => Some(right),
    })
}

impl Reason {
    /// Its name in logs, metrics and the output of commands: that of `DecisionReason` in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::TenantNotFound => "TENANT_NOT_FOUND",
            Self::TenantSuspended => "TENANT_SUSPENDED",
            Self::TenantCancelled => "TENANT_CANCELLED",
            Self::TenantNotServed => "TENANT_NOT_SERVED",
            Self::ModuleNotFound => "MODULE_NOT_FOUND",
            Self::NotSubscribed => "NOT_SUBSCRIBED",
            Self::SubscriptionSuspended => "SUBSCRIPTION_SUSPENDED",
            Self::SubscriptionCancelled => "SUBSCRIPTION_CANCELLED",
            Self::SubscriptionExpired => "SUBSCRIPTION_EXPIRED",
            Self::SubscriptionInactive => "SUBSCRIPTION_INACTIVE",
            Self::SubscriptionNotStarted => "SUBSCRIPTION_NOT_STARTED",
            Self::TrialEnded => "TRIAL_ENDED",
            Self::Enabled => "ENABLED",
        }
    }

    /// On a denial, a sentence that can be shown to a person. Empty if the module is enabled.
    pub fn message(self, module: &str) -> String {
        match self {
            Self::Enabled => String::new(),
            Self::TenantNotFound => {
                "This account does not exist. Please check your subdomain or sign in again.".into()
            }
            Self::TenantSuspended => "Your account is suspended. Please contact support.".into(),
            Self::TenantCancelled => {
                "Your account has been cancelled. Please contact support.".into()
            }
            Self::TenantNotServed => {
                "Your account is not ready yet. Please try again later or contact support.".into()
            }
            Self::ModuleNotFound => format!("Module '{module}' does not exist."),
            // The sentence that the ERP's clients already show.
            Self::NotSubscribed => {
                format!(
                    "Module '{module}' is not enabled for your account. Please upgrade your subscription."
                )
            }
            Self::SubscriptionSuspended => {
                format!(
                    "Your subscription to module '{module}' is suspended. Please contact support."
                )
            }
            Self::SubscriptionCancelled => {
                format!(
                    "Your subscription to module '{module}' has been cancelled. Please renew your subscription."
                )
            }
            Self::SubscriptionExpired => {
                format!(
                    "Your subscription to module '{module}' has expired. Please renew your subscription."
                )
            }
            Self::SubscriptionInactive => {
                format!(
                    "Your subscription to module '{module}' is not active. Please contact support."
                )
            }
            Self::SubscriptionNotStarted => {
                format!("Your subscription to module '{module}' has not started yet.")
            }
            Self::TrialEnded => {
                format!(
                    "Your trial of module '{module}' has ended. Please upgrade your subscription."
                )
            }
        }
    }
}
