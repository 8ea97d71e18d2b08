//! The messages of mutations: the requests, and what was changed.

use std::{fmt::Display, str::FromStr};

use tonic::Status;

use super::{requests::Fields, responses::timestamp};
use crate::{
    domain::{
        BillingCycle, Cost, Disabling, Enabling, Ends, Holding, ModuleCode, Money, Mutation,
        PlanChange, SettableStatus, Summary, limits::MAX_MUTATED_MODULES,
    },
    proto::v1::{
        self as pb, ChangePlanRequest, ChangePlanResponse, DisableModulesRequest,
        DisableModulesResponse, EnableModulesRequest, EnableModulesResponse, PreviewChangeRequest,
        PreviewChangeResponse, SetTenantStatusRequest, SetTenantStatusResponse, TenantChange,
        TenantEntitlements, preview_change_request::Change,
    },
    service::admin::{MutationQuery, Purpose},
    store::Mutated,
};

pub(in crate::service) fn status_query(
    request: &SetTenantStatusRequest,
) -> Result<MutationQuery, Status> {
    let SetTenantStatusRequest { tenant, status, reason, request_id } = request;
    let mut fields = Fields::default();
    let status = match pb::TenantStatus::try_from(*status) {
        Ok(pb::TenantStatus::Active) => Some(SettableStatus::Active),
        Ok(pb::TenantStatus::Suspended) => Some(SettableStatus::Suspended),
        Ok(pb::TenantStatus::Cancelled) => Some(SettableStatus::Cancelled),
        _ => {
            fields.violated(
                "status",
                "must be TENANT_STATUS_ACTIVE, TENANT_STATUS_SUSPENDED or TENANT_STATUS_CANCELLED",
            );
            None
        }
    };
    if reason.is_empty() && status.is_some_and(SettableStatus::needs_reason) {
        fields.violated("reason", "must say why a tenant is suspended or cancelled");
    }
    fields.mutation(tenant, status.map(Mutation::SetStatus), reason, request_id)
}

pub(in crate::service) fn enable_query(
    request: &EnableModulesRequest,
) -> Result<MutationQuery, Status> {
    let EnableModulesRequest {
        tenant,
        module_codes,
        include_dependencies,
        billing_cycle,
        expires_at,
        trial_ends_at,
        reason,
        request_id,
    } = request;
    let mut fields = Fields::default();
    let enabling = Enabling {
        modules: fields.module_list("module_codes", module_codes),
        include_dependencies: *include_dependencies,
        billing_cycle: fields.billing_cycle(*billing_cycle),
        expires_at: fields.instant("expires_at", expires_at.as_ref()),
        trial_ends_at: fields.instant("trial_ends_at", trial_ends_at.as_ref()),
    };
    fields.mutation(tenant, Some(Mutation::Enable(enabling)), reason, request_id)
}

pub(in crate::service) fn disable_query(
    request: &DisableModulesRequest,
) -> Result<MutationQuery, Status> {
    let DisableModulesRequest {
        tenant,
        module_codes,
        include_dependents,
        at_period_end,
        reason,
        request_id,
    } = request;
    let mut fields = Fields::default();
    let disabling = Disabling {
        modules: fields.module_list("module_codes", module_codes),
        include_dependents: *include_dependents,
        ends: ends(*at_period_end),
    };
    fields.mutation(tenant, Some(Mutation::Disable(disabling)), reason, request_id)
}

pub(in crate::service) fn plan_change_query(
    request: &ChangePlanRequest,
) -> Result<MutationQuery, Status> {
    let ChangePlanRequest {
        tenant,
        plan_slug,
        billing_cycle,
        include_dependents,
        removed_at_period_end,
        reason,
        request_id,
    } = request;
    let mut fields = Fields::default();
    if plan_slug.is_empty() {
        fields.violated("plan_slug", "must not be empty");
    }
    let change = PlanChange {
        plan: plan_slug.clone(),
        billing_cycle: fields.billing_cycle(*billing_cycle),
        include_dependents: *include_dependents,
        ends: ends(*removed_at_period_end),
    };
    fields.mutation(tenant, Some(Mutation::ChangePlan(change)), reason, request_id)
}

pub(in crate::service) fn preview_query(
    request: &PreviewChangeRequest,
) -> Result<MutationQuery, Status> {
    match &request.change {
        Some(Change::SetStatus(request)) => status_query(request),
        Some(Change::Enable(request)) => enable_query(request),
        Some(Change::Disable(request)) => disable_query(request),
        Some(Change::ChangePlan(request)) => plan_change_query(request),
        None => {
            let mut fields = Fields::default();
            fields.violated("change", "must name a change");
            fields.all_good(None)
        }
    }
}

fn ends(at_period_end: bool) -> Ends {
    if at_period_end { Ends::PeriodEnd } else { Ends::Now }
}

