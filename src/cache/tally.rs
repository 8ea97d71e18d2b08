//! Counters of what the cache has done.

use crate::{
    observability::{
        counters::{Counter, ShardedCounter},
        metrics::{HistogramFamily, label},
    },
    store::StoreError,
};

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
    /// How long those took, the wait for a connection included.
    pub(crate) load_durations: HistogramFamily<LoadResult>,
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

label! {
    /// What became of a statement that reads tenants.
    pub(crate) enum LoadResult {
        /// It was answered.
        Ok => "ok",
        /// The database refused it, failed while it ran, or was lost.
        Failed => "failed",
        /// The database did not answer in time, be it while a connection was opened.
        TimedOut => "timed_out",
        /// All connections were in use, or none could be opened.
        NoConnection => "no_connection",
    }
}

impl LoadResult {
    pub(super) fn of<T>(outcome: &Result<T, StoreError>) -> Self {
        match outcome {
            Ok(_) => Self::Ok,
            Err(StoreError::PoolExhausted | StoreError::NoConnection(_)) => Self::NoConnection,
            Err(error) if error.is_for_want_of_connections() => Self::NoConnection,
            Err(StoreError::TimedOut) => Self::TimedOut,
            Err(error) if error.is_for_want_of_time() => Self::TimedOut,
            Err(_) => Self::Failed,
        }
    }
}
