//! A new tenant: its first modules, and the end of its setup.

use super::{Edit, Enabling, Onboarding, Violation};
use crate::domain::TenantStatus;

impl Edit<'_> {
    pub(super) fn onboard(&mut self, onboarding: &Onboarding) {
        let offers = self.offers;
        let Onboarding { plan: slug, modules, billing_cycle, trial_ends_at } = onboarding;
        let mut modules = modules.clone();
        if let Some(slug) = slug {
            match offers.plan(slug) {
                None => self.violated(Violation::UnknownPlan(slug.clone())),
                Some(plan) if !plan.plan.is_active => {
                    self.violated(Violation::RetiredPlan(slug.clone()));
                }
                Some(plan) => modules.extend(plan.plan.modules.iter().cloned()),
            }
        }
        let base = offers
            .modules
            .iter()
            .filter(|offer| offer.module.is_base_module && offer.module.is_active);
        modules.extend(base.map(|offer| offer.module.code.clone()));
        modules.sort_unstable();
        modules.dedup();
        self.entitlements.plan.clone_from(slug);
        let (billing_cycle, trial_ends_at) = (*billing_cycle, *trial_ends_at);
        let enabling = Enabling { modules, billing_cycle, trial_ends_at, ..Enabling::default() };
        self.enable(&enabling, slug.as_deref());
    }

    /// A tenant that was waiting for its schema becomes active. A tenant that is served, or
    /// suspended, keeps its status.
    pub(super) fn finish_setup(&mut self) {
        match self.entitlements.tenant_status() {
            TenantStatus::PendingSetup | TenantStatus::Failed => {
                TenantStatus::Active.word().clone_into(&mut self.entitlements.status);
            }
            TenantStatus::Active | TenantStatus::Pending | TenantStatus::Suspended => {}
            TenantStatus::Cancelled | TenantStatus::Other => {
                self.violated(Violation::NoSetup(self.entitlements.status.clone()));
            }
        }
    }

    pub(super) fn fail_setup(&mut self) {
        if self.entitlements.tenant_status() == TenantStatus::PendingSetup {
            TenantStatus::Failed.word().clone_into(&mut self.entitlements.status);
        }
    }
}
