//! The words of limits: they mirror the server's.

use std::fmt;

use crate::Reason;

/// Why something is within a limit, or why it is not.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitReason {
    /// Nobody knows: the server could not be asked, and the rule for outages answered. Or a newer
    /// server gave a reason that this library does not know.
    #[default]
    Unspecified,
    /// It is within the limit.
    Within,
    /// There is no limit.
    Unlimited,
    /// With so much more it would be beyond the limit.
    Exceeded,
    /// There is more already than the limit allows, for it was lowered. Nothing is taken away, and
    /// nothing more is given.
    OverLimit,
    /// The tenant does not exist, or is not served.
    TenantDenied,
    /// There is no such limit, which allows nothing.
    NotFound,
    /// The tenant has no plan, and so no limit.
    NoPlan,
    /// Where usage is counted for a module: the tenant may not use it.
    ModuleDenied,
}

impl LimitReason {
    /// Its name in the server's API: `OVER_LIMIT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Within => "WITHIN",
            Self::Unlimited => "UNLIMITED",
            Self::Exceeded => "EXCEEDED",
            Self::OverLimit => "OVER_LIMIT",
            Self::TenantDenied => "TENANT_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::NoPlan => "NO_PLAN",
            Self::ModuleDenied => "MODULE_DENIED",
        }
    }

    /// Is it allowed, where limits are enforced?
    pub(super) fn is_within(self) -> bool {
        matches!(self, Self::Within | Self::Unlimited | Self::NoPlan)
    }

    /// The sentence for people, as the server puts it; empty where it is within the limit.
    pub(super) fn sentence(self, key: &str, limit: i64, tenant: Reason) -> String {
        match self {
            // Whoever names a module has the module's own sentence.
            Self::Unspecified
            | Self::Within
            | Self::Unlimited
            | Self::NoPlan
            | Self::ModuleDenied => String::new(),
            Self::Exceeded => {
                format!("This would exceed the limit '{key}' of {limit}.")
            }
            Self::OverLimit => {
                format!("The limit '{key}' of {limit} has been exceeded.")
            }
            Self::TenantDenied => tenant_sentence(tenant).to_owned(),
            Self::NotFound => format!("There is no limit '{key}'."),
        }
    }
}

/// Why a tenant is denied, for people, as the server puts it.
fn tenant_sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::TenantNotFound => {
            "This account does not exist. Please check your subdomain or sign in again."
        }
        Reason::TenantSuspended => "Your account is suspended. Please contact support.",
        Reason::TenantCancelled => "Your account has been cancelled. Please contact support.",
        _ => "Your account is not ready yet. Please try again later or contact support.",
    }
}

impl fmt::Display for LimitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who says what a limit is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitSource {
    /// Nobody knows, as in an outage, or a newer server named one that this library does not know.
    #[default]
    Unspecified,
    /// Nobody: there is no limit.
    None,
    /// The tenant's plan.
    Plan,
    /// An override: what this tenant has instead of the limit of its plan.
    Override,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitKind {
    /// There is no such limit, or nobody knows.
    #[default]
    Unspecified,
    /// How many there are at a time: users.
    Level,
    /// How many come in a calendar month: orders.
    Monthly,
}

/// What the server does about limits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitEnforcement {
    /// Nobody knows, as in an outage.
    #[default]
    Unspecified,
    /// Everything is allowed.
    Off,
    /// Everything is allowed, and what would be refused is to be noticed: it is up to you to count
    /// or log it.
    Shadow,
    /// Limits hold.
    On,
}
