//! Between the wire and the domain: the only place that names both.

mod admin;
mod explain;
mod ext_authz;
mod features;
mod fuzz;
mod list;
mod mutations;
mod onboard;
mod record;
mod requests;
mod responses;
mod upsert;

pub(in crate::service) use admin::{
    modules_query, modules_response, plans_query, plans_response, subdomain_query,
    subdomain_response, tenant_key, tenant_response,
};
pub(in crate::service) use explain::{
    explain_query, explain_response, feature_explanation, feature_why, limit_explanation, limit_why,
};
pub(in crate::service) use ext_authz::{authz_response, proxy_attributes};
pub(in crate::service) use features::{
    feature_batch_query, feature_batch_response, feature_query, feature_response, limit_query,
    limit_response,
};
pub(crate) use fuzz::fuzz_requests;
pub(in crate::service) use list::{
    delete_query, delete_response, list_tenants_query, list_tenants_response,
};
pub(in crate::service) use mutations::{
    disable_query, disable_response, enable_query, enable_response, plan_change_query,
    plan_change_response, preview_query, preview_response, status_query, status_response,
};
pub(in crate::service) use onboard::{
    onboard_query, onboard_response, provision_query, provision_response,
};
pub(in crate::service) use record::{audit_query, audit_response};
pub(in crate::service) use requests::{
    authorize_query, batch_query, check_query, list_query, resolve_query, tenants_query,
    watch_query,
};
pub(in crate::service) use responses::{
    authorize_response, batch_response, check_response, list_response, resolve_response,
    tenants_response, watch_response,
};
pub(in crate::service) use upsert::{
    module_upsert_query, module_upsert_response, plan_upsert_query, plan_upsert_response,
};
