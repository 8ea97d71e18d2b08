//! Which tenants are held ahead: before anybody asks for them.

use std::sync::Arc;

use super::Cache;
use crate::{
    domain::{Facts, ModuleNames},
    store::LoadTenant,
};

/// Which tenants are held before anybody asks for them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum HeldAhead {
    /// None.
    #[default]
    Nobody,
    /// Every one.
    Everybody,
    /// Those that have a subscription to one of these modules, whatever has become of it: then it is
    /// known too who has it no longer.
    OfModules(Arc<ModuleNames>),
}

impl HeldAhead {
    /// Is the tenant one of them?
    pub(super) fn includes(&self, facts: &Facts) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::OfModules(names) => has_one_of(facts, names),
        }
    }

    /// Is it known to be none of them?
    pub(super) fn passes_over(&self, facts: &Facts) -> bool {
        matches!(self, Self::OfModules(names) if !has_one_of(facts, names))
    }

    /// Is it one of them, and others are not?
    pub(super) fn prefers(&self, facts: &Facts) -> bool {
        matches!(self, Self::OfModules(names) if has_one_of(facts, names))
    }
}

fn has_one_of(facts: &Facts, names: &ModuleNames) -> bool {
    facts.rows().iter().any(|row| names.contain(row.module.as_str()))
}

impl<L: LoadTenant> Cache<L> {
    /// From now on these are held ahead. Of others, those that are held stay until they make room.
    pub fn hold_ahead(&self, whom: HeldAhead) {
        self.0.facts.hold_ahead(whom);
    }

    /// Which tenants are held ahead.
    pub fn held_ahead(&self) -> Arc<HeldAhead> {
        self.0.facts.held_ahead()
    }

    /// How many tenants that were held ahead had to make room for others.
    pub fn evictions_ahead(&self) -> u64 {
        self.0.facts.evictions_ahead()
    }
}
