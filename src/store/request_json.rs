//! The request, as the record keeps it: requests under one id are compared by it.

use sea_orm::prelude::Json;
use serde_json::json;

use super::TenantKey;
use crate::domain::{
    Author, BillingCycle, Disabling, Enabling, Ends, ModuleCode, Mutation, Onboarding, PlanChange,
};

/// The action that adds a tenant.
pub(super) const ONBOARD: &str = "OnboardTenant";
/// The action that makes its schema.
pub(super) const PROVISION: &str = "ProvisionTenant";

/// The name of the RPC for a mutation.
pub(super) fn action_of(mutation: &Mutation) -> &'static str {
    match mutation {
        Mutation::SetStatus(_) => "SetTenantStatus",
        Mutation::Enable(_) => "EnableModules",
        Mutation::Disable(_) => "DisableModules",
        Mutation::ChangePlan(_) => "ChangePlan",
        Mutation::Onboard(_) => ONBOARD,
        Mutation::FinishSetup => PROVISION,
        Mutation::FailSetup => "ProvisioningFailed",
    }
}

/// The request, which distinguishes it from others with the same id.
pub(super) fn request_of(mutation: &Mutation, author: &Author) -> Json {
    let codes = |modules: &[ModuleCode]| -> Vec<String> {
        modules.iter().map(ToString::to_string).collect()
    };
    let end = |ends: &Ends| match ends {
        Ends::Now => "now",
        Ends::PeriodEnd => "period_end",
    };
    let mut request = match mutation {
        Mutation::SetStatus(status) => json!({ "status": status.word() }),
        Mutation::Enable(Enabling {
            modules,
            include_dependencies,
            billing_cycle,
            expires_at,
            trial_ends_at,
        }) => {
            json!({
                "modules": codes(modules),
                "include_dependencies": include_dependencies,
                "billing_cycle": billing_cycle.map(BillingCycle::word),
                "expires_at": expires_at,
                "trial_ends_at": trial_ends_at,
            })
        }
        Mutation::Disable(Disabling { modules, include_dependents, ends }) => {
            json!({ "modules": codes(modules), "include_dependents": include_dependents, "ends": end(ends) })
        }
        Mutation::ChangePlan(PlanChange { plan, billing_cycle, include_dependents, ends }) => {
            json!({
                "plan": plan,
                "billing_cycle": billing_cycle.map(BillingCycle::word),
                "include_dependents": include_dependents,
                "ends": end(ends),
            })
        }
        // The end of a trial is calculated from the current time, and so differs between
        // repetitions.
        Mutation::Onboard(Onboarding { plan, modules, billing_cycle, trial_ends_at: _ }) => json!({
            "plan": plan,
            "modules": codes(modules),
            "billing_cycle": billing_cycle.map(BillingCycle::word),
        }),
        Mutation::FinishSetup | Mutation::FailSetup => json!({}),
    };
    request["reason"] = author.why.as_ref().map(ToString::to_string).into();
    request
}

/// A tenant as the request named it.
pub(super) fn key_to_json(key: &TenantKey) -> Json {
    match key {
        TenantKey::Id(id) => id.to_string().into(),
        TenantKey::Subdomain(label) => label.as_str().into(),
    }
}
