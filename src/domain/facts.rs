//! Facts: what the database says of one tenant, at one revision.

use chrono::{DateTime, Utc};

use super::{Subscription, Tenant};

/// The tenant's row and its subscriptions, read in one statement.
///
/// Time is applied when the facts are asked, so facts that are held never outlive an expiry and never miss a start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The tenant itself.
    pub tenant: Tenant,
    /// Grows with each committed change of these facts; 0 while the database does not count.
    pub revision: u64,
    /// When they were read, at the latest: the instant before the statement was sent.
    pub as_of: DateTime<Utc>,
    subscriptions: Box<[Subscription]>,
}

impl Facts {
    /// Puts the facts of one tenant together.
    pub fn new(tenant: Tenant, mut subscriptions: Vec<Subscription>, revision: u64, as_of: DateTime<Utc>) -> Self {
        // The rows of a module lie together, in the order in which their windows open.
        subscriptions.sort_by(|a, b| a.module.cmp(&b.module).then(a.starts_at.cmp(&b.starts_at)).then(a.id.cmp(&b.id)));
        Self { tenant, revision, as_of, subscriptions: subscriptions.into() }
    }

    /// The rows of one module, in the order in which their windows open.
    pub fn rows_of(&self, module: &str) -> &[Subscription] {
        let from = self.subscriptions.partition_point(|row| row.module.as_str() < module);
        let rows = &self.subscriptions[from..];
        let count = rows.iter().take_while(|row| row.module.as_str() == module).count();
        &rows[..count]
    }

    /// The rows of each module in turn, by code.
    pub fn by_module(&self) -> impl Iterator<Item = &[Subscription]> {
        self.subscriptions.chunk_by(|a, b| a.module == b.module)
    }
}
