//! What the settings demand beside a module, the catalogue does not take away.
//!
//! A rule of the catalogue may be the more specific one, and can name neither a feature nor whether
//! the tenant must be verified. Where one decides, it asks for what the rule of the settings asks for
//! that would decide without it. What that rule does not enforce is not asked for.

use super::{Access, Rule};
use crate::domain::ModuleCode;

impl Rule {
    /// Does it ask for something that a rule of the catalogue cannot?
    pub(super) fn has_demands(&self) -> bool {
        let has_tenant = matches!(self.access, Access::Tenant | Access::AnyOf(_));
        self.enforce && has_tenant && (self.verified || self.feature.is_some())
    }

    /// This rule of the catalogue, and what one of the settings asks for: of its feature, if both
    /// name a module that `are_one`.
    pub(super) fn with_demands_of(
        &self,
        other: &Self,
        are_one: impl Fn(&ModuleCode, &ModuleCode) -> bool,
    ) -> Self {
        let shares_module = match (&self.access, &other.access) {
            (Access::AnyOf(own), Access::AnyOf(others)) => {
                own.iter().any(|module| others.iter().any(|other| are_one(module, other)))
            }
            _ => false,
        };
        let feature = other.feature.clone().filter(|_| shares_module);
        Self { feature, verified: other.verified, ..self.clone() }
    }
}
