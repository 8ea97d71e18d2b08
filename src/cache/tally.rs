//! What the cache has done, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often something has happened since the process began.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// It has happened once more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the cache has done.
#[derive(Debug, Default)]
pub struct Tally {
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
