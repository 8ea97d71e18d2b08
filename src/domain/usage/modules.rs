//! For which modules somebody may count.

use std::sync::Arc;

use crate::domain::Catalogue;

/// The modules for which a caller may count. It takes and gives back nothing under keys of others.
#[derive(Clone, Debug)]
pub struct CountableModules {
    codes: Box<[Arc<str>]>,
    catalogue: Arc<Catalogue>,
}

impl CountableModules {
    /// These, by whatever name the catalogue knows them.
    pub fn new<'a>(codes: impl IntoIterator<Item = &'a str>, catalogue: Arc<Catalogue>) -> Self {
        Self { codes: codes.into_iter().map(Into::into).collect(), catalogue }
    }

    /// Is this one of them? What is the tenant's own, without a module, is open to all.
    pub fn have(&self, module: &str) -> bool {
        is_countable(module, self.codes.iter().map(|code| &**code), &self.catalogue)
    }
}

/// Is it one of these, whichever names they had when, or none?
pub fn is_countable<'a>(
    module: &str,
    mut codes: impl Iterator<Item = &'a str>,
    catalogue: &Catalogue,
) -> bool {
    let now = catalogue.code_of_now(module);
    module.is_empty() || codes.any(|code| catalogue.code_of_now(code) == now)
}
