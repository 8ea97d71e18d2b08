//! Warnings about what was read and is not understood. A row that is read a thousand times a second
//! must not fill the log.

use std::collections::HashSet;

use parking_lot::Mutex;
use tracing::warn;

/// After this many different warnings there are no more.
const MAX_WARNINGS: usize = 100;

/// The longest part of a value that is logged, in characters.
const MAX_VALUE_CHARS: usize = 100;

/// Remembers what was warned of.
#[derive(Debug, Default)]
pub(super) struct WarnOnce(Mutex<HashSet<(&'static str, String)>>);

impl WarnOnce {
    /// Warns, once per value, that `column` holds something that is not understood, and what is
    /// made of it.
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
