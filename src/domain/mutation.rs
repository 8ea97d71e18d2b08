//! What administrators do to a tenant, as a pure function: from what it is entitled to, to what it
//! will be entitled to.

mod disable;
mod enable;
mod onboard;
mod violation;

use chrono::{DateTime, Utc};

pub use self::violation::Violation;
use super::{Entitlements, ModuleCode, Offers, TenantStatus, Terms};

/// A change to one tenant's entitlements.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mutation {
    /// Set another status.
    SetStatus(SettableStatus),
    /// Enable modules.
    Enable(Enabling),
    /// Disable modules.
    Disable(Disabling),
    /// Set another plan: enable its modules, and disable those of the previous plan that are not in
    /// it.
    ChangePlan(PlanChange),
    /// The first modules of a new tenant.
    Onboard(Onboarding),
    /// Its schema is ready: the tenant may be served.
    FinishSetup,
    /// Its schema could not be created.
    FailSetup,
}

/// A status that an administrator may give a tenant. The other statuses are steps of its setup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SettableStatus {
    /// Served.
    Active,
    /// Not served for now. Needs a reason.
    Suspended,
    /// Not served any more. Needs a reason.
    Cancelled,
}

/// Which modules are enabled, and until when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Enabling {
    /// The requested modules.
    pub modules: Vec<ModuleCode>,
    /// Also enable what they depend on?
    pub include_dependencies: bool,
    /// `None`: unchanged, and monthly for new modules.
    pub billing_cycle: Option<BillingCycle>,
    /// `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the trial ends. `None`: it is not a trial.
    pub trial_ends_at: Option<DateTime<Utc>>,
}

/// Which modules are disabled, and when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Disabling {
    /// The requested modules.
    pub modules: Vec<ModuleCode>,
    /// Also disable what depends on them?
    pub include_dependents: bool,
    /// When they end.
    pub ends: Ends,
}

/// Which plan, and what becomes of the modules of the previous plan that are not in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanChange {
    /// The new plan's slug.
    pub plan: String,
    /// For modules that are new; `None`: monthly.
    pub billing_cycle: Option<BillingCycle>,
    /// Also disable what depends on the removed modules?
    pub include_dependents: bool,
    /// When the removed modules end.
    pub ends: Ends,
}

/// What a new tenant starts with. Base modules are included automatically.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Onboarding {
    /// A plan, by its slug, with its modules.
    pub plan: Option<String>,
    /// Modules without a plan.
    pub modules: Vec<ModuleCode>,
    /// For the prices; `None`: monthly.
    pub billing_cycle: Option<BillingCycle>,
    /// When the trial ends. `None`: it is not a trial.
    pub trial_ends_at: Option<DateTime<Utc>>,
}

/// When a disabled module ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ends {
    /// At once.
    #[default]
    Now,
    /// At the end of the paid period: several modules all end with the last.
    PeriodEnd,
}

/// The period that a price covers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BillingCycle {
    /// A month.
    #[default]
    Monthly,
    /// A year.
    Yearly,
}

impl BillingCycle {
    /// Parses a `billing_cycle`, ignoring case. `annual` is what the ERP's front end writes.
    pub fn of(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "monthly" => Some(Self::Monthly),
            "yearly" | "annual" => Some(Self::Yearly),
            _ => None,
        }
    }

    /// The stored form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// The number of months that it covers.
    pub fn months(self) -> u32 {
        match self {
            Self::Monthly => 1,
            Self::Yearly => 12,
        }
    }
}

impl SettableStatus {
    /// The stored form.
    pub fn word(self) -> &'static str {
        let status = match self {
            Self::Active => TenantStatus::Active,
            Self::Suspended => TenantStatus::Suspended,
            Self::Cancelled => TenantStatus::Cancelled,
        };
        status.word()
    }

    /// Must the administrator give a reason?
    pub fn needs_reason(self) -> bool {
        self != Self::Active
    }

    /// May a tenant with the status `before` be given this one? Whether it has this status already
    /// is not checked here.
    fn may_follow(self, before: TenantStatus) -> bool {
        match before {
            // Statuses of the ERP's own, or unknown ones: an administrator must be able to correct
            // them.
            TenantStatus::Pending | TenantStatus::Other => true,
            TenantStatus::Active => self != Self::Active,
            TenantStatus::Suspended => self != Self::Suspended,
            TenantStatus::Cancelled => self == Self::Active,
            // Only its setup can make it active.
            TenantStatus::PendingSetup | TenantStatus::Failed => self == Self::Cancelled,
        }
    }
}

