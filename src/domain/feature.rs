//! Features: what is switched on or off inside a module.

mod flags;

use chrono::{DateTime, Utc};

pub use self::flags::{Flag, FlagName, FlagRow, Flags};
use super::{Catalogue, Decision, Facts, KeptFeature, Reason, Setting, ValueType, check};

/// What there is to say about a feature of a module, for all tenants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeatureDefinition {
    /// The key that requests name it by: `multi_currency`. Keys compare byte for byte.
    pub key: Box<str>,
    /// Its name, to be shown; may be empty.
    pub name: String,
    /// Its description, to be shown; may be empty.
    pub description: String,
    /// Which values it takes.
    pub value_type: ValueType,
    /// Is it on where neither tenant nor plan says anything?
    pub is_on_by_default: bool,
    /// Its value where neither tenant nor plan has one.
    pub default_value: Option<Setting>,
}

/// What a plan says about a feature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanFeature {
    /// Is it on?
    pub is_on: bool,
    /// Its value; `None`: the plan has none.
    pub value: Option<Setting>,
}

/// Why a feature is on, or why it is off.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FeatureReason {
    /// The module is denied, so that its features are off.
    ModuleDenied,
    /// Neither a definition nor a flag of the tenant has this key.
    NotFound,
    /// A flag of the tenant says so.
    Tenant,
    /// The tenant's plan says so, or what the tenant keeps of it from before.
    Plan,
    /// The definition says so.
    Default,
    /// It would be on, but its value is not of the type that its definition names. It is off.
    ValueUnreadable,
}

/// Whether a feature is on, and what it is set to, as long as the tenant may use the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureState<'a> {
    /// Is it on?
    pub is_on: bool,
    /// Why, or why not.
    pub reason: FeatureReason,
    /// Its value; `None`: it has none, or is off.
    pub value: Option<&'a Setting>,
}

/// The answer for one feature at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureDecision<'a> {
    /// The feature.
    pub state: FeatureState<'a>,
    /// What became of the module. Time alone changes nothing else.
    pub module: Decision,
}

/// Decides by docs/features-and-limits.md: the module first, then what the tenant's own flag says,
/// then its plan, or what it keeps of that, then the definition. The first of the three that has a
/// value gives it.
pub fn check_feature<'a>(
    facts: Option<&'a Facts>,
    catalogue: &'a Catalogue,
    module: &str,
    key: &str,
    at: DateTime<Utc>,
) -> FeatureDecision<'a> {
    // First, though the module may be denied: it is further away in memory than subscriptions are, and the
    // processor fetches both at the same time only if it is asked for this one first.
    let state = facts.map(|facts| {
        state_of(facts, catalogue, catalogue.code_of_now(module), key)
            .unwrap_or(FeatureState::off(FeatureReason::NotFound))
    });
    let module = check(facts, catalogue, module, at);
    let state = state.filter(|_| module.allowed());
    FeatureDecision {
        state: state.unwrap_or(FeatureState::off(FeatureReason::ModuleDenied)),
        module,
    }
}

/// The features of the module with this code, ordered by key: exactly those that [`check_feature`]
/// finds while the tenant may use the module.
pub fn features_of<'a>(
    facts: &'a Facts,
    catalogue: &'a Catalogue,
    code: &'a str,
) -> Vec<(&'a str, FeatureState<'a>)> {
    let defined = catalogue.definitions().features_of(code).iter().map(|defined| &*defined.key);
    let flagged = facts.tenant.own.iter().flat_map(|own| own.flags.keys_of(code));
    let mut keys: Vec<&str> = defined.chain(flagged).collect();
    keys.sort_unstable();
    keys.dedup();
    let state = |key| Some((key, state_of(facts, catalogue, code, key)?));
    keys.into_iter().filter_map(state).collect()
}

/// What tenant, plan and definition come to; `None`: there is no such feature.
fn state_of<'a>(
    facts: &'a Facts,
    catalogue: &'a Catalogue,
    code: &str,
    key: &str,
) -> Option<FeatureState<'a>> {
    Said::of(facts, catalogue, code, key).state()
}

