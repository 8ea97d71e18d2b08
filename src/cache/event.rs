//! What the cache sends to its watchers.

use crate::domain::TenantId;

/// An event that watchers receive, after the cache has dropped what it held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A tenant's facts have changed; they are at this revision now, or at one that could not be
    /// read (0).
    Tenant(TenantId, u64),
    /// The catalogue has changed, and is at this revision now.
    Catalogue(u64),
    /// Anything may have changed.
    Reset,
    /// The feed became suspect, or is live again.
    Doubt,
    /// Changes are no longer received.
    FeedOff,
}