impl Mutation {
    /// Applies it to entitlements, or returns every violation.
    pub fn apply(
        &self,
        before: &Entitlements,
        offers: &Offers,
        at: DateTime<Utc>,
    ) -> Result<Entitlements, Vec<Violation>> {
        let mut edit = Edit { entitlements: before.clone(), offers, at, violations: Vec::new() };
        match self {
            Self::SetStatus(status) => edit.set_status(*status),
            Self::Enable(enabling) => edit.enable(enabling, None),
            Self::Disable(disabling) => edit.disable(disabling),
            Self::ChangePlan(change) => edit.change_plan(change),
            Self::Onboard(onboarding) => edit.onboard(onboarding),
            Self::FinishSetup => edit.finish_setup(),
            Self::FailSetup => edit.fail_setup(),
        }
        if edit.violations.is_empty() { Ok(edit.entitlements) } else { Err(edit.violations) }
    }
}

/// Entitlements while they are being changed.
struct Edit<'a> {
    entitlements: Entitlements,
    offers: &'a Offers,
    at: DateTime<Utc>,
    violations: Vec<Violation>,
}

impl Edit<'_> {
    fn violated(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    fn rows_of<'b>(&'b mut self, module: &'b ModuleCode) -> impl Iterator<Item = &'b mut Terms> {
        self.entitlements.subscriptions.iter_mut().filter(move |row| row.module == *module)
    }

    fn set_status(&mut self, status: SettableStatus) {
        let (before, word) = (self.entitlements.tenant_status(), status.word());
        if before == TenantStatus::of(word) {
            return;
        }
        if !status.may_follow(before) {
            let from = self.entitlements.status.clone();
            return self.violated(Violation::Transition { from, to: word });
        }
        word.clone_into(&mut self.entitlements.status);
    }

    fn change_plan(&mut self, change: &PlanChange) {
        let offers = self.offers;
        let PlanChange { plan: slug, billing_cycle, include_dependents, ends } = change;
        let Some(plan) = offers.plan(slug) else {
            return self.violated(Violation::UnknownPlan(slug.clone()));
        };
        let before = self.entitlements.plan.replace(slug.clone());
        if !plan.plan.is_active && before.as_deref() != Some(slug) {
            self.violated(Violation::RetiredPlan(slug.clone()));
        }
        let mut new: Vec<ModuleCode> = plan.plan.modules.iter().cloned().collect();
        new.sort_unstable();
        for code in &new {
            let at = self.at;
            self.rows_of(code)
                .filter(|row| row.is_held(at))
                .for_each(|row| row.plan = Some(slug.clone()));
        }
        let mut gone = before
            .and_then(|slug| offers.plan(&slug))
            .map_or(Vec::new(), |plan| plan.plan.modules.iter().cloned().collect());
        let is_base = |code: &ModuleCode| {
            offers.module(code.as_str()).is_some_and(|offer| offer.module.is_base_module)
        };
        gone.retain(|code| {
            !new.contains(code) && !is_base(code) && self.entitlements.holds(code, self.at)
        });
        gone.sort_unstable();
        // What the tenant has stays as it is: its dates may have been agreed upon.
        new.retain(|code| !self.entitlements.grants(code, self.at));
        let enabling =
            Enabling { modules: new, billing_cycle: *billing_cycle, ..Enabling::default() };
        self.enable(&enabling, Some(slug));
        self.disable(&Disabling {
            modules: gone,
            include_dependents: *include_dependents,
            ends: *ends,
        });
    }
}

#[cfg(test)]
mod tests;
