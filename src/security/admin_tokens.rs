//! The tokens of administrators: a file with a line for each, `NAME ROLE SHA256`.
//!
//! ```text
//! # name          role      SHA-256 of the token
//! alice           owner     5e88...42d8
//! signup-service  operator  9f86...0a08
//! ```
//!
//! Only hashes are kept, so that who reads the file, or a backup of it, can do nothing with it. A
//! plain SHA-256 will do, where passwords would need a slow hash: a token is 256 random bits, which
//! nobody guesses.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use thiserror::Error;

use super::hashes::{self, Hash, hash};
use crate::domain::{
    ActorName, Role,
    actor::{InvalidActorName, UnknownRole},
};

/// What each token starts with, so that scanners for secrets know one where they meet it.
const PREFIX: &str = "entadm_";

/// Random bytes in a token.
const RANDOM_BYTES: usize = 32;

/// How a file of tokens is wrong.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("line {line}: {problem}")]
pub struct InvalidTokens {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: LineProblem,
}

/// How a line is wrong. Its text is left out: it may be the token itself.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LineProblem {
    /// Too few words, or too many.
    #[error("expected NAME ROLE SHA256, with blanks between them")]
    Words,
    /// The first word.
    #[error("the name: {0}")]
    Name(#[from] InvalidActorName),
    /// The second.
    #[error("the role: {0}")]
    Role(#[from] UnknownRole),
    /// The third.
    #[error("the hash: expected 64 hexadecimal digits")]
    Hash,
    /// There are two lines with this name: whose is it?
    #[error("the name stands on an earlier line too")]
    Twice,
    /// There are two lines with this hash: whose token is it?
    #[error("the hash is that of line {0}")]
    SameHash(usize),
}

/// The tokens of a file, read.
#[derive(Clone, Debug, Default)]
pub struct AdminTokens(Vec<TokenEntry>);

/// A line of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenEntry {
    /// Whose token it is.
    pub name: ActorName,
    /// What they may do.
    pub role: Role,
    hash: Hash,
}

impl TokenEntry {
    /// What the file is to hold of a token.
    pub fn new(name: ActorName, role: Role, token: &AdminToken) -> Self {
        Self { name, role, hash: hash(token.expose()) }
    }

    /// Its line, with its end.
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

    /// Reads a file. Empty lines, and those that start with `#`, say nothing.
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
    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token it is. Every line is compared, and each in constant time, so that how long it
    /// takes tells nothing.
    pub fn holder_of(&self, token: &str) -> Option<&TokenEntry> {
        let hash = hash(token);
        self.0.iter().fold(None, |found, entry| {
            if verify_slices_are_equal(&entry.hash, &hash).is_ok() { Some(entry) } else { found }
        })
    }

    /// Has anybody with this name a token?
    pub fn has(&self, name: &ActorName) -> bool {
        self.0.iter().any(|entry| entry.name == *name)
    }
}

/// A token that was just made. Whoever has it is believed to be who it is for, so it never prints
/// by accident.
pub struct AdminToken(String);

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, Error)]
#[error("the system has no random bytes")]
pub struct NoRandomness;

impl AdminToken {
    /// Makes one.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random).map_err(|_| NoRandomness)?;
        Ok(Self(format!("{PREFIX}{}", hex::encode(random))))
    }

    /// Its text, to be handed over once.
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
            // One hash, in letters of either size: only one of the two could ever be known by it.
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
