//! What the cache has done, counted.

use crate::observability::counters::{Count, HotCount};

/// What the cache has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Look-ups of a tenant that were answered from memory.
    pub hits: HotCount,
    /// Look-ups of a tenant for which the database was asked.
    pub misses: Count,
    /// Look-ups that were answered although what is held may be otherwise by now, and the database could not be asked.
    pub stale: Count,
    /// Tenants read from the database, those that were read again in the background included.
    pub loads: Count,
    /// Statements that read them.
    pub statements: Count,
    /// Questions that were refused because too many waited for a turn to ask the database, or for too long.
    pub overloads: Count,
    /// Readings of the database that failed: tenants, catalogue, and those past the cache.
    pub load_errors: Count,
    /// Changes that were announced.
    pub changes: Count,
    /// Times at which anything may have changed.
    pub resets: Count,
    /// Held tenants that were compared with the database.
    pub audited: Count,
    /// Held tenants that were not what the database says, although no change was announced. Must stay zero.
    pub divergences: Count,
}
