//! The words met in the database: those that are not understood, and the module codes that facts share.

use std::collections::HashSet;

use parking_lot::Mutex;
use tracing::warn;

use crate::domain::ModuleCode;

/// More than this many different words that are not understood are not remembered, and then not told.
const MOST_UNKNOWN: usize = 100;

/// More than this many different module codes are not shared. A catalogue has dozens.
const MOST_CODES: usize = 10_000;

/// What the store remembers of what it has read, so that a row that is read a thousand times a second does not fill
/// the log, and a hundred thousand tenants do not hold a hundred thousand copies of `finance`.
#[derive(Debug, Default)]
pub(super) struct Words {
    unknown: Mutex<HashSet<(&'static str, String)>>,
    codes: Mutex<HashSet<ModuleCode>>,
}

impl Words {
    /// Warns, once per word, that `column` holds something that is not understood, and what is made of it.
    pub(super) fn warn(&self, column: &'static str, word: &str, consequence: &str) {
        let mut told = self.unknown.lock();
        if told.len() < MOST_UNKNOWN && told.insert((column, word.to_owned())) {
            warn!(column, word, "{column} holds {word:?}, which is not understood: {consequence}");
        }
    }

    /// The code, shared with everyone who holds the same one.
    pub(super) fn code(&self, code: &str) -> ModuleCode {
        let mut codes = self.codes.lock();
        if let Some(shared) = codes.get(code) {
            return shared.clone();
        }
        let new = ModuleCode::new(code);
        if codes.len() < MOST_CODES {
            codes.insert(new.clone());
        }
        new
    }
}
