//! Between the wire and the domain: the only place that names both.

mod admin;
mod explain;
mod ext_authz;
mod feature_admin;
mod feature_terms;
mod features;
mod fuzz;
mod list;
mod mutations;
mod onboard;
mod record;
mod replication;
mod requests;
mod responses;
mod signed_lease;
mod upsert;
mod usage;
mod usage_over_time;

pub(in crate::service) use admin::{
    modules_query, modules_response, plans_query, plans_response, subdomain_query,
    subdomain_response, tenant_key, tenant_response,
};
pub(in crate::service) use explain::{
    explain_query, explain_response, feature_explanation, feature_why, limit_explanation, limit_why,
};
pub(in crate::service) use ext_authz::{authz_response, proxy_attributes};
pub(in crate::service) use feature_admin::{
    delete_flag_query, end_kept_feature_query, end_kept_limit_query, end_override_query,
    feature_preview_query, feature_upsert_query, features_query, limit_upsert_query,
    plan_feature_query, plan_limit_query, set_flag_query, set_override_query, time_zone_query,
};
pub(in crate::service) use feature_terms::{
    delete_flag_response, end_kept_feature_response, end_kept_limit_response,
    end_override_response, feature_preview_response, feature_upsert_response, features_response,
    limit_upsert_response, limits_response, plan_feature_response, plan_limit_response,
    set_flag_response, set_override_response, time_zone_response,
};
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
pub(in crate::service) use replication::{
    catalogue_response, facts_query, facts_response, follow_query, follow_response, keys_response,
};
pub(in crate::service) use requests::{
    authorize_query, batch_query, caller, check_query, list_query, resolve_query, tenants_query,
    watch_query,
};
pub(in crate::service) use responses::{
    authorize_response, batch_response, check_response, list_response, resolve_response,
    tenants_response, watch_response,
};
pub(in crate::service) use signed_lease::{signed_lease_query, signed_lease_response};
pub(in crate::service) use upsert::{
    module_upsert_query, module_upsert_response, plan_upsert_query, plan_upsert_response,
};
pub(in crate::service) use usage::{
    reconcile_query, reconcile_response, release_query, release_response, reserve_query,
    reserve_response,
};
pub(in crate::service) use usage_over_time::{
    lease_query, lease_response, record_query as usage_record_query,
    record_response as usage_record_response, settle_query, settle_response, spans_query,
    spans_response,
};
