//! How a cache is set up.

use std::time::Duration;

use chrono::TimeDelta;

/// How much is held, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// While changes are not heard of, facts are believed for this long. While they are, facts
    /// hold until news of them comes, and are compared with the database once in this time.
    pub ttl: TimeDelta,
    /// That a tenant or module does not exist is believed for this long.
    pub negative_ttl: TimeDelta,
    /// While the database cannot be asked, what is held is served for this long, and says so.
    pub max_stale: TimeDelta,
    /// Tenants held.
    pub capacity: usize,
    /// A load for which the database takes longer is given up. What it waits for its turn is not
    /// counted.
    pub load_timeout: Duration,
    /// Loads at the same time.
    pub max_loads: usize,
    /// Readings past the cache at the same time.
    pub max_bypass_reads: usize,
    /// What is done about what is held and has changed.
    pub after_change: AfterChange,
}

/// What is done about what is held and has changed, although nobody asks for it yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AfterChange {
    /// It is read again.
    Reload,
    /// Nothing.
    Leave,
    /// It is sent by whoever announces the change: see [`Cache::receive`](super::Cache::receive).
    Receive,
}
