//! What plans say about features and limits, and what becomes of their tenants.

use super::{Edited, FeatureEntry, FeatureName, LimitEntry, known, not_of_type};
use crate::domain::{Catalogue, LimitDefinition, PlanFeature, Violation};

/// What becomes of the tenants of a plan when what it says is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExistingTenants {
    /// They keep what the plan said, for as long as they are on it.
    Keep,
    /// It is changed for them too: for those that keep nothing from an earlier change.
    Apply,
}

impl ExistingTenants {
    /// The form in which it is recorded.
    pub fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Apply => "apply",
        }
    }
}

/// What a plan is to say about a feature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanFeatureEdit {
    /// The plan, by its slug.
    pub plan: String,
    /// The feature.
    pub name: FeatureName,
    /// What it is to say; `None`: nothing.
    pub says: Option<PlanFeature>,
    /// What becomes of its tenants; `None`: that is not said.
    pub tenants: Option<ExistingTenants>,
}

/// The limit that a plan is to have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanLimitEdit {
    /// The plan, by its slug.
    pub plan: String,
    /// The limit's key.
    pub key: String,
    /// The limit; `None`: unlimited.
    pub limit: Option<i64>,
    /// What becomes of its tenants; `None`: that is not said.
    pub tenants: Option<ExistingTenants>,
}

/// A change of what a plan says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edit<T> {
    /// What is changed.
    pub edited: Edited<T>,
    /// What becomes of them; `None`: the plan has no tenants, or says what it said.
    pub tenants: Option<ExistingTenants>,
}

impl PlanFeatureEdit {
    /// The feature before and after it, or every violation. The plan has so many tenants.
    pub fn apply(
        &self,
        catalogue: &Catalogue,
        tenants: u64,
    ) -> Result<Edit<FeatureEntry>, Vec<Violation>> {
        let mut violations = Vec::from_iter(unknown_plan(catalogue, &self.plan));
        let known = known(catalogue, &self.name).map_err(|unknown| violations.push(unknown)).ok();
        let entry = known.and_then(|(module, defined)| {
            FeatureEntry::of(catalogue, module.code.as_str(), &defined.key)
        });
        let Some(before) = entry else { return Err(violations) };
        let value = self.says.as_ref().and_then(|says| says.value.as_ref());
        let takes = before.defined.value_type;
        let whose = format!("the plan '{}'", self.plan);
        violations.extend(not_of_type(&self.name, whose, value, takes));
        let fate = if before.plans.get(&self.plan) == self.says.as_ref() {
            None
        } else {
            fate(self.tenants, &self.plan, tenants, &mut violations)
        };
        let mut after = before.clone();
        match &self.says {
            None => drop(after.plans.remove(&self.plan)),
            Some(says) => drop(after.plans.insert(self.plan.clone(), says.clone())),
        }
        done(violations, Edit { edited: Edited::new(Some(before), after), tenants: fate })
    }
}

impl PlanLimitEdit {
    /// The limit before and after it, or every violation. The plan has so many tenants.
    pub fn apply(
        &self,
        catalogue: &Catalogue,
        tenants: u64,
    ) -> Result<Edit<LimitEntry>, Vec<Violation>> {
        let mut violations = Vec::from_iter(unknown_plan(catalogue, &self.plan));
        if self.limit.is_some_and(|limit| limit < 0) {
            violations.push(Violation::NegativeLimit(self.key.clone()));
        }
        if LimitDefinition::is_built_in(&self.key)
            && self.limit.is_some_and(|limit| limit > i32::MAX.into())
        {
            violations.push(Violation::LimitTooLarge(self.key.clone()));
        }
        let Some(before) = LimitEntry::of(catalogue, &self.key) else {
            violations.push(Violation::UnknownLimit(self.key.clone()));
            return Err(violations);
        };
        let had = before.plans.get(&self.plan).copied().flatten();
        let fate = if had == self.limit {
            None
        } else {
            fate(self.tenants, &self.plan, tenants, &mut violations)
        };
        let mut after = before.clone();
        after.plans.insert(self.plan.clone(), self.limit);
        done(violations, Edit { edited: Edited::new(Some(before), after), tenants: fate })
    }
}

fn unknown_plan(catalogue: &Catalogue, slug: &str) -> Option<Violation> {
    (!catalogue.has_plan(slug)).then(|| Violation::UnknownPlan(slug.to_owned()))
}

/// What becomes of so many tenants of a plan. It must be said, where there are any.
pub(in crate::domain) fn fate(
    said: Option<ExistingTenants>,
    plan: &str,
    tenants: u64,
    violations: &mut Vec<Violation>,
) -> Option<ExistingTenants> {
    if tenants == 0 {
        return None;
    }
    if said.is_none() {
        violations.push(Violation::PlanHasTenants(plan.to_owned(), tenants));
    }
    said
}

fn done<T>(violations: Vec<Violation>, value: T) -> Result<T, Vec<Violation>> {
    if violations.is_empty() { Ok(value) } else { Err(violations) }
}
