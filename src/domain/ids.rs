//! The two names that a caller passes: a tenant's id and a module's code.

use std::{borrow::Borrow, fmt, sync::Arc};

use thiserror::Error;
use uuid::Uuid;

use super::limits::MAX_MODULE_CODE_CHARS;

/// A tenant's UUID.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TenantId(Uuid);

/// The text is not a UUID in 36-character form.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("must be a UUID in 36-character form, for example 00000000-0000-4000-8000-000000000001")]
pub struct InvalidTenantId;

impl TenantId {
    /// Reads the 36-character form, in any case.
    ///
    /// The `uuid` crate also takes braces, `urn:uuid:` and the form without dashes. They are
    /// refused: a proxy or a log that compares ids as text must not see two spellings of one
    /// tenant.
    pub fn parse(text: &str) -> Result<Self, InvalidTenantId> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidTenantId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidTenantId)
    }

    /// The UUID itself.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for TenantId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A module's code, `finance` for example. Codes compare byte for byte.
///
/// Shared, because the facts of a hundred thousand tenants name the same dozen modules; and behind
/// a pointer of eight bytes instead of sixteen, because there are a million of them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModuleCode(Arc<Box<str>>);

/// Why a text is not a module code.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidModuleCode {
    /// No characters at all.
    #[error("must not be empty")]
    Empty,
    /// More characters than the catalogue can hold.
    #[error("must be at most {MAX_MODULE_CODE_CHARS} characters")]
    TooLong,
    /// NUL, a line break or another control character.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl ModuleCode {
    /// Takes a code from the database as it is. What a caller sends goes through
    /// [`ModuleCode::validate`].
    pub fn new(code: &str) -> Self {
        Self(Arc::new(code.into()))
    }

    /// Checks that a text could be a module's code, without making one: the hot path keeps the
    /// caller's own text.
    pub fn validate(text: &str) -> Result<&str, InvalidModuleCode> {
        if text.is_empty() {
            return Err(InvalidModuleCode::Empty);
        }
        if is_longer_than(text, MAX_MODULE_CODE_CHARS) {
            return Err(InvalidModuleCode::TooLong);
        }
        if has_control_characters(text) {
            return Err(InvalidModuleCode::ControlCharacter);
        }
        Ok(text)
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a set or map of codes be asked with a caller's text.
impl Borrow<str> for ModuleCode {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 1 to {max_chars} characters, without control characters")]
pub struct InvalidKey {
    max_chars: usize,
}

/// Checks that a text could be the key of a feature or a limit, of at most so many characters.
pub fn validate_key(text: &str, max_chars: usize) -> Result<&str, InvalidKey> {
    if text.is_empty() || is_longer_than(text, max_chars) || has_control_characters(text) {
        Err(InvalidKey { max_chars })
    } else {
        Ok(text)
    }
}

/// A character has one to four bytes: most texts need no counting, and a megabyte is not scanned.
fn is_longer_than(text: &str, max_chars: usize) -> bool {
    text.len() > max_chars * 4 || (text.len() > max_chars && text.chars().count() > max_chars)
}

/// Most texts are printable ASCII, which shows without decoding them.
fn has_control_characters(text: &str) -> bool {
    let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    !is_printable && text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_is_exactly_the_36_character_form() {
        let id = TenantId::parse("00000000-0000-4000-8000-00000000000A").unwrap();
        assert_eq!(id.to_string(), "00000000-0000-4000-8000-00000000000a");
        for text in [
            "",
            "finance",
            "00000000000040008000000000000001",
            "{00000000-0000-4000-8000-000000000001}",
            "urn:uuid:00000000-0000-4000-8000-000000000001",
            " 00000000-0000-4000-8000-00000000001",
            "00000000-0000-4000-8000-00000000000g",
            "00000000-0000-4000-8000-000000000001\n",
            "000000000000-4000-8000-00000000-0001",
            "00000000-0000-4000-8000-0000000000é",
        ] {
            assert_eq!(TenantId::parse(text), Err(InvalidTenantId), "{text:?}");
        }
    }

    #[test]
    fn a_module_code_is_1_to_50_characters_without_control_characters() {
        for code in [
            "f",
            "finance",
            "Finance",
            "wärme",
            "🛒",
            " finance",
            &"é".repeat(50),
            &"🛒".repeat(50),
        ] {
            assert_eq!(ModuleCode::validate(code), Ok(code));
        }
        assert_eq!(ModuleCode::validate(""), Err(InvalidModuleCode::Empty));
        for code in ["a".repeat(51), "é".repeat(51), "🛒".repeat(51), "a".repeat(1 << 20)] {
            assert_eq!(ModuleCode::validate(&code), Err(InvalidModuleCode::TooLong));
        }
        for code in ["a\0", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(ModuleCode::validate(code), Err(InvalidModuleCode::ControlCharacter));
        }
    }
}
