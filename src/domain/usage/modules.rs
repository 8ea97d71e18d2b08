//! For which modules somebody may count.

use std::{collections::BTreeSet, sync::Arc};

use crate::domain::{Catalogue, ModuleCode};

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
        let now = self.catalogue.code_of_now(module);
        module.is_empty() || self.codes.iter().any(|code| self.catalogue.code_of_now(code) == now)
    }
}

/// Every code under which something was counted for one of these modules, or as the tenant's own: those
/// that [`CountableModules`] have.
pub fn countable_codes<'a>(
    codes: impl IntoIterator<Item = &'a str>,
    catalogue: &'a Catalogue,
) -> BTreeSet<&'a str> {
    let names = |code| {
        let now = catalogue.code_of_now(code);
        catalogue.former_codes(now).map(ModuleCode::as_str).chain([now])
    };
    codes.into_iter().flat_map(names).chain([""]).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::Module;

    fn module(code: &str) -> Module {
        Module {
            code: ModuleCode::new(code),
            name: String::new(),
            category: String::new(),
            display_order: 0,
            is_base_module: false,
            is_active: true,
            sections: Vec::new(),
            frontend_routes: Vec::new(),
            api_endpoints: Vec::new(),
        }
    }

    #[test]
    fn the_countable_codes_are_those_of_which_it_has_the_modules() {
        let code = ModuleCode::new;
        let modules = ["books", "hrms", "old_hrms", "sales"].map(module);
        // "old_hrms" was given to another module since.
        let aliases = [("finance", "books"), ("old_hrms", "hrms"), ("orders", "sales")];
        let catalogue = Catalogue::new(modules.into(), Vec::new(), 0, DateTime::UNIX_EPOCH)
            .with_aliases(aliases.map(|(former, now)| (code(former), code(now))));
        let all = ["", "books", "finance", "hrms", "old_hrms", "sales", "orders", "unknown"];
        for codes in [&["books"][..], &["finance", "hrms"], &["old_hrms"], &["unknown"], &[]] {
            let some = CountableModules::new(codes.iter().copied(), Arc::new(catalogue.clone()));
            let stored = countable_codes(codes.iter().copied(), &catalogue);
            for module in all {
                assert_eq!(some.have(module), stored.contains(module), "{module} by {codes:?}");
            }
        }
    }
}
