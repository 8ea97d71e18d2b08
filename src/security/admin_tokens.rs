//! Administrators' tokens: a file with one line for each, `NAME ROLE SHA256`. Removing a line
//! revokes its token.
//!
//! ```text
//! # name          role      SHA-256 of the token
//! alice           owner     5e88...42d8
//! signup-service  operator  9f86...0a08
//! ```
//!
//! Only hashes are kept, so that the file, or a backup of it, is of no use to anyone who reads it.
//! A plain SHA-256 is enough, although passwords would need a slow hash: a token is 256 random
//! bits, which cannot be guessed.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use thiserror::Error;

use super::hashes::{self, Hash, hash};
use crate::domain::{ActorName, Role, actor::InvalidActorName, role::UnknownRole};

/// The prefix of each token, by which secret scanners recognize one.
const PREFIX: &str = "entadm_";

/// The number of random bytes in a token.
const RANDOM_BYTES: usize = 32;

/// An error in a file of tokens.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("line {line}: {problem}")]
pub struct InvalidTokens {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub problem: LineProblem,
}

/// An error in a line. The text of the line is left out: it may be the token itself.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LineProblem {
    /// Too few fields, or too many.
    #[error("expected NAME ROLE SHA256, with blanks between them")]
    Words,
    /// The name, which is the first field.
    #[error("the name: {0}")]
    Name(#[from] InvalidActorName),
    /// The role, which is the second field.
    #[error("the role: {0}")]
    Role(#[from] UnknownRole),
    /// The hash, which is the third field.
    #[error("the hash: expected 64 hexadecimal digits")]
    Hash,
    /// Two lines have this name, so the holder would be ambiguous.
    #[error("the name stands on an earlier line too")]
    Twice,
    /// Two lines have this hash, so the holder would be ambiguous.
    #[error("the hash is that of line {0}")]
    SameHash(usize),
}

/// The tokens of a file, read.
#[derive(Clone, Debug, Default)]
pub struct AdminTokens(Vec<TokenEntry>);

/// A line of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenEntry {
    /// The holder's name.
    pub name: ActorName,
    /// The holder's role.
    pub role: Role,
    hash: Hash,
}

impl TokenEntry {
    /// The entry for a token.
    pub fn new(name: ActorName, role: Role, token: &AdminToken) -> Self {
        Self { name, role, hash: hash(token.expose()) }
    }

    /// The entry as a line, with a line break.
    pub fn line(&self) -> String {
        format!("{} {} {}\n", self.name, self.role, hex::encode(self.hash))
    }
}

impl FromStr for TokenEntry {
    type Err = LineProblem;

    fn from_str(line: &str) -> Result<Self, LineProblem> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, role, hash] = words[..] else { return Err(LineProblem::Words) };
        Ok(Self {
            name: name.parse()?,
            role: role.parse()?,
            hash: hashes::parse(hash).ok_or(LineProblem::Hash)?,
        })
    }
}

impl FromStr for AdminTokens {
    type Err = InvalidTokens;

    /// Parses a file. Empty lines, and those that start with `#`, are ignored.
    fn from_str(text: &str) -> Result<Self, InvalidTokens> {
        let (mut names, mut hashes) = (HashSet::new(), HashMap::new());
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let wrong = |problem| InvalidTokens { line: number, problem };
            let entry: TokenEntry = line.parse().map_err(wrong)?;
            if !names.insert(entry.name.clone()) {
                return Err(wrong(LineProblem::Twice));
            }
            if let Some(earlier) = hashes.insert(entry.hash, number) {
                return Err(wrong(LineProblem::SameHash(earlier)));
            }
            entries.push(entry);
        }
        Ok(Self(entries))
    }
}

impl AdminTokens {
    /// Is there no token?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The holder of a token. Every line is compared, and each in constant time, so that the
    /// duration reveals nothing.
    pub fn holder_of(&self, token: &str) -> Option<&TokenEntry> {
        let hash = hash(token);
        self.0.iter().fold(None, |found, entry| {
            if verify_slices_are_equal(&entry.hash, &hash).is_ok() { Some(entry) } else { found }
        })
    }

    /// Is there a token for this name?
    pub fn has(&self, name: &ActorName) -> bool {
        self.0.iter().any(|entry| entry.name == *name)
    }
}

/// A newly made token. Anyone who has it is taken for its holder, so it is never printed by
/// accident.
pub struct AdminToken(String);

/// The system has no random bytes.
#[derive(Clone, Copy, Debug, Error)]
#[error("the system has no random bytes")]
pub struct NoRandomness;

impl AdminToken {
    /// Generates a token.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random).map_err(|_| NoRandomness)?;
        Ok(Self(format!("{PREFIX}{}", hex::encode(random))))
    }

    /// Its text, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_written_is_read_as_the_same() {
        let token = AdminToken::generate().unwrap();
        let entry = TokenEntry::new("alice".parse().unwrap(), Role::Owner, &token);
        assert_eq!(entry.line().parse(), Ok(entry.clone()));
        let tokens: AdminTokens =
            format!("bob viewer {}\n{}", "0".repeat(64), entry.line()).parse().unwrap();
        assert_eq!(tokens.holder_of(token.expose()), Some(&entry));
        assert_eq!(tokens.holder_of(&token.expose()[1..]), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_never_with_its_text() {
        let (hash, other) = ("0".repeat(64), "A".repeat(64));
        for (text, line, problem) in [
            ("alice owner".to_owned(), 1, LineProblem::Words),
            (format!("\n# people\nalice owner {hash} more"), 3, LineProblem::Words),
            (format!("a:b owner {hash}"), 1, LineProblem::Name(InvalidActorName)),
            (format!("alice root {hash}"), 1, LineProblem::Role(UnknownRole)),
            ("alice owner entadm_00".to_owned(), 1, LineProblem::Hash),
            (format!("alice owner +{}", &hash[1..]), 1, LineProblem::Hash),
            (
                format!("alice owner {hash}\nbob viewer {other}\r\nalice viewer {hash}\n"),
                3,
                LineProblem::Twice,
            ),
            // One hash, in upper case and lower case: only one of the two names could ever be
            // identified by it.
            (
                format!("# people\nalice owner {other}\n\nbob viewer {}\n", other.to_lowercase()),
                4,
                LineProblem::SameHash(2),
            ),
        ] {
            let error = text.parse::<AdminTokens>().unwrap_err();
            assert_eq!(error, InvalidTokens { line, problem }, "{text}");
            let told = error.to_string().to_lowercase();
            assert!(
                !told.contains("entadm_") && !told.contains("aaaa") && !told.contains("0000"),
                "{told}"
            );
        }
    }
}
