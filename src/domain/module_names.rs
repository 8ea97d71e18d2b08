//! Modules, by every name that they have and had.

use std::collections::BTreeSet;

use super::{Catalogue, ModuleCode};

/// The codes of some modules, and those that they had before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModuleNames(BTreeSet<Box<str>>);

impl ModuleNames {
    /// Of the modules that have one of these codes, or had it. A code that the catalogue does not know
    /// stays as it is.
    pub fn new<'a>(codes: impl IntoIterator<Item = &'a str>, catalogue: &Catalogue) -> Self {
        let names = |code| {
            let now = catalogue.code_of_now(code);
            let former = catalogue.former_codes(now).map(ModuleCode::as_str);
            former.chain([now]).map(Into::into).collect::<Vec<_>>()
        };
        Self(codes.into_iter().flat_map(names).collect())
    }

    /// Is it the code of one of them, now or before?
    pub fn contain(&self, code: &str) -> bool {
        self.0.contains(code)
    }

    /// Each, ordered.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|code| &**code)
    }
}
