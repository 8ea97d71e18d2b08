//! Warnings about values that were read and not understood. A row that is read a thousand times a
//! second must not fill the log.

use std::collections::HashSet;

use parking_lot::Mutex;
use tracing::warn;

/// Maximum number of different warnings.
const MAX_WARNINGS: usize = 100;

/// Maximum length of a logged value, in characters.
const MAX_VALUE_CHARS: usize = 100;

/// Remembers the warnings.
#[derive(Debug, Default)]
pub(super) struct WarnOnce(Mutex<HashSet<(&'static str, String)>>);

impl WarnOnce {
    /// Warns, once per value, that `column` holds something that is not understood, and what is
    /// done about it.
    pub(super) fn warn(&self, column: &'static str, value: &str, consequence: &str) {
        let end = value.char_indices().nth(MAX_VALUE_CHARS).map_or(value.len(), |(end, _)| end);
        let value = &value[..end];
        let mut warned = self.0.lock();
        if warned.len() < MAX_WARNINGS && warned.insert((column, value.to_owned())) {
            warn!(
                column,
                word = value,
                "{column} holds {value:?}, which is not understood: {consequence}"
            );
        }
    }
}
