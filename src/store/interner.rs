//! Codes and slugs, each held once: a hundred thousand tenants must not hold a hundred thousand
//! copies of `finance`.

use std::{borrow::Borrow, collections::HashSet, hash::Hash, sync::Arc};

use parking_lot::Mutex;

use crate::domain::{FlagName, ModuleCode};

/// The maximum number of different values that are shared, per kind. A catalogue has dozens of
/// modules and a few plans.
const MAX_INTERNED: usize = 10_000;

/// Shares equal codes and slugs among all facts.
#[derive(Debug, Default)]
pub(super) struct CodeInterner {
    codes: Interned<ModuleCode>,
    slugs: Interned<Arc<str>>,
    flags: Interned<FlagName>,
}

impl CodeInterner {
    /// A module's code, shared with all equal ones.
    pub(super) fn code(&self, code: &str) -> ModuleCode {
        self.codes.get(code, ModuleCode::new)
    }

    /// The name of a flag, by its text, shared with all equal ones.
    pub(super) fn flag(&self, text: &str) -> FlagName {
        self.flags.get(text, FlagName::new)
    }

    /// A plan's slug, or the key of a limit, shared with all equal ones.
    pub(super) fn slug(&self, slug: &str) -> Arc<str> {
        self.slugs.get(slug, |slug| slug.into())
    }
}

#[derive(Debug)]
struct Interned<T>(Mutex<HashSet<T>>);

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Borrow<str> + Clone + Eq + Hash> Interned<T> {
    fn get(&self, text: &str, new: impl FnOnce(&str) -> T) -> T {
        let mut interned = self.0.lock();
        if let Some(shared) = interned.get(text) {
            return shared.clone();
        }
        let new = new(text);
        if interned.len() < MAX_INTERNED {
            interned.insert(new.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_read_again_is_not_held_twice() {
        let interner = CodeInterner::default();
        let (once, again) = (interner.slug("growth"), interner.slug("growth"));
        assert!(Arc::ptr_eq(&once, &again));
        assert_eq!(
            (&*interner.slug("starter"), interner.code("growth").as_str()),
            ("starter", "growth")
        );
        (0..2 * MAX_INTERNED).for_each(|number| drop(interner.slug(&number.to_string())));
        assert_eq!(interner.slugs.0.lock().len(), MAX_INTERNED);
        assert_eq!(&*interner.slug("one more"), "one more");
    }
}
