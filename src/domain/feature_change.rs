//! What administrators do to features and limits, as pure functions: to their definitions, to what
//! plans say about them, and to what single tenants have instead.

mod definition;
mod entry;
mod own;
mod plan;

use std::fmt;

pub(super) use self::plan::fate;
pub use self::{
    definition::{FeatureUpsert, LimitUpsert, TenantValue},
    entry::{FeatureEntry, LimitEntry},
    own::{OwnEdit, OwnFlag, OwnLimit, TimeZoneEdit},
    plan::{Edit, ExistingTenants, PlanFeatureEdit, PlanLimitEdit},
};
use super::{Catalogue, FeatureDefinition, Module, Setting, ValueType, Violation};

/// A feature, as a request names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeatureName {
    /// The code of its module, which may be a former one.
    pub module: String,
    /// Its key.
    pub key: String,
}

impl fmt::Display for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.module, self.key)
    }
}

/// A change of what features and limits there are, or of what plans say about them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CatalogueEdit {
    /// Define a feature, or change its definition.
    Feature(FeatureUpsert),
    /// Define a limit, or change its definition.
    Limit(LimitUpsert),
    /// Set what a plan says about a feature.
    PlanFeature(PlanFeatureEdit),
    /// Set the limit of a plan.
    PlanLimit(PlanLimitEdit),
}

/// A feature or a limit before and after a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edited<T> {
    /// Before; `None`: it is new.
    pub before: Option<T>,
    /// After.
    pub after: T,
    /// What became of the tenants of a plan.
    pub tenants: AffectedTenants,
}

/// How many tenants of a plan a change of it concerns.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AffectedTenants {
    /// Those that keep what they had: all of the plan's.
    pub kept: u64,
    /// Those that have what the plan says now, and did not before.
    pub changed: u64,
}

impl<T> Edited<T> {
    fn new(before: Option<T>, after: T) -> Self {
        Self { before, after, tenants: AffectedTenants::default() }
    }
}

/// The module and the definition of a feature, or what is unknown.
fn known<'a>(
    catalogue: &'a Catalogue,
    name: &FeatureName,
) -> Result<(&'a Module, &'a FeatureDefinition), Violation> {
    let unknown = || Violation::UnknownModule(super::ModuleCode::new(&name.module));
    let module = catalogue.module(&name.module).ok_or_else(unknown)?;
    let defined = catalogue.definitions().feature(module.code.as_str(), &name.key);
    Ok((module, defined.ok_or_else(|| Violation::UnknownFeature(name.to_string()))?))
}

/// The violation by a value that is not of the type that its feature takes.
fn not_of_type(
    name: &FeatureName,
    whose: String,
    value: Option<&Setting>,
    takes: ValueType,
) -> Option<Violation> {
    value.filter(|value| !takes.takes(value)).map(|_| Violation::ValueType {
        feature: name.to_string(),
        whose,
        takes: takes.word(),
    })
}

fn set<T: Clone>(value: &mut T, wanted: Option<&T>) {
    if let Some(wanted) = wanted {
        value.clone_from(wanted);
    }
}

#[cfg(test)]
mod tests;
