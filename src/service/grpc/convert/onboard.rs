//! The messages of onboarding.

use prost_types::Struct;
use serde_json::{Map, Value as Json, json};
use tonic::Status;

use super::{mutations::change, record::to_json, requests::Fields};
use crate::{
    domain::{Subdomain, limits::MAX_TRIAL_DAYS},
    proto::v1::{
        OnboardTenantRequest, OnboardTenantResponse, RetryProvisioningRequest,
        RetryProvisioningResponse,
    },
    service::admin::{OnboardQuery, ProvisionQuery},
    store::{NewTenant, Provisioned},
};

pub(in crate::service) fn onboard_query(
    request: OnboardTenantRequest,
) -> Result<OnboardQuery, Status> {
    let OnboardTenantRequest {
        name,
        subdomain,
        plan_slug,
        module_codes,
        billing_cycle,
        trial_days,
        settings,
        reason,
        request_id,
    } = request;
    let mut fields = Fields::default();
    let name = fields.parsed("name", &name);
    let subdomain = Subdomain::parse(&subdomain)
        .map_err(|error| fields.violated("subdomain", error.to_string()));
    if plan_slug.is_empty() == module_codes.is_empty() {
        fields.violated("plan_slug", "must be given, or module_codes, and not both");
    }
    let modules = if module_codes.is_empty() {
        Vec::new()
    } else {
        fields.module_list("module_codes", &module_codes)
    };
    if trial_days > MAX_TRIAL_DAYS {
        fields.violated("trial_days", format!("must be at most {MAX_TRIAL_DAYS}"));
    }
    let settings = tenant_settings(&mut fields, settings.unwrap_or_default());
    let billing_cycle = fields.billing_cycle(billing_cycle);
    let purpose = fields.purpose(&reason, &request_id);
    let plan = (!plan_slug.is_empty()).then_some(plan_slug);
    let named = name.zip(subdomain.ok());
    let query = named.map(|(name, subdomain)| OnboardQuery {
        new_tenant: NewTenant {
            name,
            subdomain,
            plan,
            modules,
            billing_cycle,
            trial_days,
            settings,
        },
        purpose,
    });
    fields.all_good(query)
}

fn tenant_settings(fields: &mut Fields, settings: Struct) -> Json {
    let settings: Map<String, Json> =
        settings.fields.into_iter().map(|(name, value)| (name, to_json(value))).collect();
    let settings = json!(settings);
    // Valid in JSON, but PostgreSQL's jsonb cannot hold it.
    if settings.to_string().contains("\\u0000") {
        fields.violated("settings", "must not contain NUL");
    }
    settings
}

pub(in crate::service) fn provision_query(
    request: &RetryProvisioningRequest,
) -> Result<ProvisionQuery, Status> {
    let RetryProvisioningRequest { tenant, reason, request_id } = request;
    let mut fields = Fields::default();
    let key = fields.tenant_key("tenant", tenant);
    let purpose = fields.purpose(reason, request_id);
    fields.all_good(key.map(|key| ProvisionQuery { key, purpose }))
}

pub(in crate::service) fn onboard_response(provisioned: Provisioned) -> OnboardTenantResponse {
    let Provisioned { mutated, schema, files } = provisioned;
    let database_schema = schema.unwrap_or_default();
    OnboardTenantResponse { change: Some(change(mutated)), database_schema, applied_files: files }
}

pub(in crate::service) fn provision_response(
    provisioned: Provisioned,
) -> RetryProvisioningResponse {
    let Provisioned { mutated, schema, files } = provisioned;
    let database_schema = schema.unwrap_or_default();
    RetryProvisioningResponse {
        change: Some(change(mutated)),
        database_schema,
        applied_files: files,
    }
}
