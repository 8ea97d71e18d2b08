//! Changes as they are committed: read from the log, when PostgreSQL notifies of them.

mod fold;
mod listen;
mod poll;
mod state;

use entitlementd_migration::topic;
use uuid::Uuid;

pub use self::{
    fold::FoldStep,
    listen::Listener,
    poll::{Gap, News, Poll, Position},
    state::{Holder, HolderName, LogState},
};
pub(super) use self::{
    fold::fold,
    poll::{clock_of, log_of_replica, poll},
};
use crate::domain::TenantId;

/// What has changed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Change {
    /// The facts of one tenant.
    Tenant(TenantId),
    /// The facts of every tenant: a table was truncated, or a transaction has changed more tenants
    /// than are announced individually.
    Tenants,
    /// The set of tenants, and their subdomains.
    Directory,
    /// The modules and plans.
    Catalogue,
}

impl Change {
    /// An unknown topic comes from a newer trigger: it may mean anything, so it counts as
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
