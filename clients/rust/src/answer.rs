//! What callers receive.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock::{Micros, date};

/// Why a module may be used, or why not: mirrors the server's `DecisionReason`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Nobody knows: the server could not be asked, and the rule for outages answered. Or a newer
    /// server gave a reason that this library does not know.
    #[default]
    Unspecified,
    /// Allowed.
    Enabled,
    /// No tenant has this id.
    TenantNotFound,
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenant has left.
    TenantCancelled,
    /// The tenant has another status that is not served.
    TenantNotServed,
    /// The catalogue has no module with this code.
    ModuleNotFound,
    /// The tenant has no subscription to the module.
    NotSubscribed,
    /// The subscription is suspended.
    SubscriptionSuspended,
    /// The subscription was cancelled.
    SubscriptionCancelled,
    /// The subscription has expired.
    SubscriptionExpired,
    /// The subscription has a status that the server does not know.
    SubscriptionInactive,
    /// The subscription starts later.
    SubscriptionNotStarted,
    /// The trial has ended.
    TrialEnded,
}

impl Reason {
    /// Its name in the server's API, as in docs/decision-table.md: `NOT_SUBSCRIBED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Enabled => "ENABLED",
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
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// May the tenant use the module?
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Answer {
    pub(crate) allowed: bool,
    pub(crate) reason: Reason,
    pub(crate) stale: bool,
    pub(crate) by_outage_rule: bool,
    pub(crate) revision: u64,
    pub(crate) as_of: Micros,
    pub(crate) valid_until: Micros,
    /// The details of a denial; a grant has none, and so allocates nothing.
    pub(crate) words: Option<Arc<Words>>,
}

/// The details of a denial.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(crate) struct Words {
    pub(crate) message: String,
    pub(crate) plan_slugs: Vec<String>,
}

impl Words {
    /// Without plans that would do.
    pub(crate) fn of(message: String) -> Self {
        Self { message, plan_slugs: Vec::new() }
    }
}

impl Answer {
    /// May the tenant use the module?
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// Why, or why not.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// On a denial, a sentence that can be shown to a person; else empty.
    pub fn message(&self) -> &str {
        self.words.as_ref().map_or("", |words| &words.message)
    }

    /// On [`Reason::NotSubscribed`], the slugs of the plans on sale that contain the module,
    /// cheapest first.
    pub fn plan_slugs(&self) -> &[String] {
        self.words.as_ref().map_or(&[], |words| &words.plan_slugs)
    }

    /// The revision of the facts that this answer rests on; 0: none, or the server does not count
    /// revisions.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When those facts were read. `None` if the answer rests on none.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        date(self.as_of)
    }

    /// The instant at which the answer changes by time alone; `None`: never.
    pub fn valid_until(&self) -> Option<DateTime<Utc>> {
        date(self.valid_until)
    }

    /// Was it given without asking whether it still holds, because the server or its database was
    /// unreachable?
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Was it given by the outage rule, because the server was unreachable?
    pub fn by_outage_rule(&self) -> bool {
        self.by_outage_rule
    }
}

/// A tenant's status. Only `Active` and `Pending` are served.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TenantStatus {
    /// Served.
    Active,
    /// Served.
    Pending,
    /// Its schema is still being made.
    PendingSetup,
    /// Switched off, and may come back.
    Suspended,
    /// The tenant has left.
    Cancelled,
    /// Its setup failed.
    Failed,
    /// A status that is not known.
    #[default]
    Other,
}

/// A customer organisation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tenant {
    /// Its UUID.
    pub id: Uuid,
    /// Its name, to be shown.
    pub name: String,
    /// Its label under a base domain: `testcompany`.
    pub subdomain: String,
    /// The database schema that holds its data. Quote it.
    pub database_schema: String,
    /// Its status, which decides whether it is served at all.
    pub status: TenantStatus,
    /// The slug of its plan; empty: it has none.
    pub plan_slug: String,
}

/// What identified the tenant: the strongest of several sources.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TenantSource {
    /// A newer server named one that this library does not know.
    #[default]
    Unspecified,
    /// A bearer token that was verified.
    BearerToken,
    /// The tenant id that the caller passed on. Nothing vouches for it.
    TenantId,
    /// The host that the caller passed on. Nothing vouches for it.
    Host,
    /// A client's certificate that a proxy has verified.
    Certificate,
}

/// The tenant that a request belongs to. Served, and cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// The tenant, which is served.
    pub tenant: Arc<Tenant>,
    /// What identified it.
    pub source: TenantSource,
    /// Did a verified token identify it? Otherwise it is only what the request claims.
    pub verified: bool,
    /// Was it given without asking whether it still holds, because the server or its database was
    /// unreachable?
    pub stale: bool,
    /// Was it given by the outage rule, because the server was unreachable?
    pub by_outage_rule: bool,
}

/// A tenant, and whether it may use one of the modules that were asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authorized {
    /// The tenant, and what identified it.
    pub resolved: Resolved,
    /// For the first module that the tenant may use; if there is none, for the first module asked
    /// about.
    pub answer: Answer,
}

/// A module that a tenant may use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnabledModule {
    /// The module as the catalogue describes it. Shared by all tenants.
    pub module: Arc<Module>,
    /// Does the right come from a trial?
    pub is_trial: bool,
    /// `None`: it has always run.
    pub starts_at: Option<DateTime<Utc>>,
    /// `None`: it never expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Counts only where `is_trial`.
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// The end of the uninterrupted right; `None`: it has no end.
    pub valid_until: Option<DateTime<Utc>>,
}

/// A module as the catalogue describes it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Module {
    /// Its code.
    pub code: String,
    /// Its name, to be shown.
    pub name: String,
    /// The category that it belongs to; may be empty.
    pub category: String,
    /// Lists are ordered by this, then by code.
    pub display_order: i32,
    /// Is it part of every account?
    pub is_base_module: bool,
    /// The numbers of its menu sections.
    pub sections: Vec<i32>,
    /// Its routes in the front end.
    pub frontend_routes: Vec<String>,
}
