//! Who administers tenants.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::limits::MAX_ACTOR_NAME_BYTES;

/// The name of an administrator, as the record of changes will show it: `alice`, `signup-service`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ActorName(Box<str>);

/// The text is not a valid name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("expected 1 to {MAX_ACTOR_NAME_BYTES} of a-z A-Z 0-9 . _ @ -, the first a letter or digit")]
pub struct InvalidActorName;

impl FromStr for ActorName {
    type Err = InvalidActorName;

    /// Letters that look like others, blanks and line breaks are refused: a name must not look like
    /// another one in the record.
    fn from_str(text: &str) -> Result<Self, InvalidActorName> {
        let fits = (1..=MAX_ACTOR_NAME_BYTES).contains(&text.len());
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if fits && starts_well && text.bytes().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidActorName)
        }
    }
}

impl ActorName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "x".repeat(MAX_ACTOR_NAME_BYTES);
        for good in ["a", "alice", "signup-service", "Bob.Smith_2@erp", &longest] {
            assert!(good.parse::<ActorName>().is_ok(), "{good}");
        }
        let too_long = format!("{longest}x");
        for bad in ["", " alice", "alice\n", "a b", "-alice", "ålice", "a:b", "a#b", &too_long] {
            assert!(bad.parse::<ActorName>().is_err(), "{bad:?}");
        }
    }
}
