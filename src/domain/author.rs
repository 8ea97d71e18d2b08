//! Who changes something, when, why, and under which request id.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use thiserror::Error;

use super::{
    ActorName,
    limits::{MAX_REASON_CHARS, MAX_REQUEST_ID_BYTES},
};

/// An administrator, as the record shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Actor {
    /// The holder of a token, by the token's name.
    Token(ActorName),
    /// A user of the machine on which the command line was used. Anyone who can write to the
    /// database can claim any name.
    OsUser(String),
}

impl Actor {
    /// The name of this kind of actor in the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::OsUser(_) => "os_user",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => name.fmt(f),
            Self::OsUser(name) => name.fmt(f),
        }
    }
}

/// What is recorded of a mutation in addition to the mutation itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Author {
    /// Who makes it.
    pub actor: Actor,
    /// When it is made.
    pub at: DateTime<Utc>,
    /// Why it is made.
    pub why: Option<ChangeReason>,
    /// The id under which the actor may repeat the request.
    pub request_id: Option<RequestId>,
}

/// A reason, in an administrator's words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChangeReason(Box<str>);

/// The text is not a valid reason.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "must be 1 to {MAX_REASON_CHARS} characters, not all of them blanks, and no control characters"
)]
pub struct InvalidWhy;

impl FromStr for ChangeReason {
    type Err = InvalidWhy;

    fn from_str(text: &str) -> Result<Self, InvalidWhy> {
        let is_good = !text.trim().is_empty()
            && text.chars().count() <= MAX_REASON_CHARS
            && !text.contains(char::is_control);
        if is_good { Ok(Self(text.into())) } else { Err(InvalidWhy) }
    }
}

impl fmt::Display for ChangeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An id that an actor gives its request, so that it can repeat it: a UUID, for example. Ids of
/// different actors are independent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestId(Box<str>);

/// The text is not a valid request id.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("must be 1 to {MAX_REQUEST_ID_BYTES} printable ASCII characters without blanks")]
pub struct InvalidRequestId;

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let fits = (1..=MAX_REQUEST_ID_BYTES).contains(&text.len());
        let is_good = fits && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.into())) } else { Err(InvalidRequestId) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_on_one_line() {
        let longest = "ä".repeat(MAX_REASON_CHARS);
        for good in ["unpaid", "Rechnung 12 ist offen", &longest] {
            assert_eq!(good.parse::<ChangeReason>().unwrap().to_string(), good);
        }
        let too_long = format!("{longest}x");
        for bad in ["", "  ", "a\nb", "a\u{1b}[2J", &too_long] {
            assert_eq!(bad.parse::<ChangeReason>(), Err(InvalidWhy), "{bad:?}");
        }
    }

    #[test]
    fn a_request_id_is_plain() {
        let longest = "x".repeat(MAX_REQUEST_ID_BYTES);
        for good in ["1", "7f1c0c1e-56d7-4b1c-8c2b-0d9b8a1f7e11", &longest] {
            assert_eq!(good.parse::<RequestId>().unwrap().to_string(), good);
        }
        let too_long = format!("{longest}x");
        for bad in ["", "a b", "a\n", "ä", &too_long] {
            assert_eq!(bad.parse::<RequestId>(), Err(InvalidRequestId), "{bad:?}");
        }
    }
}
