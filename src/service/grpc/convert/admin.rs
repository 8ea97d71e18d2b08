//! The messages of TenantAdminService.

use chrono::{DateTime, Utc};
use tonic::Status;

use super::{
    feature_terms::{flag, kept_feature, kept_limit, limit_override, time_zone},
    features::limit,
    mutations::entitlements,
    requests::Fields,
    responses::{reason, subscriptions_facts, tenant_facts, timestamp},
};
use crate::{
    domain::{
        HeldSubscription, ModuleCode, ModuleOffer, Money, PlanOffer, SubdomainRefusal, check_facts,
        decision::deciding_subscription,
    },
    proto::v1::{
        CatalogueModule, CataloguePlan, CheckSubdomainRequest, CheckSubdomainResponse,
        GetTenantRequest, GetTenantResponse, ListModulesRequest, ListModulesResponse,
        ListPlansRequest, ListPlansResponse, SubdomainReason, TenantModule,
    },
    service::admin::{SubdomainVerdict, TenantRecord},
    store::{Evidence, Overview, TenantKey},
};

pub(in crate::service) fn subdomain_query(request: &CheckSubdomainRequest) -> &str {
    &request.subdomain
}

pub(in crate::service) fn subdomain_response(verdict: SubdomainVerdict) -> CheckSubdomainResponse {
    let SubdomainVerdict { schema, refusal } = verdict;
    let reason = match refusal {
        None => SubdomainReason::Available,
        Some(SubdomainRefusal::Invalid(_)) => SubdomainReason::Invalid,
        Some(SubdomainRefusal::Reserved) => SubdomainReason::Reserved,
        Some(SubdomainRefusal::Taken) => SubdomainReason::Taken,
        Some(SubdomainRefusal::SchemaTaken) => SubdomainReason::SchemaTaken,
    };
    CheckSubdomainResponse {
        available: refusal.is_none(),
        reason: reason.into(),
        message: refusal.map(|refusal| refusal.to_string()).unwrap_or_default(),
        database_schema: schema.unwrap_or_default(),
    }
}

/// Only those on sale?
pub(in crate::service) fn modules_query(request: ListModulesRequest) -> bool {
    let ListModulesRequest { on_sale_only } = request;
    on_sale_only
}

pub(in crate::service) fn modules_response(modules: Vec<ModuleOffer>) -> ListModulesResponse {
    ListModulesResponse { modules: modules.into_iter().map(module).collect() }
}

pub(super) fn module(offer: ModuleOffer) -> CatalogueModule {
    let ModuleOffer { module, description, dependencies, price_monthly, price_yearly } = offer;
    CatalogueModule {
        code: module.code.to_string(),
        name: module.name,
        description,
        category: module.category,
        display_order: module.display_order,
        is_base_module: module.is_base_module,
        on_sale: module.is_active,
        dependencies: dependencies.iter().map(ModuleCode::to_string).collect(),
        price_monthly: amount(price_monthly),
        price_yearly: amount(price_yearly),
        sections: module.sections,
        frontend_routes: module.frontend_routes,
    }
}

/// Only those on sale?
pub(in crate::service) fn plans_query(request: ListPlansRequest) -> bool {
    let ListPlansRequest { on_sale_only } = request;
    on_sale_only
}

pub(in crate::service) fn plans_response(plans: Vec<PlanOffer>) -> ListPlansResponse {
    ListPlansResponse { plans: plans.into_iter().map(plan).collect() }
}

pub(super) fn plan(offer: PlanOffer) -> CataloguePlan {
    let PlanOffer { plan, name, price, billing_cycle, max_users, max_transactions_monthly } = offer;
    CataloguePlan {
        module_codes: plan.codes(),
        slug: plan.slug,
        name,
        on_sale: plan.is_active,
        price: amount(price),
        billing_cycle,
        max_users,
        max_transactions_monthly,
    }
}

fn amount(money: Option<Money>) -> String {
    money.map(|money| money.to_string()).unwrap_or_default()
}

pub(in crate::service) fn tenant_key(request: &GetTenantRequest) -> Result<TenantKey, Status> {
    let GetTenantRequest { tenant } = request;
    let mut fields = Fields::default();
    let key = fields.tenant_key("tenant", tenant);
    fields.all_good(key)
}

pub(in crate::service) fn tenant_response(record: TenantRecord) -> GetTenantResponse {
    let TenantRecord { at, zone, overview } = record;
    let Overview {
        evidence,
        revision,
        flags,
        overrides,
        kept_features,
        kept_limits,
        limits,
        summary,
    } = overview;
    let modules = evidence.facts.by_module().filter_map(|rows| tenant_module(&evidence, rows, at));
    GetTenantResponse {
        modules: modules.collect(),
        tenant: Some(tenant_facts(&evidence)),
        revision,
        as_of: Some(timestamp(at)),
        flags: flags.into_iter().map(flag).collect(),
        limit_overrides: overrides.into_iter().map(limit_override).collect(),
        limits: limits.into_iter().map(limit).collect(),
        entitlements: summary.ok().map(entitlements),
        kept_features: kept_features.into_iter().map(kept_feature).collect(),
        kept_limits: kept_limits.into_iter().map(kept_limit).collect(),
        time_zone: Some(time_zone(zone)),
    }
}

/// `None` if there are no rows, which is never the case for a module.
fn tenant_module(
    evidence: &Evidence,
    rows: &[HeldSubscription],
    at: DateTime<Utc>,
) -> Option<TenantModule> {
    let code = rows.first()?.module.as_str();
    let decision = check_facts(Some(&evidence.facts), code, at)?;
    let deciding = deciding_subscription(&evidence.facts, code, decision, at);
    Some(TenantModule {
        module_code: code.to_owned(),
        allowed: decision.allowed(),
        reason: reason(decision.reason).into(),
        valid_until: decision.valid_until.map(timestamp),
        subscriptions: subscriptions_facts(evidence, code, at, deciding),
    })
}
