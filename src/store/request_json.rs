//! What was asked for, as the record keeps it: what tells one request from another.

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

/// The name of the RPC that does it.
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

/// What was asked for: what tells one request from another.
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
        // The end of a trial is counted from now, and so differs from one time to the next.
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

/// A tenant as it was named.
pub(super) fn key_to_json(key: &TenantKey) -> Json {
    match key {
        TenantKey::Id(id) => id.to_string().into(),
        TenantKey::Subdomain(label) => label.as_str().into(),
    }
}
