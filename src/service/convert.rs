//! Between the wire and the domain: the only place that names both.

mod admin;
mod requests;
mod responses;

pub(super) use admin::{
    modules_query, modules_response, plans_query, plans_response, subdomain_query, subdomain_response, tenant_key,
    tenant_response,
};
pub(super) use requests::{
    authorize_query, batch_query, check_query, explain_query, list_query, resolve_query, tenants_query, watch_query,
};
pub(super) use responses::{
    authorize_response, batch_response, check_response, explain_response, list_response, reason_word, resolve_response,
    tenants_response, watch_response,
};
