//! Which tenants are held ahead: before anybody asks for them.

use std::sync::Arc;

use super::{Cache, change_clock::LoadStart};
use crate::{
    domain::{Facts, ModuleNames, TenantId},
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
            Self::OfModules(names) => {
                facts.rows().iter().any(|row| names.contain(row.module.as_str()))
            }
        }
    }

    /// Is it none of them, and others are?
    pub fn passes_over(&self, facts: &Facts) -> bool {
        matches!(self, Self::OfModules(_)) && !self.includes(facts)
    }

    /// To make room, so many tenants are passed over that are spared, and then the next one goes. Where
    /// nineteen in twenty are preferred, one of the others is found before that.
    pub(super) fn most_spared(&self) -> usize {
        match self {
            Self::Nobody | Self::Everybody => 64,
            Self::OfModules(_) => 512,
        }
    }

    /// Is it one of them, and others are not?
    pub(super) fn prefers(&self, facts: &Facts) -> bool {
        matches!(self, Self::OfModules(_)) && self.includes(facts)
    }
}

/// What has become of holding a tenant ahead.
#[derive(Debug)]
pub enum AheadOutcome {
    /// It is held, or there is no such tenant.
    Held,
    /// It is none of those that are held ahead.
    PassedOver(PassedOver),
    /// It was none of them, and may have become one: nobody vouches for what was read.
    Unsure,
}

/// A tenant that is none of those that are held ahead, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct PassedOver(pub(super) LoadStart);

impl<L: LoadTenant> Cache<L> {
    /// From now on these are held ahead. Of others, those that are held stay until they make room.
    pub fn hold_ahead(&self, whom: HeldAhead) {
        self.0.facts.hold_ahead(whom);
    }

    /// Is a tenant still passed over: it is not held, and nothing has changed since it was read?
    pub fn still_passes_over(&self, id: TenantId, PassedOver(start): PassedOver) -> bool {
        !self.holds(id) && !self.0.change_clock.since(start, id)
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
