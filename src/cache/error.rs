//! Why the cache has no answer.

use thiserror::Error;

use crate::store::StoreError;

/// Why the cache has no answer. Shared by everyone who waits for one load, and therefore cheap to
/// clone. The text is for the log, never for a caller.
#[derive(Clone, Debug, Error)]
pub enum LoadError {
    /// The database was queried, and failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database has failed just now, and other loads are finding out whether it still does:
    /// this one was not sent.
    #[error("the database has failed just now")]
    Failing,
    /// Too many loads wait for a turn to query the database, or this one has waited for too long.
    /// It says nothing about the database.
    #[error("too many loads wait for a turn to ask the database")]
    Overloaded,
    /// The database was queried, and does not hold the revision that the caller wants.
    #[error("the database does not hold the wanted revision")]
    NotFreshEnough,
    /// The task of the load ended without an outcome: it panicked, or the process is stopping.
    #[error("the load was given up")]
    Abandoned,
}

impl LoadError {
    /// May what is held be used instead? Not after a row that cannot be read.
    pub(super) fn leaves_what_is_held(&self) -> bool {
        match self {
            Self::Store(error) => error.is_the_databases(),
            Self::Failing | Self::Overloaded | Self::Abandoned => true,
            Self::NotFreshEnough => false,
        }
    }
}
