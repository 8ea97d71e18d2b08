//! What a tenant is looked up by.

use crate::domain::{Label, TenantId};

/// What identifies a tenant in the database.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum TenantKey {
    /// `tenants.id`.
    Id(TenantId),
    /// `tenants.subdomain`, exactly.
    Subdomain(Label),
}

impl TenantKey {
    /// Parses a tenant's UUID in 36-character form, or subdomain. `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let by_id = TenantId::parse(text).ok().map(Self::Id);
        by_id.or_else(|| Label::parse(text).map(Self::Subdomain))
    }
}
