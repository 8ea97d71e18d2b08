//! The catalogue: all modules and plans.

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;

use super::{
    Definitions, FeatureDecision, LimitDecision, LimitReason, LimitSource, Module, ModuleCode,
    Plan, Reason, Wanted,
};

/// All modules and plans, read at one time.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// When it was read: the instant before the statements were sent.
    pub as_of: DateTime<Utc>,
    /// Grows with each committed change of a module or plan; 0 while the database does not count
    /// revisions.
    pub revision: u64,
    modules: FxHashMap<ModuleCode, Module>,
    /// The codes that modules had before they were renamed, each with the current code.
    aliases: FxHashMap<ModuleCode, ModuleCode>,
    plans: Vec<Plan>,
    definitions: Definitions,
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
        let definitions = Definitions::default();
        Self { as_of, revision, modules, aliases: FxHashMap::default(), plans, definitions }
    }

    /// Adds the definitions of features and limits.
    #[must_use]
    pub fn with_definitions(self, definitions: Definitions) -> Self {
        Self { definitions, ..self }
    }

    /// What features and limits there are, and what plans say about them.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// All plans, cheapest first.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// Is there a plan with this slug, on sale or not?
    pub fn has_plan(&self, slug: &str) -> bool {
        self.plans.iter().any(|plan| plan.slug == slug)
    }

    /// Adds the former codes of modules, each with the current code. A current code of a module is
    /// never treated as an alias.
    #[must_use]
    pub fn with_aliases(self, aliases: impl IntoIterator<Item = (ModuleCode, ModuleCode)>) -> Self {
        Self { aliases: aliases.into_iter().collect(), ..self }
    }

    /// The former codes of modules, each with the current code, in no order.
    pub fn aliases(&self) -> impl Iterator<Item = (&ModuleCode, &ModuleCode)> {
        self.aliases.iter()
    }

    /// The codes that the module with this code had before, but for those that another has now; in no
    /// order.
    pub fn former_codes(&self, code: &str) -> impl Iterator<Item = &ModuleCode> {
        let is_its = move |(former, now): &(&ModuleCode, &ModuleCode)| {
            now.as_str() == code && !self.modules.contains_key(*former)
        };
        self.aliases.iter().filter(is_its).map(|(former, _)| former)
    }

    /// Do two readings have equal contents, whenever they were made, and whatever was counted?
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.modules == other.modules
            && self.aliases == other.aliases
            && self.plans == other.plans
            && self.definitions == other.definitions
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
        if self.aliases.is_empty() {
            return code;
        }
        self.module(code).map_or(code, |module| module.code.as_str())
    }

    /// Is there a module of this code, that something may be used for? Empty: none is named.
    pub fn knows_module_of_usage(&self, code: &str) -> bool {
        code.is_empty() || self.module(code).is_some()
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

    /// The slugs of the plans on sale that would switch a feature on, cheapest first; empty if it is
    /// on, or no plan would. Who keeps what its own plan, `own_plan`, said before is not helped by
    /// what that says now.
    pub fn plans_for_feature(
        &self,
        FeatureDecision { state, module }: FeatureDecision<'_>,
        own_plan: Option<&str>,
        code: &str,
        key: &str,
    ) -> Vec<String> {
        let is_by_plan = state.reason.is_for_a_plan_to_change();
        if state.is_on || !(is_by_plan || module.reason == Reason::NotSubscribed) {
            return Vec::new();
        }
        let mut slugs = self.plans_with_feature(code, key);
        slugs.retain(|slug| !is_by_plan || own_plan != Some(slug));
        slugs
    }

    /// The slugs of the plans on sale that would allow so much, cheapest first; empty if it is
    /// allowed, if no plan would, or if an override refuses it, which holds on any plan. `own_plan` is
    /// never among them, as for a feature.
    pub fn plans_for_limit(
        &self,
        decision: &LimitDecision,
        own_plan: Option<&str>,
        key: &str,
        wanted: Wanted,
    ) -> Vec<String> {
        let is_by_plan =
            decision.in_force.as_ref().is_some_and(|limit| limit.source == LimitSource::Plan);
        match decision.reason {
            LimitReason::Exceeded | LimitReason::OverLimit if is_by_plan => {
                let least = wanted.observed.saturating_add(wanted.amount);
                let mut slugs = self.plans_with_limit(key, least);
                slugs.retain(|slug| own_plan != Some(slug));
                slugs
            }
            _ => Vec::new(),
        }
    }

    /// The slugs of the plans on sale that have a feature, cheapest first.
    pub fn plans_with_feature(&self, module: &str, key: &str) -> Vec<String> {
        let code = self.code_of_now(module);
        let Some(defined) = self.definitions.feature(code, key) else { return Vec::new() };
        let has_it = |plan: &&Plan| {
            let planned = self.definitions.plan_feature(&plan.slug, code, key);
            planned.map_or(defined.is_on_by_default, |planned| planned.is_on)
        };
        self.plans_with(code).filter(has_it).map(|plan| plan.slug.clone()).collect()
    }

    /// The slugs of the plans on sale whose limit with this key is that much or more, cheapest first.
    pub fn plans_with_limit(&self, key: &str, least: i64) -> Vec<String> {
        let would_do = |plan: &&Plan| {
            let limit = self.definitions.plan_limit(&plan.slug, key);
            plan.is_active && limit.is_none_or(|limit| limit >= least)
        };
        self.plans.iter().filter(would_do).map(|plan| plan.slug.clone()).collect()
    }
}
