//! The catalogue: all modules and plans.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Module, ModuleCode, Plan, Reason};

/// All modules and plans, read at one time.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// When it was read: the instant before the statements were sent.
    pub as_of: DateTime<Utc>,
    /// Grows with each committed change of a module or plan; 0 while the database does not count
    /// revisions.
    pub revision: u64,
    modules: HashMap<ModuleCode, Module>,
    /// The codes that modules had before they were renamed, each with the current code.
    aliases: HashMap<ModuleCode, ModuleCode>,
    plans: Vec<Plan>,
}

impl Catalogue {
    /// Makes a catalogue. `plans` are ordered, cheapest first.
    pub fn new(
        modules: Vec<Module>,
        plans: Vec<Plan>,
        revision: u64,
        as_of: DateTime<Utc>,
    ) -> Self {
        let modules = modules.into_iter().map(|module| (module.code.clone(), module)).collect();
        Self { as_of, revision, modules, aliases: HashMap::new(), plans }
    }

    /// Adds the former codes of modules, each with the current code. A current code of a module is
    /// never treated as an alias.
    #[must_use]
    pub fn with_aliases(self, aliases: impl IntoIterator<Item = (ModuleCode, ModuleCode)>) -> Self {
        Self { aliases: aliases.into_iter().collect(), ..self }
    }

    /// All modules, in the order of their codes.
    pub fn modules(&self) -> Vec<&Module> {
        let mut modules: Vec<&Module> = self.modules.values().collect();
        modules.sort_unstable_by(|one, other| one.code.cmp(&other.code));
        modules
    }

    /// The module that has this code, or had it before it was renamed.
    pub fn module(&self, code: &str) -> Option<&Module> {
        self.modules.get(code).or_else(|| self.modules.get(self.aliases.get(code)?))
    }

    /// The current code of a module: `code` itself, unless a module had it before it was renamed.
    pub fn code_of_now<'a>(&'a self, code: &'a str) -> &'a str {
        self.module(code).map_or(code, |module| module.code.as_str())
    }

    /// The slugs of the plans that would lift a denial, cheapest first; empty if no plan would.
    pub fn plans_against(&self, denial: Reason, module: &str) -> Vec<String> {
        let plans = (denial == Reason::NotSubscribed).then(|| self.plans_with(module));
        plans.into_iter().flatten().map(|plan| plan.slug.clone()).collect()
    }

    /// The plans on sale that contain a module, cheapest first.
    pub fn plans_with<'a>(&'a self, code: &'a str) -> impl Iterator<Item = &'a Plan> {
        let code = self.code_of_now(code);
        self.plans.iter().filter(move |plan| plan.is_active && plan.modules.contains(code))
    }
}
