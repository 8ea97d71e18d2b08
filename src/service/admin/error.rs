//! Why an administrator's request has no answer, in domain terms. What callers see of it is made in
//! `grpc`.

use thiserror::Error;

use crate::{
    domain::{Role, SubdomainRefusal},
    store::{MutationError, StoreError},
};

/// Why an administrator's request has no answer.
#[derive(Debug, Error)]
pub enum AdminError {
    /// It has no token, or an unknown one.
    #[error("no administrator's token")]
    Unauthenticated,
    /// Its token does not have this role.
    #[error("this needs a token of the role {0}")]
    NotAllowed(Role),
    /// Too many unknown tokens from this address.
    #[error("too many tokens that nobody knows")]
    TooManyFailures,
    /// The tenant does not exist.
    #[error("there is no such tenant")]
    TenantNotFound,
    /// The subdomain is not available.
    #[error(transparent)]
    Subdomain(SubdomainRefusal),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The reading ended without an outcome: it panicked, or the process is stopping.
    #[error("the reading was given up")]
    ReadAbandoned,
    /// The change was not made, or it is not known whether it was.
    #[error(transparent)]
    Change(#[from] MutationError),
    /// The change ended without an outcome, so that it is not known whether it was made: it
    /// panicked, or the process is stopping.
    #[error("the change was given up")]
    ChangeAbandoned,
}
