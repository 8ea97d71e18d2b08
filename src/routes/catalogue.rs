//! Rules of the catalogue: `modules.api_endpoints`.

use std::fmt;

use super::{Access, Origin, PathTemplate, Rule, file::methods_of};
use crate::domain::{Catalogue, ModuleCode};

/// An entry of `modules.api_endpoints` that cannot be parsed, and so protects nothing.
#[derive(Clone, Debug)]
pub struct UnreadableEndpoint {
    /// The module whose entry it is.
    pub module: ModuleCode,
    /// The entry as it is stored.
    pub entry: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for UnreadableEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "module {}: the entry {:?} of api_endpoints {}",
            self.module, self.entry, self.problem
        )
    }
}

/// The rules of the modules' own endpoint lists. An entry is a path, which includes everything
/// below it, optionally after methods: `/api/v1/orders`, `GET|POST /api/v1/orders/{id}`.
pub fn rules_of(catalogue: &Catalogue) -> (Vec<Rule>, Vec<UnreadableEndpoint>) {
    let (mut rules, mut unreadable) = (Vec::new(), Vec::new());
    for module in catalogue.modules() {
        for entry in &module.api_endpoints {
            match rule_of(&module.code, entry) {
                Ok(rule) => rules.push(rule),
                Err(problem) => {
                    unreadable.push(UnreadableEndpoint {
                        module: module.code.clone(),
                        entry: entry.clone(),
                        problem,
                    });
                }
            }
        }
    }
    (rules, unreadable)
}

fn rule_of(module: &ModuleCode, entry: &str) -> Result<Rule, String> {
    let (methods, path) =
        entry.trim().rsplit_once(char::is_whitespace).unwrap_or(("", entry.trim()));
    // `/orders/*` means everything below it.
    let path = path.strip_suffix("/*").unwrap_or(path);
    let path = PathTemplate::parse(if path.is_empty() { "/" } else { path })
        .map_err(|problem| problem.to_string())?;
    // The ERP writes methods in any case, and an entry that is dropped would protect nothing.
    let methods = methods_of(&methods.to_ascii_uppercase())?;
    Ok(Rule {
        methods,
        ..Rule::new(path.with_subtree(), Access::AnyOf(vec![module.clone()]), Origin::Catalogue)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_the_catalogue_may_be_in_small_letters_so_that_no_entry_is_lost() {
        let rule = rule_of(&ModuleCode::new("finance"), "get|Delete /a/{id}").unwrap();
        assert_eq!(rule.methods, ["GET", "DELETE"]);
        assert!(rule_of(&ModuleCode::new("finance"), "G_T /a/{id}").is_err());
    }
}
