//! Enabling modules.

use chrono::{DateTime, Utc};

use super::{BillingCycle, Edit, Enabling, Violation};
use crate::domain::{ModuleCode, ModuleOffer, SubscriptionStatus, TenantStatus, Terms};

impl Edit<'_> {
    /// Enables modules, and what they depend on if requested. `plan` is the one that they belong
    /// to.
    pub(super) fn enable(&mut self, enabling: &Enabling, plan: Option<&str>) {
        let status = self.entitlements.tenant_status();
        if status.denial().is_some() && status != TenantStatus::PendingSetup {
            self.violated(Violation::TenantStatus(self.entitlements.status.clone()));
        }
        for (field, end) in
            [("expires_at", enabling.expires_at), ("trial_ends_at", enabling.trial_ends_at)]
        {
            if end.is_some_and(|end| end <= self.at) {
                self.violated(Violation::Past(field));
            }
        }
        let offers = self.offers;
        let mut wanted = enabling.modules.clone();
        let mut next = 0;
        while let Some(code) = wanted.get(next).cloned() {
            next += 1;
            let Some(offer) = offers.module(code.as_str()) else {
                self.violated(Violation::UnknownModule(code));
                continue;
            };
            self.check_dependencies(offer, &mut wanted, enabling.include_dependencies);
            if !offer.module.is_active && !self.entitlements.holds(&code, self.at) {
                self.violated(Violation::RetiredModule(code.clone()));
            }
            // A dependency gets the terms of the module that it is enabled for.
            self.enable_one(offer, enabling, plan);
        }
    }

    /// Adds the dependencies that the tenant lacks to the modules to enable, or adds a violation
    /// for each.
    fn check_dependencies(
        &mut self,
        offer: &ModuleOffer,
        wanted: &mut Vec<ModuleCode>,
        include: bool,
    ) {
        for dependency in &offer.dependencies {
            if wanted.contains(dependency) || self.entitlements.grants(dependency, self.at) {
                continue;
            }
            if include {
                wanted.push(dependency.clone());
            } else {
                let module = offer.module.code.clone();
                self.violated(Violation::MissingDependency {
                    module,
                    dependency: dependency.clone(),
                });
            }
        }
    }

    /// Gives a module exactly these terms. A row that has ended is reactivated, rather than another
    /// one added.
    fn enable_one(&mut self, offer: &ModuleOffer, enabling: &Enabling, plan: Option<&str>) {
        let (code, at) = (&offer.module.code, self.at);
        let of_module = |row: &&mut Terms| row.module == *code;
        let rank = |row: &&mut Terms| (row.grants(at), row.is_held(at), row.starts_at, row.id);
        let mut rows: Vec<&mut Terms> =
            self.entitlements.subscriptions.iter_mut().filter(of_module).collect();
        rows.sort_unstable_by_key(rank);
        let Some(row) = rows.pop() else {
            let mut row = nothing(code.clone(), at);
            set(&mut row, offer, enabling, plan, at);
            return self.entitlements.subscriptions.push(row);
        };
        set(row, offer, enabling, plan, at);
        // The live database may hold several rows: another row must not outlast what was agreed
        // upon.
        rows.into_iter()
            .filter(|row| row.is_held(at))
            .for_each(|row| super::disable::end_now(row, at));
    }
}

/// A row that does not grant anything yet.
fn nothing(module: ModuleCode, at: DateTime<Utc>) -> Terms {
    Terms {
        id: None,
        module,
        plan: None,
        status: String::new(),
        billing_cycle: None,
        price_paid: None,
        starts_at: Some(at),
        expires_at: None,
        is_trial: false,
        trial_ends_at: None,
        auto_renew: false,
    }
}

fn set(
    row: &mut Terms,
    offer: &ModuleOffer,
    enabling: &Enabling,
    plan: Option<&str>,
    at: DateTime<Utc>,
) {
    let Enabling { billing_cycle, expires_at, trial_ends_at, .. } = enabling;
    if !row.grants(at) {
        row.starts_at = Some(at);
    }
    let cycle_before = row.billing_cycle.as_deref().and_then(BillingCycle::of);
    let is_as_before =
        row.is_held(at) && billing_cycle.is_none_or(|cycle| cycle_before == Some(cycle));
    if !is_as_before {
        let cycle = billing_cycle.or(cycle_before.filter(|_| row.is_held(at))).unwrap_or_default();
        row.billing_cycle = Some(cycle.word().to_owned());
        row.price_paid = offer.price(cycle);
        row.plan = plan.map(str::to_owned);
    }
    if !row.is_held(at) {
        SubscriptionStatus::Active.word().clone_into(&mut row.status);
    }
    row.expires_at = *expires_at;
    row.is_trial = trial_ends_at.is_some();
    row.trial_ends_at = *trial_ends_at;
    row.auto_renew = expires_at.is_none();
}
