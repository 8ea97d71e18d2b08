//! Changes as they are committed: read from the log, which PostgreSQL says when to read.

mod listen;
mod poll;

use entitlementd_migration::topic;
use uuid::Uuid;

pub use self::{
    listen::Listener,
    poll::{News, Poll, Position},
};
use crate::domain::TenantId;

/// What is no longer what it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Change {
    /// One tenant's facts.
    Tenant(TenantId),
    /// Every tenant's facts: a table was truncated, or a transaction has touched more tenants than
    /// are announced one by one.
    Tenants,
    /// Which tenants there are, and their subdomains.
    Directory,
    /// Modules and plans.
    Catalogue,
}

impl Change {
    /// A word that is not known comes from a newer trigger: it may mean anything, so it means
    /// everything.
    fn of(topic: &str, tenant: Option<Uuid>) -> Self {
        match (topic, tenant) {
            (topic::TENANT, Some(id)) => Self::Tenant(id.into()),
            (topic::DIRECTORY, _) => Self::Directory,
            (topic::CATALOGUE, _) => Self::Catalogue,
            _ => Self::Tenants,
        }
    }
}
