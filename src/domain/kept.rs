//! What a plan said before it was changed, for those of its tenants that keep it.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{FlagName, PlanFeature};

/// What a tenant keeps of its plan: it stands in the place of what the plan says now. What it kept
/// of a plan that it is no longer on is not here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeptTerms {
    /// Ordered by module and key.
    features: Box<[KeptFeature]>,
    /// Ordered by key.
    limits: Box<[KeptLimit]>,
}

/// What a plan said about a feature: a row of `entitlement_kept_features`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptFeature {
    /// The module's present code, and the key.
    pub name: FlagName,
    /// What the plan said; `None`: nothing, so that the definition decides.
    pub says: Option<PlanFeature>,
    /// When the plan was changed.
    pub kept_at: KeptAt,
}

/// What a plan allowed: a row of `entitlement_kept_limits`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptLimit {
    /// The limit's key.
    pub key: Arc<str>,
    /// The limit, 0 or more; `None`: unlimited.
    pub value: Option<i64>,
    /// When the plan was changed.
    pub kept_at: KeptAt,
}

/// When a plan was changed whose earlier terms a tenant keeps; `None`: what is stored cannot be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeptAt(pub Option<DateTime<Utc>>);

impl KeptTerms {
    /// Puts them together.
    pub fn new(mut features: Vec<KeptFeature>, mut limits: Vec<KeptLimit>) -> Self {
        features.sort_by(|one, other| one.name.parts().cmp(&other.name.parts()));
        limits.sort_by(|one, other| one.key.cmp(&other.key));
        Self { features: features.into(), limits: limits.into() }
    }

    /// What is kept about features, by module and key.
    pub fn features(&self) -> &[KeptFeature] {
        &self.features
    }

    /// What is kept about limits, by key.
    pub fn limits(&self) -> &[KeptLimit] {
        &self.limits
    }

    /// What is kept about a feature of the module with this code.
    pub fn feature(&self, module: &str, key: &str) -> Option<&KeptFeature> {
        let place = self.features.binary_search_by(|kept| kept.name.parts().cmp(&(module, key)));
        self.features.get(place.ok()?)
    }

    /// What is kept about the limit with this key.
    pub fn limit(&self, key: &str) -> Option<&KeptLimit> {
        let place = self.limits.binary_search_by(|kept| (*kept.key).cmp(key)).ok()?;
        self.limits.get(place)
    }
}

impl KeptAt {
    /// Since when it is kept, in words.
    pub fn words(self) -> String {
        match self.0 {
            Some(at) => format!("kept from before {}", at.date_naive()),
            None => "kept from before the plan was changed".to_owned(),
        }
    }
}
