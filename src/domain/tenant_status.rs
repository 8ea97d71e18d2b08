//! Whether a tenant is served: the words of `tenants.status`.

use super::Reason;

/// A tenant's status, parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TenantStatus {
    /// `active`: served.
    Active,
    /// `pending`: served.
    Pending,
    /// `pending_setup`: its schema is still being made.
    PendingSetup,
    /// `suspended`.
    Suspended,
    /// `cancelled`.
    Cancelled,
    /// `failed`: its setup failed.
    Failed,
    /// Any other status, or none.
    Other,
}

impl TenantStatus {
    /// Parses a `tenants.status`, ignoring case and surrounding blanks.
    pub fn of(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "active" => Self::Active,
            "pending" => Self::Pending,
            "pending_setup" => Self::PendingSetup,
            "suspended" => Self::Suspended,
            "cancelled" => Self::Cancelled,
            "failed" => Self::Failed,
            _ => Self::Other,
        }
    }

    /// The stored form; "other" for an unknown status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::PendingSetup => "pending_setup",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Other => "other",
        }
    }

    /// Why a tenant with this status is not served; `None` if it is served.
    pub fn denial(self) -> Option<Reason> {
        match self {
            Self::Active | Self::Pending => None,
            Self::Suspended => Some(Reason::TenantSuspended),
            Self::Cancelled => Some(Reason::TenantCancelled),
            Self::PendingSetup | Self::Failed | Self::Other => Some(Reason::TenantNotServed),
        }
    }
}