impl Fields {
    fn mutation(
        mut self,
        tenant: &str,
        mutation: Option<Mutation>,
        reason: &str,
        request_id: &str,
    ) -> Result<MutationQuery, Status> {
        let key = self.tenant_key("tenant", tenant);
        let purpose = self.purpose(reason, request_id);
        let query =
            key.zip(mutation).map(|(key, mutation)| MutationQuery { key, mutation, purpose });
        self.all_good(query)
    }

    /// The reason for a request, and its request id.
    pub(super) fn purpose(&mut self, reason: &str, request_id: &str) -> Purpose {
        Purpose {
            why: self.count_decision("reason", reason),
            request_id: self.count_decision("request_id", request_id),
        }
    }

    /// An optional text.
    fn count_decision<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() { None } else { self.parsed(field, text) }
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        text.parse().map_err(|error: T::Err| self.violated(field, error.to_string())).ok()
    }

    pub(super) fn module_list(&mut self, field: &str, codes: &[String]) -> Vec<ModuleCode> {
        if !(1..=MAX_MUTATED_MODULES).contains(&codes.len()) {
            self.violated(
                field,
                format!("must hold 1 to {MAX_MUTATED_MODULES} codes, not {}", codes.len()),
            );
            return Vec::new();
        }
        self.codes(field, codes);
        codes.iter().map(|code| ModuleCode::new(code)).collect()
    }

    pub(super) fn billing_cycle(&mut self, cycle: i32) -> Option<BillingCycle> {
        match pb::BillingCycle::try_from(cycle) {
            Ok(pb::BillingCycle::Unspecified) => None,
            Ok(pb::BillingCycle::Monthly) => Some(BillingCycle::Monthly),
            Ok(pb::BillingCycle::Yearly) => Some(BillingCycle::Yearly),
            Err(_) => {
                self.violated("billing_cycle", "must be one of BillingCycle");
                None
            }
        }
    }
}

pub(in crate::service) fn status_response(mutated: Mutated) -> SetTenantStatusResponse {
    SetTenantStatusResponse { change: Some(change(mutated)) }
}

pub(in crate::service) fn enable_response(mutated: Mutated) -> EnableModulesResponse {
    EnableModulesResponse { change: Some(change(mutated)) }
}

pub(in crate::service) fn disable_response(mutated: Mutated) -> DisableModulesResponse {
    DisableModulesResponse { change: Some(change(mutated)) }
}

pub(in crate::service) fn plan_change_response(mutated: Mutated) -> ChangePlanResponse {
    ChangePlanResponse { change: Some(change(mutated)) }
}

pub(in crate::service) fn preview_response(mutated: Mutated) -> PreviewChangeResponse {
    PreviewChangeResponse { change: Some(change(mutated)) }
}

pub(super) fn change(mutated: Mutated) -> TenantChange {
    let Mutated { tenant, before, after, revision } = mutated;
    TenantChange {
        tenant_id: tenant.to_string(),
        added_module_codes: after.modules_beside(&before).map(ToString::to_string).collect(),
        removed_module_codes: before.modules_beside(&after).map(ToString::to_string).collect(),
        before: Some(entitlements(before)),
        after: Some(entitlements(after)),
        revision,
    }
}

fn billing_cycle(cycle: BillingCycle) -> pb::BillingCycle {
    match cycle {
        BillingCycle::Monthly => pb::BillingCycle::Monthly,
        BillingCycle::Yearly => pb::BillingCycle::Yearly,
    }
}

pub(super) fn entitlements(summary: Summary) -> TenantEntitlements {
    let Summary { status, plan, modules, price_monthly, price_yearly, cost } = summary;
    let Cost { plan: plan_price, cycle, beside, beside_monthly, beside_yearly, monthly, yearly } =
        cost.unwrap_or_default();
    let amount = |money: Option<Money>| money.map(|money| money.to_string()).unwrap_or_default();
    let holding = |(code, holding): (ModuleCode, Holding)| pb::ModuleHolding {
        module_code: code.to_string(),
        starts_at: holding.starts_at.map(timestamp),
        ends_at: holding.ends_at.map(timestamp),
        is_trial: holding.is_trial,
    };
    TenantEntitlements {
        status,
        plan_slug: plan.unwrap_or_default(),
        modules: modules.into_iter().map(holding).collect(),
        price_monthly: price_monthly.to_string(),
        price_yearly: price_yearly.to_string(),
        plan_price: amount(plan_price),
        plan_billing_cycle: cycle.map(billing_cycle).unwrap_or_default().into(),
        modules_beside_plan: beside.iter().map(ToString::to_string).collect(),
        beside_plan_monthly: beside_monthly.to_string(),
        beside_plan_yearly: beside_yearly.to_string(),
        total_monthly: amount(monthly),
        total_yearly: amount(yearly),
    }
}
