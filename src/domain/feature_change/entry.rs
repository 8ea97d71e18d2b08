//! A feature or a limit with what each plan says about it.

use std::collections::BTreeMap;

use crate::domain::{Catalogue, FeatureDefinition, LimitDefinition, ModuleCode, PlanFeature};

/// A feature, and what plans say about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeatureEntry {
    /// The present code of its module.
    pub module: ModuleCode,
    /// Its definition.
    pub defined: FeatureDefinition,
    /// What plans say, by slug. A plan that is not here says nothing.
    pub plans: BTreeMap<String, PlanFeature>,
    /// How many tenants of a plan keep what that said before, by its slug: of entries that are listed.
    pub keeping: BTreeMap<String, u64>,
}

/// A limit, and what plans allow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitEntry {
    /// Its definition.
    pub defined: LimitDefinition,
    /// What every plan allows, by slug; `None`: it is unlimited.
    pub plans: BTreeMap<String, Option<i64>>,
    /// As of a feature.
    pub keeping: BTreeMap<String, u64>,
}

impl FeatureEntry {
    /// The feature with this key of the module with this code; `None`: it is not defined.
    pub fn of(catalogue: &Catalogue, module: &str, key: &str) -> Option<Self> {
        let defined = catalogue.definitions().feature(module, key)?;
        let code = &catalogue.module(module)?.code;
        Some(Self::with_plans(catalogue, code, defined.clone()))
    }

    /// All features, by module and key.
    pub fn all(catalogue: &Catalogue) -> Vec<Self> {
        let features = catalogue.definitions().features();
        let entry = |(code, defined): (&ModuleCode, &FeatureDefinition)| {
            Self::with_plans(catalogue, code, defined.clone())
        };
        let mut all: Vec<Self> = features.map(entry).collect();
        all.sort_by(|one, other| {
            (&one.module, &one.defined.key).cmp(&(&other.module, &other.defined.key))
        });
        all
    }

    fn with_plans(catalogue: &Catalogue, code: &ModuleCode, defined: FeatureDefinition) -> Self {
        let says = |slug: &str| {
            catalogue.definitions().plan_feature(slug, code.as_str(), &defined.key).cloned()
        };
        let plans = catalogue.plans().iter();
        let plans = plans.filter_map(|plan| Some((plan.slug.clone(), says(&plan.slug)?))).collect();
        Self { module: code.clone(), defined, plans, keeping: BTreeMap::new() }
    }
}

impl LimitEntry {
    /// The limit with this key; `None`: it is not defined.
    pub fn of(catalogue: &Catalogue, key: &str) -> Option<Self> {
        let defined = catalogue.definitions().limit(key)?;
        Some(Self::with_plans(catalogue, defined.clone()))
    }

    /// All limits, by key.
    pub fn all(catalogue: &Catalogue) -> Vec<Self> {
        let limits = catalogue.definitions().limits().iter();
        limits.map(|defined| Self::with_plans(catalogue, defined.clone())).collect()
    }

    pub(super) fn with_plans(catalogue: &Catalogue, defined: LimitDefinition) -> Self {
        let allows = |slug: &str| catalogue.definitions().plan_limit(slug, &defined.key);
        let plans = catalogue.plans().iter();
        let plans = plans.map(|plan| (plan.slug.clone(), allows(&plan.slug))).collect();
        Self { defined, plans, keeping: BTreeMap::new() }
    }
}
