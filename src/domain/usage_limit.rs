//! Limits: how much a tenant may have or do.

use std::{cmp::Ordering, sync::Arc};

use chrono::{DateTime, Utc};

use super::{Catalogue, Facts, Reason};

/// The key of the limit that is the column `max_users` of a plan.
pub const USERS: &str = "users";

/// The key of the limit that is the column `max_transactions_monthly` of a plan.
pub const TRANSACTIONS_MONTHLY: &str = "transactions_monthly";

/// What a limit counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LimitKind {
    /// How many there are at a time: users.
    Level,
    /// How many come in a calendar month: orders.
    Monthly,
}

impl LimitKind {
    /// The stored form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Monthly => "monthly",
        }
    }

    /// Reads the stored form.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Level, Self::Monthly].into_iter().find(|kind| kind.word() == word)
    }
}

/// What there is to say about a limit, for all tenants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitDefinition {
    /// The key that requests name it by.
    pub key: Arc<str>,
    /// Its name, to be shown; may be empty.
    pub name: String,
    /// What is counted, to be shown: "users"; may be empty.
    pub unit: String,
    /// What it counts.
    pub kind: LimitKind,
}

impl LimitDefinition {
    /// The two limits that are columns of plans.
    pub fn built_in() -> [Self; 2] {
        let limit = |key: &str, name: &str, unit: &str, kind| Self {
            key: key.into(),
            name: name.into(),
            unit: unit.into(),
            kind,
        };
        [
            limit(TRANSACTIONS_MONTHLY, "Orders a month", "orders", LimitKind::Monthly),
            limit(USERS, "Users", "users", LimitKind::Level),
        ]
    }

    /// Is it a column of plans?
    pub fn is_built_in(key: &str) -> bool {
        [USERS, TRANSACTIONS_MONTHLY].contains(&key)
    }
}

/// What one tenant has instead of the limit of its plan: a row of `entitlement_limit_overrides`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitOverride {
    /// The limit's key.
    pub key: Arc<str>,
    /// The limit, 0 or more; `None`: unlimited.
    pub value: Option<i64>,
    /// When it ends, exclusive; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
}

/// What is done about limits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LimitEnforcement {
    /// Nothing: everything is allowed.
    #[default]
    Off,
    /// Everything is allowed, and what would be refused is counted and logged.
    Shadow,
    /// They hold.
    On,
}

/// Who says what a limit is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LimitSource {
    /// The tenant's override.
    Override,
    /// Its plan, or what it keeps of that from before.
    Plan,
    /// Nobody: there is no limit.
    None,
}

/// The limit that holds for a tenant at one instant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitInForce {
    /// The limit's key.
    pub key: Arc<str>,
    /// The limit; `None`: unlimited.
    pub limit: Option<i64>,
    /// Who says so.
    pub source: LimitSource,
    /// What it counts; a level where it is not defined.
    pub kind: LimitKind,
    /// The next instant at which time alone changes that; `None`: never.
    pub valid_until: Option<DateTime<Utc>>,
    /// Is the tenant without a plan, and without an override?
    pub has_no_plan: bool,
}

/// Why something is within a limit, or why it is not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LimitReason {
    /// It is within the limit.
    Within,
    /// There is no limit: the plan, or the override, says so, or says nothing.
    Unlimited,
    /// With so much more it would be beyond the limit.
    Exceeded,
    /// There is more already than the limit allows, for it was lowered: nothing is taken away, and
    /// nothing more is given.
    OverLimit,
    /// The tenant does not exist, or is not served.
    TenantDenied,
    /// Neither a definition nor an override of the tenant has this key.
    NotFound,
    /// The tenant has no plan, and so no limit.
    NoPlan,
    /// Where usage is counted for a module: the tenant may not use it.
    ModuleDenied,
}

/// What is asked of a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// How much there is already, 0 or more.
    pub observed: i64,
    /// How much more is wanted, 0 or more. 0: is what there is within the limit?
    pub amount: i64,
}

/// The answer for one limit at one instant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitDecision {
    /// Why, or why not.
    pub reason: LimitReason,
    /// The limit that holds; `None`: the tenant is denied, or there is no such limit.
    pub in_force: Option<LimitInForce>,
    /// Why the tenant is denied.
    pub tenant: Option<Reason>,
}

/// The limit with this key that holds for a tenant; `None`: there is no such limit.
pub fn limit_of(
    facts: &Facts,
    catalogue: &Catalogue,
    key: &str,
    at: DateTime<Utc>,
) -> Option<LimitInForce> {
    let own = facts.tenant.own.as_ref().and_then(|own| own.override_of(key));
    let defined = catalogue.definitions().limit(key);
    let key = defined.map(|defined| &defined.key).or(own.map(|own| &own.key))?;
    let kind = defined.map_or(LimitKind::Level, |defined| defined.kind);
    Some(LimitSaid::of(facts, catalogue, key).in_force(Arc::clone(key), kind, at))
}

/// What those say who have a say about a limit. In each, `None` for a limit is unlimited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LimitSaid {
    /// The tenant's override, and when it ends (`None`: never), if there is one.
    pub own: Option<(Option<i64>, Option<DateTime<Utc>>)>,
    /// What the tenant keeps of its plan from before, if anything.
    pub kept: Option<Option<i64>>,
    /// What its plan says now.
    pub planned: Option<i64>,
    /// Has it a plan?
    pub has_plan: bool,
}

