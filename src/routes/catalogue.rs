//! Rules of the catalogue: `modules.api_endpoints`.

use std::fmt;

use thiserror::Error;

use super::{Access, InvalidTemplate, Origin, PathTemplate, Rule, file::methods_of};
use crate::domain::{Catalogue, ModuleCode};

/// An entry of `modules.api_endpoints` that makes no rule, and so protects nothing.
#[derive(Clone, Debug)]
pub struct UnreadableEndpoint {
    /// The module whose entry it is.
    pub module: ModuleCode,
    /// The entry as it is stored.
    pub entry: String,
    /// What is wrong with it.
    pub problem: EndpointProblem,
}

/// What is wrong with an entry of `modules.api_endpoints`.
#[derive(Clone, Debug, Error)]
pub enum EndpointProblem {
    /// A word or a relative path, such as `orders`. With a prefix it is a rule.
    #[error("it does not begin with a slash, and no --api-endpoints-prefix says what it is below")]
    Relative,
    /// Neither path nor word.
    #[error(transparent)]
    Path(#[from] InvalidTemplate),
    /// Its methods.
    #[error("{0}")]
    Methods(String),
}

impl UnreadableEndpoint {
    /// Would it make a rule with a prefix?
    pub fn is_relative(&self) -> bool {
        matches!(self.problem, EndpointProblem::Relative)
    }
}

impl fmt::Display for UnreadableEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "module {}: the entry {:?} of api_endpoints: {}",
            self.module, self.entry, self.problem
        )
    }
}

/// The rules of the modules' own endpoint lists. An entry is a path, which includes everything
/// below it, optionally after methods: `/api/v1/orders`, `GET|POST /api/v1/orders/{id}`. One without
/// a slash at its beginning, such as `orders`, is a path below `prefix`, if there is one.
pub fn rules_of(
    catalogue: &Catalogue,
    prefix: Option<&PathTemplate>,
) -> (Vec<Rule>, Vec<UnreadableEndpoint>) {
    let (mut rules, mut unreadable) = (Vec::new(), Vec::new());
    for module in catalogue.modules() {
        for entry in &module.api_endpoints {
            match rule_of(&module.code, entry, prefix) {
                Ok(rule) => rules.push(rule),
                Err(problem) => unreadable.push(UnreadableEndpoint {
                    module: module.code.clone(),
                    entry: entry.clone(),
                    problem,
                }),
            }
        }
    }
    (rules, unreadable)
}

fn rule_of(
    module: &ModuleCode,
    entry: &str,
    prefix: Option<&PathTemplate>,
) -> Result<Rule, EndpointProblem> {
    let (methods, path) =
        entry.trim().rsplit_once(char::is_whitespace).unwrap_or(("", entry.trim()));
    if path.is_empty() {
        return Err(InvalidTemplate::NoSlash.into());
    }
    // `/orders/*` means everything below it.
    let path = path.strip_suffix("/*").unwrap_or(path);
    let path = match (is_relative(path), prefix) {
        (true, None) => return Err(EndpointProblem::Relative),
        (true, Some(prefix)) => {
            PathTemplate::parse(&format!("{}/{path}", prefix.as_str().trim_end_matches('/')))?
        }
        (false, _) => PathTemplate::parse(if path.is_empty() { "/" } else { path })?,
    };
    // The ERP writes methods in any case, and an entry that is dropped would protect nothing.
    let methods = methods_of(&methods.to_ascii_uppercase()).map_err(EndpointProblem::Methods)?;
    Ok(Rule {
        methods,
        ..Rule::new(path.with_subtree(), Access::AnyOf(vec![module.clone()]), Origin::Catalogue)
    })
}

/// Does only the slash at its beginning keep it from being a path? `*` and `{id}` alone would be
/// about everything.
fn is_relative(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with(['/', '*', '{'])
        && PathTemplate::parse(&format!("/{path}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(entry: &str, prefix: Option<&str>) -> Result<Rule, EndpointProblem> {
        let prefix = prefix.map(|prefix| PathTemplate::parse(prefix).unwrap());
        rule_of(&ModuleCode::new("finance"), entry, prefix.as_ref())
    }

    #[test]
    fn methods_of_the_catalogue_may_be_in_small_letters_so_that_no_entry_is_lost() {
        let read = rule("get|Delete /a/{id}", None).unwrap();
        assert_eq!(read.methods, ["GET", "DELETE"]);
        assert!(rule("G_T /a/{id}", None).is_err());
    }

    #[test]
    fn a_word_is_a_path_below_the_prefix_and_without_one_no_rule() {
        for (entry, prefix, path) in [
            ("orders", "/api/v1", "/api/v1/orders/**"),
            ("orders", "/api/v1/", "/api/v1/orders/**"),
            ("orders/", "/", "/orders/**"),
            (" orders/* ", "/api", "/api/orders/**"),
            ("get hr/payroll/{id}", "/api", "/api/hr/payroll/{id}/**"),
            ("gift-cards", "/{tenant}/api", "/{tenant}/api/gift-cards/**"),
            ("/crm", "/api", "/crm/**"),
        ] {
            assert_eq!(rule(entry, Some(prefix)).unwrap().path.as_str(), path, "{entry}");
        }
        assert!(matches!(rule("orders", None), Err(EndpointProblem::Relative)));
        for entry in
            ["", "  ", "*", "{id}", "https://erp.example/orders", "a?b", "..", "or ders/**/x"]
        {
            assert!(
                matches!(
                    rule(entry, Some("/api")),
                    Err(EndpointProblem::Path(_) | EndpointProblem::Methods(_))
                ),
                "{entry}"
            );
        }
    }
}
