//! What a lease answers, and why one is not accepted.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::MAX_LEASE_BYTES;

/// May a module be used by a lease?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseAnswer {
    /// The answer.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: LeaseReason,
    /// Until when the lease grants it, or did; `None`: it never did.
    pub until: Option<DateTime<Utc>>,
}

/// Is a feature on by a lease?
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseFeature {
    /// The answer.
    pub enabled: bool,
    /// Why, or why not.
    pub reason: LeaseReason,
    /// What it is set to; `None`: nothing, or it is off.
    pub value: Option<Value>,
}

/// Why a lease grants something, or why not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LeaseReason {
    /// It grants it.
    Granted,
    /// It was asked for when the lease was issued, and the tenant did not have it.
    Denied,
    /// The feature was switched off when the lease was issued, or there was none.
    Off,
    /// It was not asked for, so the lease does not say.
    NotAskedFor,
    /// The tenant's right to the module has ended, before the lease.
    Ended,
    /// The lease has ended: get a new one.
    Expired,
    /// It has ended, and the clock says otherwise: it was set back.
    ClockSetBack,
}

impl LeaseReason {
    /// Its name, as in the conformance vectors: `NOT_ASKED_FOR`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "GRANTED",
            Self::Denied => "DENIED",
            Self::Off => "OFF",
            Self::NotAskedFor => "NOT_ASKED_FOR",
            Self::Ended => "ENDED",
            Self::Expired => "EXPIRED",
            Self::ClockSetBack => "CLOCK_SET_BACK",
        }
    }
}

impl fmt::Display for LeaseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a lease is not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// More bytes than any lease has.
    #[error("it is longer than {MAX_LEASE_BYTES} bytes")]
    TooLarge,
    /// Not a JWT in compact form, or something in it stands there twice.
    #[error("it is no JWT, or one that is not read in one way only")]
    Malformed,
    /// Another kind of token: a user's, for example.
    #[error("it is a token of another kind")]
    WrongType,
    /// Another algorithm than EdDSA, `none` and shared secrets among them.
    #[error("it is not signed with EdDSA")]
    WrongAlgorithm,
    /// No key has the name that it says: fetch the published set again.
    #[error("none of the keys has signed it: fetch the published set again")]
    UnknownKey,
    /// The key that it names has not signed it.
    #[error("its signature is not that of its key")]
    BadSignature,
    /// A claim is missing, or not what it should be.
    #[error("its claim {0:?} is missing or not as wanted")]
    BadClaim(&'static str),
    /// Somebody else has issued it.
    #[error("it is of another issuer")]
    WrongIssuer,
    /// It is another tenant's.
    #[error("it is of another tenant")]
    WrongTenant,
    /// It is for somebody else.
    #[error("it is for another audience")]
    WrongAudience,
    /// It begins later: this clock is behind.
    #[error("it begins at {0}, and the clock is behind that")]
    NotYetValid(DateTime<Utc>),
    /// It has ended: get a new one.
    #[error("it has ended at {0}")]
    Expired(DateTime<Utc>),
    /// It has ended, and the clock says otherwise: it was set back.
    #[error("it has ended at {0}, and the clock was set back")]
    ClockSetBack(DateTime<Utc>),
}

impl LeaseError {
    /// Its name, as in the conformance vectors: `WRONG_TENANT`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge => "TOO_LARGE",
            Self::Malformed => "MALFORMED",
            Self::WrongType => "WRONG_TYPE",
            Self::WrongAlgorithm => "WRONG_ALGORITHM",
            Self::UnknownKey => "UNKNOWN_KEY",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::BadClaim(_) => "BAD_CLAIM",
            Self::WrongIssuer => "WRONG_ISSUER",
            Self::WrongTenant => "WRONG_TENANT",
            Self::WrongAudience => "WRONG_AUDIENCE",
            Self::NotYetValid(_) => "NOT_YET_VALID",
            Self::Expired(_) => "EXPIRED",
            Self::ClockSetBack(_) => "CLOCK_SET_BACK",
        }
    }
}