impl LimitSaid {
    /// What facts say.
    pub fn of(facts: &Facts, catalogue: &Catalogue, key: &str) -> Self {
        let own = facts.tenant.own.as_ref().and_then(|own| own.override_of(key));
        let plan = facts.tenant.plan_slug.as_deref();
        Self {
            own: own.map(|own| (own.value, own.ends_at)),
            kept: facts.tenant.kept_limit(key).map(|kept| kept.value),
            planned: plan.and_then(|slug| catalogue.definitions().plan_limit(slug, key)),
            has_plan: plan.is_some(),
        }
    }

    /// What that comes to.
    pub fn in_force(self, key: Arc<str>, kind: LimitKind, at: DateTime<Utc>) -> LimitInForce {
        let own = self.own.filter(|(_, end)| end.is_none_or(|end| at < end));
        let (limit, source, valid_until) = match own {
            Some((limit, end)) => (limit, LimitSource::Override, end),
            None => {
                let limit = self.kept.unwrap_or(self.planned);
                (limit, limit.map_or(LimitSource::None, |_| LimitSource::Plan), None)
            }
        };
        let has_no_plan = own.is_none() && !self.has_plan;
        LimitInForce { key, limit, source, kind, valid_until, has_no_plan }
    }
}

/// Every limit that holds for a tenant, ordered by key: exactly those that [`limit_of`] finds.
pub fn limits_of(facts: &Facts, catalogue: &Catalogue, at: DateTime<Utc>) -> Vec<LimitInForce> {
    let defined = catalogue.definitions().limits().iter().map(|defined| &*defined.key);
    let own = facts.tenant.own.iter().flat_map(|own| &own.overrides).map(|own| &*own.key);
    let mut keys: Vec<&str> = defined.chain(own).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter_map(|key| limit_of(facts, catalogue, key, at)).collect()
}

/// The next instant at which an override of the tenant ends; `None`: none does.
pub fn next_end_of_override(facts: &Facts, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let own = facts.tenant.own.as_ref()?;
    own.overrides.iter().filter_map(|own| own.ends_at).filter(|end| at < *end).min()
}

/// Decides by docs/features-and-limits.md: the tenant first, then the limit that holds for it.
pub fn check_limit(
    facts: Option<&Facts>,
    catalogue: &Catalogue,
    key: &str,
    wanted: Wanted,
    at: DateTime<Utc>,
) -> LimitDecision {
    let denial = facts.map_or(Some(Reason::TenantNotFound), |facts| facts.status().denial());
    if denial.is_some() {
        return LimitDecision { reason: LimitReason::TenantDenied, in_force: None, tenant: denial };
    }
    let in_force = facts.and_then(|facts| limit_of(facts, catalogue, key, at));
    let reason = in_force.as_ref().map_or(LimitReason::NotFound, |limit| limit.reason(wanted));
    LimitDecision { reason, in_force, tenant: None }
}

impl LimitInForce {
    /// Is that much within it?
    pub fn reason(&self, Wanted { observed, amount }: Wanted) -> LimitReason {
        let Some(limit) = self.limit else {
            return if self.has_no_plan { LimitReason::NoPlan } else { LimitReason::Unlimited };
        };
        match observed.cmp(&limit) {
            Ordering::Greater => LimitReason::OverLimit,
            // Not added to what there is: that could be more than there are numbers.
            Ordering::Less | Ordering::Equal if amount > limit - observed => LimitReason::Exceeded,
            Ordering::Less | Ordering::Equal => LimitReason::Within,
        }
    }

    /// How much of it is left, beside so much; negative: more is there than it allows.
    pub fn remaining(&self, observed: i64) -> Option<i64> {
        self.limit.map(|limit| limit.saturating_sub(observed))
    }
}

impl LimitReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Within,
        Self::Unlimited,
        Self::Exceeded,
        Self::OverLimit,
        Self::TenantDenied,
        Self::NotFound,
        Self::NoPlan,
        Self::ModuleDenied,
    ];

    /// Its name in logs, metrics and the output of commands: that of `LimitReason` in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Within => "WITHIN",
            Self::Unlimited => "UNLIMITED",
            Self::Exceeded => "EXCEEDED",
            Self::OverLimit => "OVER_LIMIT",
            Self::TenantDenied => "TENANT_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::NoPlan => "NO_PLAN",
            Self::ModuleDenied => "MODULE_DENIED",
        }
    }

    /// Is it allowed, where limits are enforced?
    pub fn allows(self) -> bool {
        matches!(self, Self::Within | Self::Unlimited | Self::NoPlan)
    }
}

impl LimitDecision {
    /// A sentence for people; empty where it is allowed.
    pub fn message(&self, key: &str) -> String {
        let limit = self.in_force.as_ref().and_then(|limit| limit.limit).unwrap_or_default();
        match self.reason {
            // Whoever names a module has the module's own sentence.
            LimitReason::Within
            | LimitReason::Unlimited
            | LimitReason::NoPlan
            | LimitReason::ModuleDenied => String::new(),
            LimitReason::Exceeded => {
                format!("This would exceed the limit '{key}' of {limit}.")
            }
            LimitReason::OverLimit => {
                format!("The limit '{key}' of {limit} has been exceeded.")
            }
            LimitReason::TenantDenied => {
                self.tenant.map(|reason| reason.message("")).unwrap_or_default()
            }
            LimitReason::NotFound => format!("There is no limit '{key}'."),
        }
    }
}
