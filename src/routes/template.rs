//! Path templates: `/api/v1/orders/{id}/lines`, `/api/v1/wms/**`.

use std::{fmt, sync::Arc};

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Maximum length of a template, in bytes.
const MAX_BYTES: usize = 1024;

/// The paths that a rule covers.
///
/// A template consists of segments: literal words, `{name}` or `*` for exactly one segment of any
/// kind, and at the end `**`, for any number of segments, including none. Templates that differ
/// only in names are equal.
#[derive(Clone, Debug)]
pub struct PathTemplate {
    text: Arc<str>,
    segments: Vec<Segment>,
    subtree: bool,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Segment {
    /// A literal, percent-decoded.
    Word(String),
    /// Any segment that is not empty.
    Any,
}

/// A template that cannot be parsed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidTemplate {
    /// Relative, or empty.
    #[error("a path begins with a slash")]
    NoSlash,
    /// Longer than any path that is accepted.
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// `//` in the middle.
    #[error("has an empty segment")]
    EmptySegment,
    /// `**` before the end.
    #[error("has ** before its end")]
    EarlySubtree,
    /// `{id}.pdf`, `a*`.
    #[error("a parameter is a whole segment: {{name}}, * or, at the end, **")]
    PartlyParameter,
    /// A character that no decoded path contains, or that would not be accepted.
    #[error("has a character that is not for paths")]
    BadCharacter,
    /// `.` or `..`
    #[error("has a dot segment")]
    DotSegment,
}

impl PathTemplate {
    /// Parses a template. A trailing slash has no meaning.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.len() > MAX_BYTES {
            return Err(InvalidTemplate::TooLong);
        }
        let path = text.strip_prefix('/').ok_or(InvalidTemplate::NoSlash)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let words: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
        let (words, subtree) = match words.split_last() {
            Some((last, words)) if is_subtree(last) => (words, true),
            _ => (words.as_slice(), false),
        };
        let segments = words.iter().map(|word| Segment::parse(word)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), segments, subtree })
    }

    /// This template and everything below it: the paths with this prefix.
    #[must_use]
    pub fn with_subtree(mut self) -> Self {
        if !self.subtree {
            let text = self.text.trim_end_matches('/');
            self.text = format!("{text}/**").into();
            self.subtree = true;
        }
        self
    }

    /// The template as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Do two templates cover equal paths?
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.subtree == other.subtree && self.segments == other.segments
    }

    /// The number of segments, not counting `**`.
    pub(super) fn depth(&self) -> usize {
        self.segments.len()
    }

    /// The number of words with which both templates begin.
    pub(super) fn common_words(&self, other: &Self) -> usize {
        let both = self.segments.iter().zip(&other.segments);
        both.take_while(|(one, other)| one == other && **one != Segment::Any).count()
    }

    /// Does it end in `**`?
    pub fn is_subtree(&self) -> bool {
        self.subtree
    }

    /// The part before `**` in the syntax of the trie: parameters are named by position, so that
    /// their names do not matter.
    pub(super) fn to_trie(&self) -> String {
        self.write(|place| format!("<{place}>"))
    }

    /// A path that the template covers, with `word` for each parameter.
    pub(super) fn example(&self, word: &str) -> String {
        self.write(|_| word.to_owned())
    }

    /// A path that both templates cover, with `word` for what is a parameter in both; `None`: there is
    /// none.
    pub(super) fn meet(&self, other: &Self, word: &str) -> Option<String> {
        let (short, long) =
            if self.depth() <= other.depth() { (self, other) } else { (other, self) };
        if short.depth() < long.depth() && !short.subtree {
            return None;
        }
        let mut met = String::new();
        for (place, segment) in long.segments.iter().enumerate() {
            let segment = match (segment, short.segments.get(place)) {
                (Segment::Word(one), Some(Segment::Word(other))) if one != other => return None,
                (Segment::Any, Some(other)) => other,
                (segment, _) => segment,
            };
            met.push('/');
            met.push_str(match segment {
                Segment::Word(word) => word,
                Segment::Any => word,
            });
        }
        Some(met)
    }

    fn write(&self, parameter: impl Fn(usize) -> String) -> String {
        let mut written = String::new();
        for (place, segment) in self.segments.iter().enumerate() {
            written.push('/');
            match segment {
                Segment::Word(word) => written.push_str(word),
                Segment::Any => written.push_str(&parameter(place)),
            }
        }
        written
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `**`, or the notation of FastAPI and axum for it.
fn is_subtree(segment: &str) -> bool {
    let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    segment == "**" || inner.is_some_and(|inner| inner.starts_with('*') || inner.ends_with(":path"))
}

impl Segment {
    fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if is_subtree(text) {
            return Err(InvalidTemplate::EarlySubtree);
        }
        let is_named = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if text == "*"
            || is_named.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
        {
            return Ok(Self::Any);
        }
        if text.contains(['{', '}', '*']) {
            return Err(InvalidTemplate::PartlyParameter);
        }
        let word =
            percent_decode_str(text).decode_utf8().map_err(|_| InvalidTemplate::BadCharacter)?;
        let is_bad = |character: char| character.is_control() || r"/\<>?#%;".contains(character);
        match &*word {
            "" => Err(InvalidTemplate::EmptySegment),
            "." | ".." => Err(InvalidTemplate::DotSegment),
            word if word.contains(is_bad) => Err(InvalidTemplate::BadCharacter),
            word => Ok(Self::Word(word.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_template_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", InvalidTemplate::NoSlash),
            ("orders", InvalidTemplate::NoSlash),
            ("/a//b", InvalidTemplate::EmptySegment),
            ("/a/**/b", InvalidTemplate::EarlySubtree),
            ("/a/{id}.pdf", InvalidTemplate::PartlyParameter),
            ("/a/b*", InvalidTemplate::PartlyParameter),
            ("/a/{}", InvalidTemplate::PartlyParameter),
            ("/a/../b", InvalidTemplate::DotSegment),
            ("/a/%2e%2e/b", InvalidTemplate::DotSegment),
            ("/a%2Fb", InvalidTemplate::BadCharacter),
            ("/a%00", InvalidTemplate::BadCharacter),
            ("/a?b=c", InvalidTemplate::BadCharacter),
            ("/a%25", InvalidTemplate::BadCharacter),
        ] {
            assert_eq!(PathTemplate::parse(text).unwrap_err(), reason, "{text:?}");
        }
    }

    #[test]
    fn names_of_parameters_and_a_slash_at_the_end_say_nothing() {
        for (one, other) in [
            ("/a/{id}", "/a/*"),
            ("/a/{id}/", "/a/{other}"),
            ("/a/**", "/a/{rest:path}"),
            ("/a/**", "/a/{*rest}"),
            ("/", "/"),
            ("/caf%C3%A9", "/café"),
        ] {
            assert!(
                PathTemplate::parse(one).unwrap().is_same_as(&PathTemplate::parse(other).unwrap()),
                "{one} and {other}"
            );
        }
        assert!(
            !PathTemplate::parse("/a").unwrap().is_same_as(&PathTemplate::parse("/a/**").unwrap())
        );
        assert_eq!(PathTemplate::parse("/a/").unwrap().with_subtree().to_string(), "/a/**");
    }
}
