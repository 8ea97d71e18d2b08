//! A tenant: a customer organisation.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::{Reason, TenantId, limits::MAX_TENANT_NAME_CHARS};

/// What the database holds about a tenant itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tenant {
    /// Its status, which decides whether it is served at all.
    pub status: TenantStatus,
    /// Its UUID.
    pub id: TenantId,
    /// Its name, to be shown.
    pub name: Box<str>,
    /// Its label under a base domain.
    pub subdomain: Box<str>,
    /// The schema that holds its data. Not unique in existing databases.
    pub database_schema: Box<str>,
    /// The slug of its plan, if it has one. Shared: there are few plans.
    pub plan_slug: Option<Arc<str>>,
}

/// A name that a new tenant could be given, to be shown: 1 to 255 characters, not all of them
/// blanks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TenantName(Box<str>);

/// The text is not a valid name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "must be 1 to {MAX_TENANT_NAME_CHARS} characters, not all of them blanks, and no control characters"
)]
pub struct InvalidTenantName;

impl FromStr for TenantName {
    type Err = InvalidTenantName;

    fn from_str(text: &str) -> Result<Self, InvalidTenantName> {
        let is_good = !text.trim().is_empty()
            && text.chars().count() <= MAX_TENANT_NAME_CHARS
            && !text.contains(char::is_control);
        if is_good { Ok(Self(text.into())) } else { Err(InvalidTenantName) }
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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
