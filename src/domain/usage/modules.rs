//! For which modules somebody may count.

use crate::domain::{Catalogue, ModuleNames};

/// The modules for which a caller may count. It takes and gives back nothing under keys of others.
#[derive(Clone, Debug)]
pub struct CountableModules(ModuleNames);

impl CountableModules {
    /// These, by whatever name the catalogue knows them.
    pub fn new<'a>(codes: impl IntoIterator<Item = &'a str>, catalogue: &Catalogue) -> Self {
        Self(ModuleNames::new(codes.into_iter().chain([""]), catalogue))
    }

    /// Is this one of them? What is the tenant's own, without a module, is open to all.
    pub fn have(&self, module: &str) -> bool {
        self.0.contain(module)
    }

    /// Every code under which something of theirs was counted, ordered; the empty one is the tenant's
    /// own.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{Module, ModuleCode};

    #[test]
    fn a_module_is_countable_by_whatever_name_it_had_and_has() {
        let code = ModuleCode::new;
        let modules =
            ["books", "hrms", "old_hrms", "sales"].map(|name| Module::of_code(code(name)));
        // "old_hrms" was given to another module since.
        let aliases = [("finance", "books"), ("old_hrms", "hrms"), ("orders", "sales")];
        let catalogue = Catalogue::new(modules.into(), Vec::new(), 0, DateTime::UNIX_EPOCH)
            .with_aliases(aliases.map(|(former, now)| (code(former), code(now))));
        let all = ["", "books", "finance", "hrms", "old_hrms", "sales", "orders", "unknown"];
        for codes in [&["books"][..], &["finance", "hrms"], &["old_hrms"], &["unknown"], &[]] {
            let some = CountableModules::new(codes.iter().copied(), &catalogue);
            for module in all {
                let now = |code| catalogue.code_of_now(code);
                let is_one = codes.iter().any(|code| now(code) == now(module));
                assert_eq!(some.have(module), module.is_empty() || is_one, "{module} by {codes:?}");
            }
        }
    }
}
