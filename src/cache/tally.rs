//! What the cache has done, counted.

use crate::count::{Count, HotCount};

/// What the cache has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Look-ups of a tenant that were answered from memory.
    pub hits: HotCount,
    /// Look-ups of a tenant for which the database was asked.
    pub misses: Count,
    /// Look-ups that were answered although what is held may be otherwise by now, and the database could not be asked.
    pub stale: Count,
    /// Tenants read from the database.
    pub loads: Count,
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
