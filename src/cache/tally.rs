//! What the cache has done, counted.

use crate::observability::counters::{Counter, ShardedCounter};

/// What the cache has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Look-ups of a tenant that were answered from memory.
    pub hits: ShardedCounter,
    /// Look-ups of a tenant for which the database was asked.
    pub misses: Counter,
    /// Look-ups that were answered although what is held may be otherwise by now, and the database
    /// could not be asked.
    pub stale: Counter,
    /// Tenants read from the database, those that were read again in the background included.
    pub loads: Counter,
    /// Statements that read them.
    pub statements: Counter,
    /// Questions that were refused because too many waited for a turn to ask the database, or for
    /// too long.
    pub overloads: Counter,
    /// Readings of the database that failed: tenants, catalogue, and those past the cache.
    pub load_errors: Counter,
    /// Changes that were announced.
    pub changes: Counter,
    /// Times at which anything may have changed.
    pub resets: Counter,
    /// Held tenants that were compared with the database.
    pub audited: Counter,
    /// Held tenants that were not what the database says, although no change was announced. Must
    /// stay zero.
    pub divergences: Counter,
}
