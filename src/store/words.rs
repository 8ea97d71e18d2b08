//! The words met in the database: those that are not understood, and those that facts share.

use std::{borrow::Borrow, collections::HashSet, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tracing::warn;

use crate::domain::ModuleCode;

/// More than this many different words that are not understood are not remembered, and then not told.
const MAX_UNKNOWN: usize = 100;

/// The longest part of a word that is told, in characters.
const MAX_TOLD: usize = 100;

/// More than this many different words of one kind are not shared. A catalogue has dozens of modules and a few plans.
const MAX_SHARED: usize = 10_000;

/// What the store remembers of what it has read, so that a row that is read a thousand times a second does not fill
/// the log, and a hundred thousand tenants do not hold a hundred thousand copies of `finance`.
#[derive(Debug, Default)]
pub(super) struct Words {
    unknown: Mutex<HashSet<(&'static str, String)>>,
    codes: Shared<ModuleCode>,
    slugs: Shared<Arc<str>>,
}

impl Words {
    /// Warns, once per word, that `column` holds something that is not understood, and what is made of it.
    pub(super) fn warn(&self, column: &'static str, word: &str, consequence: &str) {
        let end = word.char_indices().nth(MAX_TOLD).map_or(word.len(), |(end, _)| end);
        let word = &word[..end];
        let mut told = self.unknown.lock();
        if told.len() < MAX_UNKNOWN && told.insert((column, word.to_owned())) {
            warn!(column, word, "{column} holds {word:?}, which is not understood: {consequence}");
        }
    }

    /// A module's code, shared with everyone who holds the same one.
    pub(super) fn code(&self, code: &str) -> ModuleCode {
        self.codes.get(code, ModuleCode::new)
    }

    /// A plan's slug, shared likewise.
    pub(super) fn slug(&self, slug: &str) -> Arc<str> {
        self.slugs.get(slug, |slug| slug.into())
    }
}

/// Words of one kind, each of them once.
#[derive(Debug)]
struct Shared<T>(Mutex<HashSet<T>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Borrow<str> + Clone + Eq + Hash> Shared<T> {
    fn get(&self, word: &str, new: impl FnOnce(&str) -> T) -> T {
        let mut words = self.0.lock();
        if let Some(shared) = words.get(word) {
            return shared.clone();
        }
        let new = new(word);
        if words.len() < MAX_SHARED {
            words.insert(new.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_read_again_is_not_held_twice() {
        let words = Words::default();
        let (once, again) = (words.slug("growth"), words.slug("growth"));
        assert!(Arc::ptr_eq(&once, &again));
        assert_eq!((&*words.slug("starter"), words.code("growth").as_str()), ("starter", "growth"));
        (0..2 * MAX_SHARED).for_each(|number| drop(words.slug(&number.to_string())));
        assert_eq!(words.slugs.0.lock().len(), MAX_SHARED);
        assert_eq!(&*words.slug("one more"), "one more");
    }
}
