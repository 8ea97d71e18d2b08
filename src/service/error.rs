//! Why a request has no answer, in domain terms. What callers see of it is made in `grpc` and in
//! `gateway`.

use thiserror::Error;

use super::caller::NotAdmitted;
use crate::{
    cache::LoadError,
    domain::{limits::MAX_USAGE_SPANS, resolve::Unresolved},
    security::{lease_keys::LeaseTooLarge, token::InvalidToken},
    usage::UsageError,
};

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum RequestError {
    /// It does not belong to a served tenant.
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    /// No module is named.
    #[error("no module is named")]
    NoModules,
    /// The maximum number of watchers is reached.
    #[error("too many watch changes")]
    TooManyWatchers,
    /// The maximum number of followers is reached.
    #[error("too many follow")]
    TooManyFollowers,
    /// It takes the database, and there is none here.
    #[error("there is no database here")]
    NeedsDatabase,
    /// This server does not receive changes.
    #[error("this server does not receive changes")]
    ChangesOff,
    /// The database has not answered since the server started.
    #[error("the database has not answered yet")]
    NotHeardYet,
    /// It was not counted, or nobody knows.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The key was counted with another amount.
    #[error("this key was counted with another amount")]
    UsageKeyConflict,
    /// What there is cannot have been read yet.
    #[error("as_of lies ahead")]
    AsOfAhead,
    /// A monthly meter cannot be reconciled.
    #[error("only a level can be reconciled")]
    NotALevel,
    /// A level has no history, and is not leased.
    #[error("only a monthly meter has a history")]
    NotMonthly,
    /// There is no such lease.
    #[error("there is no such lease")]
    NoLease,
    /// More of a lease was spent than was granted.
    #[error("more was spent than was granted")]
    SpentTooMuch,
    /// A message of the producer is missing.
    #[error("the last message of this producer that was counted is {last}")]
    SequenceGap {
        /// The number of the last that was counted; 0: none was.
        last: i64,
    },
    /// This server has no keys to sign leases with.
    #[error("this server issues no signed leases")]
    LeasesOff,
    /// The database cannot be asked, and what is held is too old to be leased.
    #[error("what is held cannot be relied on any longer")]
    LeaseTooStale,
    /// So much does not fit into a lease.
    #[error(transparent)]
    LeaseTooLarge(#[from] LeaseTooLarge),
    /// One answer cannot hold so much.
    #[error("the answer would have more than {MAX_USAGE_SPANS} spans")]
    TooManySpans,
}

/// Why a request does not belong to a served tenant.
#[derive(Debug, Error)]
pub enum Unidentified {
    /// Its token is not valid, or cannot be verified.
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// What it carries does not identify exactly one served tenant.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// It is not known at the moment.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The caller may not ask about it.
    #[error("the caller may not ask: {0:?}")]
    NotAdmitted(NotAdmitted),
}

impl From<NotAdmitted> for Unidentified {
    fn from(refused: NotAdmitted) -> Self {
        Self::NotAdmitted(refused)
    }
}

impl From<NotAdmitted> for RequestError {
    fn from(refused: NotAdmitted) -> Self {
        Self::Unidentified(refused.into())
    }
}

impl From<Unresolved> for RequestError {
    fn from(error: Unresolved) -> Self {
        Self::Unidentified(error.into())
    }
}

impl From<LoadError> for RequestError {
    fn from(error: LoadError) -> Self {
        Self::Unidentified(error.into())
    }
}
