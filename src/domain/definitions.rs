//! What features and limits there are, and what plans say about them.

use rustc_hash::FxHashMap;

use super::{FeatureDefinition, FlagName, LimitDefinition, ModuleCode, PlanFeature};

/// What a plan says about features and limits.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PlanTerms {
    /// By module and key.
    pub features: FxHashMap<FlagName, PlanFeature>,
    /// The limits that it has, 0 or more. What is not named is unlimited.
    pub limits: FxHashMap<Box<str>, i64>,
}

/// All definitions of features and limits, and what each plan says about them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Definitions {
    /// By the module's code, each ordered by key.
    features: FxHashMap<ModuleCode, Vec<FeatureDefinition>>,
    /// Ordered by key.
    limits: Vec<LimitDefinition>,
    /// By the plan's slug.
    plans: FxHashMap<Box<str>, PlanTerms>,
}

impl Default for Definitions {
    fn default() -> Self {
        Self::new([], [], [])
    }
}

impl Definitions {
    /// Puts them together. The limits that are columns of plans are always there.
    pub fn new(
        features: impl IntoIterator<Item = (ModuleCode, FeatureDefinition)>,
        limits: impl IntoIterator<Item = LimitDefinition>,
        plans: impl IntoIterator<Item = (Box<str>, PlanTerms)>,
    ) -> Self {
        let mut by_module: FxHashMap<ModuleCode, Vec<FeatureDefinition>> = FxHashMap::default();
        for (module, feature) in features {
            by_module.entry(module).or_default().push(feature);
        }
        for features in by_module.values_mut() {
            features.sort_by(|one, other| one.key.cmp(&other.key));
        }
        let own = limits.into_iter().filter(|limit| !LimitDefinition::is_built_in(&limit.key));
        let mut limits: Vec<_> = LimitDefinition::built_in().into_iter().chain(own).collect();
        limits.sort_by(|one, other| one.key.cmp(&other.key));
        Self { features: by_module, limits, plans: plans.into_iter().collect() }
    }

    /// The features of the module with this code, ordered by key.
    pub fn features_of(&self, code: &str) -> &[FeatureDefinition] {
        self.features.get(code).map(Vec::as_slice).unwrap_or_default()
    }

    /// A feature of the module with this code.
    pub fn feature(&self, code: &str, key: &str) -> Option<&FeatureDefinition> {
        let features = self.features_of(code);
        let place = features.binary_search_by(|feature| (*feature.key).cmp(key)).ok()?;
        features.get(place)
    }

    /// Every feature, with its module's code, in no order.
    pub fn features(&self) -> impl Iterator<Item = (&ModuleCode, &FeatureDefinition)> {
        self.features.iter().flat_map(|(code, all)| all.iter().map(move |one| (code, one)))
    }

    /// Whatever plans say about features, with each plan's slug, in no order.
    pub fn plan_features(&self) -> impl Iterator<Item = (&str, &FlagName, &PlanFeature)> {
        let plans = self.plans.iter().map(|(slug, terms)| (&**slug, &terms.features));
        plans.flat_map(|(slug, all)| all.iter().map(move |(name, said)| (slug, name, said)))
    }

    /// What each plan says, with its slug, in no order.
    pub fn plan_terms(&self) -> impl Iterator<Item = (&str, &PlanTerms)> {
        self.plans.iter().map(|(slug, terms)| (&**slug, terms))
    }

    /// All limits, ordered by key.
    pub fn limits(&self) -> &[LimitDefinition] {
        &self.limits
    }

    /// The limit with this key.
    pub fn limit(&self, key: &str) -> Option<&LimitDefinition> {
        let place = self.limits.binary_search_by(|limit| (*limit.key).cmp(key)).ok()?;
        self.limits.get(place)
    }

    /// What a plan says about a feature.
    pub fn plan_feature(&self, slug: &str, code: &str, key: &str) -> Option<&PlanFeature> {
        let features = &self.plans.get(slug)?.features;
        // Most plans say nothing: then no name is made.
        if features.is_empty() { None } else { features.get(FlagName::text(code, key).as_str()) }
    }

    /// The limit of a plan; `None`: it has none.
    pub fn plan_limit(&self, slug: &str, key: &str) -> Option<i64> {
        self.plans.get(slug)?.limits.get(key).copied()
    }
}

impl PlanTerms {
    /// What the columns of a plan say; `None`: unlimited.
    pub fn of_columns<const N: usize>(limits: [(&str, Option<i64>); N]) -> Self {
        // Nobody can have fewer than none.
        let limit = |(key, value): (&str, Option<i64>)| Some((key.into(), value?.max(0)));
        Self {
            features: FxHashMap::default(),
            limits: limits.into_iter().filter_map(limit).collect(),
        }
    }
}
