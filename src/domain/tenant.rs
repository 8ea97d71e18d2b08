//! A tenant: a customer organisation.

use std::{fmt, str::FromStr, sync::Arc};

use chrono_tz::Tz;
use thiserror::Error;

use super::{
    Flags, KeptFeature, KeptLimit, KeptTerms, LimitOverride, TenantId, TenantStatus,
    calendar::{ZoneFrom, Zones},
    limits::MAX_TENANT_NAME_CHARS,
};

/// What the database holds about a tenant itself.
///
/// What questions about features and limits read comes first: side by side, in one cache line.
#[derive(Clone, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Tenant {
    /// What it has of its own, beside what its plan says now; `None`: nothing, as most tenants.
    pub own: Option<Box<OwnTerms>>,
    /// The slug of its plan, if it has one. Shared: there are few plans.
    pub plan_slug: Option<Arc<str>>,
    /// Its UUID.
    pub id: TenantId,
    /// Its name, to be shown.
    pub name: Box<str>,
    /// Its label under a base domain.
    pub subdomain: Box<str>,
    /// The schema that holds its data. Not unique in existing databases.
    pub database_schema: Box<str>,
    /// Its status, which decides whether it is served at all.
    pub status: TenantStatus,
}

/// What a tenant has of its own, beside what its plan says now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OwnTerms {
    /// Its flags.
    pub flags: Flags,
    /// The limits that it has instead of those of its plan, ordered by key.
    pub overrides: Box<[LimitOverride]>,
    /// What it keeps of its plan from before that was changed; `None`: nothing, as most tenants that
    /// have flags.
    pub kept: Option<Box<KeptTerms>>,
    /// The time zones that it has instead of that of the servers, ordered by month.
    pub zones: Arc<[ZoneFrom]>,
}

impl OwnTerms {
    /// What it has instead of the limit with this key.
    pub fn override_of(&self, key: &str) -> Option<&LimitOverride> {
        let place = self.overrides.binary_search_by(|own| (*own.key).cmp(key)).ok()?;
        self.overrides.get(place)
    }
}

impl Tenant {
    /// What it keeps about a feature of the module with this code.
    pub fn kept_feature(&self, module: &str, key: &str) -> Option<&KeptFeature> {
        self.kept()?.feature(module, key)
    }

    /// What it keeps about the limit with this key.
    pub fn kept_limit(&self, key: &str) -> Option<&KeptLimit> {
        self.kept()?.limit(key)
    }

    /// The time zones of its months, where the servers have this one.
    pub fn zones(&self, servers: Tz) -> Zones {
        match &self.own {
            Some(own) => Zones::new(servers, Arc::clone(&own.zones)),
            None => servers.into(),
        }
    }

    /// What it keeps of its plan, if anything. Who has no plan keeps nothing.
    pub fn kept(&self) -> Option<&KeptTerms> {
        self.plan_slug.as_ref().and(self.own.as_ref()?.kept.as_deref())
    }
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
