//! Counters of what the cache has done.

use crate::observability::counters::{Counter, ShardedCounter};

/// Counters of what the cache has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lookups of a tenant that were answered from memory.
    pub hits: ShardedCounter,
    /// Lookups of a tenant for which the database was queried.
    pub misses: Counter,
    /// Lookups that were answered although what is held may be outdated, because the database could
    /// not be reached.
    pub stale: Counter,
    /// Tenants read from the database, including those read again in the background.
    pub loads: Counter,
    /// Statements that read them.
    pub statements: Counter,
    /// Questions that were refused because too many callers were waiting for a turn to query the
    /// database, or had waited too long.
    pub overloads: Counter,
    /// Failed reads of the database: tenants, catalogue, and reads that bypass the cache.
    pub load_errors: Counter,
    /// Changes that were received.
    pub changes: Counter,
    /// Resets: events after which anything may have changed.
    pub resets: Counter,
    /// Held tenants that were compared with the database.
    pub audited: Counter,
    /// Held tenants that differed from the database although no change was announced. Must stay
    /// zero.
    pub divergences: Counter,
}