/// What the three that have a say about a feature say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// The tenant's flag.
    pub flag: Option<Flag<'a>>,
    /// What the tenant keeps of its plan: it stands in the place of what the plan says now.
    pub kept: Option<&'a KeptFeature>,
    /// The tenant's plan, now.
    pub planned: Option<&'a PlanFeature>,
    /// The definition. Without one, plans have no say.
    pub defined: Option<&'a FeatureDefinition>,
}

impl<'a> Said<'a> {
    /// What is said about a feature of the module with this code.
    pub fn of(facts: &'a Facts, catalogue: &'a Catalogue, code: &str, key: &str) -> Self {
        let flag = facts.tenant.own.as_ref().and_then(|own| own.flags.get(code, key));
        let definitions = catalogue.definitions();
        let defined = definitions.feature(code, key);
        let plan = facts.tenant.plan_slug.as_deref().filter(|_| defined.is_some());
        let planned = plan.and_then(|slug| definitions.plan_feature(slug, code, key));
        let kept = plan.and_then(|_| facts.tenant.kept_feature(code, key));
        Self { flag, kept, planned, defined }
    }

    /// What the tenant has from its plan: as it was, where it keeps that.
    pub fn of_plan(self) -> Option<&'a PlanFeature> {
        self.kept.map_or(self.planned, |kept| kept.says.as_ref())
    }

    /// The value that counts where it is on: the first that there is.
    pub fn value(self) -> Option<&'a Setting> {
        let value = self.flag.and_then(|flag| flag.value);
        let value = value.or_else(|| self.of_plan()?.value.as_ref());
        value.or_else(|| self.defined?.default_value.as_ref())
    }

    fn state(self) -> Option<FeatureState<'a>> {
        let (is_on, reason) = match (self.flag, self.of_plan(), self.defined) {
            (Some(flag), ..) => (flag.is_on, FeatureReason::Tenant),
            (None, Some(planned), _) => (planned.is_on, FeatureReason::Plan),
            (None, None, Some(defined)) => (defined.is_on_by_default, FeatureReason::Default),
            (None, None, None) => return None,
        };
        if !is_on {
            return Some(FeatureState::off(reason));
        }
        let value = self.value();
        let takes = self.defined.map_or_else(ValueType::default, |defined| defined.value_type);
        if value.is_some_and(|value| !takes.takes(value)) {
            return Some(FeatureState::off(FeatureReason::ValueUnreadable));
        }
        Some(FeatureState { is_on, reason, value })
    }
}

impl FeatureState<'_> {
    fn off(reason: FeatureReason) -> Self {
        Self { is_on: false, reason, value: None }
    }
}

impl FeatureReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::ModuleDenied,
        Self::NotFound,
        Self::Tenant,
        Self::Plan,
        Self::Default,
        Self::ValueUnreadable,
    ];

    /// Its name in logs, metrics and the output of commands: that of `FeatureReason` in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::ModuleDenied => "MODULE_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Tenant => "TENANT",
            Self::Plan => "PLAN",
            Self::Default => "DEFAULT",
            Self::ValueUnreadable => "VALUE_UNREADABLE",
        }
    }

    /// A sentence for people, about a feature that is off. `denial` is what became of its module.
    pub fn message(self, denial: Reason, module: &str, key: &str) -> String {
        match self {
            Self::ModuleDenied => denial.message(module),
            Self::NotFound => {
                format!("There is no feature '{key}' in module '{module}'.")
            }
            Self::Tenant | Self::Default => {
                format!("The feature '{key}' of module '{module}' is switched off.")
            }
            Self::Plan => format!(
                "Your plan does not include the feature '{key}' of module '{module}'. Please upgrade your plan."
            ),
            Self::ValueUnreadable => {
                format!("The feature '{key}' of module '{module}' is not set up correctly.")
            }
        }
    }

    /// May another plan have the feature, where it is off for this reason?
    pub fn is_for_a_plan_to_change(self) -> bool {
        matches!(self, Self::Plan | Self::Default)
    }
}

impl FeatureDecision<'_> {
    /// A sentence for people; empty where it is on.
    pub fn message(&self, module: &str, key: &str) -> String {
        if self.state.is_on {
            String::new()
        } else {
            self.state.reason.message(self.module.reason, module, key)
        }
    }
}
