//! Codes, slugs and keys, each held once, however many tenants name it.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use rustc_hash::FxHashSet;

use crate::domain::{FlagName, ModuleCode};

/// The maximum number of different values that are shared, per kind.
const MAX_SHARED: usize = 10_000;

/// What the facts that are read one after the other have in common.
#[derive(Debug, Default)]
pub struct Shared {
    codes: FxHashSet<ModuleCode>,
    slugs: FxHashSet<Arc<str>>,
    flags: FxHashSet<FlagName>,
}

impl Shared {
    pub(super) fn code(&mut self, code: &str) -> ModuleCode {
        shared(&mut self.codes, code, ModuleCode::new)
    }

    pub(super) fn slug(&mut self, slug: &str) -> Arc<str> {
        shared(&mut self.slugs, slug, |slug| slug.into())
    }

    pub(super) fn flag(&mut self, module: &str, key: &str) -> FlagName {
        shared(&mut self.flags, &FlagName::text(module, key), FlagName::new)
    }
}

fn shared<T: Borrow<str> + Clone + Eq + Hash>(
    known: &mut FxHashSet<T>,
    text: &str,
    new: impl FnOnce(&str) -> T,
) -> T {
    if let Some(shared) = known.get(text) {
        return shared.clone();
    }
    let new = new(text);
    if known.len() < MAX_SHARED {
        known.insert(new.clone());
    }
    new
}
