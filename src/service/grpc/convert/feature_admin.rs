//! The requests of FeatureAdminService.

use chrono_tz::Tz;
use prost_types::{Value, value::Kind};
use tonic::Status;

use super::{record::to_json, requests::Fields};
use crate::{
    domain::{
        CatalogueEdit, ExistingTenants, FeatureName, FeatureUpsert, LimitKind, LimitUpsert,
        OwnEdit, OwnFlag, OwnLimit, PlanFeature, PlanFeatureEdit, PlanLimitEdit, Setting,
        TimeZoneEdit, ValueType,
        calendar::parse_zone,
        limits::{
            MAX_DESCRIPTION_CHARS, MAX_FEATURE_KEY_CHARS, MAX_LIMIT_KEY_CHARS,
            MAX_OFFER_NAME_CHARS, MAX_VALUE_CHARS, MAX_WORD_CHARS,
        },
    },
    proto::v1::{self as pb, preview_feature_change_request::Change},
    service::admin::FeatureChangeQuery,
    store::{FeatureChange, length_of, setting_of},
};

/// The module whose features are listed; `None`: all.
pub(in crate::service) fn features_query(
    request: pb::ListFeaturesRequest,
) -> Result<Option<String>, Status> {
    let pb::ListFeaturesRequest { module_code } = request;
    let mut fields = Fields::default();
    let module = (!module_code.is_empty()).then_some(module_code);
    if let Some(code) = &module {
        fields.module("module_code", code);
    }
    fields.all_good(Some(module))
}

pub(in crate::service) fn feature_upsert_query(
    request: pb::UpsertFeatureRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    let name = fields.feature(request.module_code, request.feature_key);
    fields.at_most("name", request.name.as_deref().unwrap_or_default(), MAX_OFFER_NAME_CHARS);
    let description = request.description.as_deref().unwrap_or_default();
    fields.at_most("description", description, MAX_DESCRIPTION_CHARS);
    let upsert = FeatureUpsert {
        name,
        title: request.name,
        description: request.description,
        value_type: fields.value_type(request.value_type),
        is_on_by_default: request.default_enabled,
        default_value: request.default_value.map(|value| fields.value("default_value", value)),
    };
    fields.edit(CatalogueEdit::Feature(upsert), &request.reason, &request.request_id)
}

pub(in crate::service) fn limit_upsert_query(
    request: pb::UpsertLimitRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    fields.key("limit_key", &request.limit_key, MAX_LIMIT_KEY_CHARS);
    fields.at_most("name", request.name.as_deref().unwrap_or_default(), MAX_OFFER_NAME_CHARS);
    fields.at_most("unit", request.unit.as_deref().unwrap_or_default(), MAX_WORD_CHARS);
    let upsert = LimitUpsert {
        key: request.limit_key,
        title: request.name,
        unit: request.unit,
        kind: fields.limit_kind(request.kind),
    };
    fields.edit(CatalogueEdit::Limit(upsert), &request.reason, &request.request_id)
}

pub(in crate::service) fn set_flag_query(
    request: pb::SetTenantFlagRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    let name = fields.feature(request.module_code, request.feature_key);
    let value = request.value.and_then(|value| fields.value("value", value));
    let edit = OwnEdit::SetFlag(name, OwnFlag { is_on: request.enabled, value });
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

pub(in crate::service) fn delete_flag_query(
    request: pb::DeleteTenantFlagRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    let edit = OwnEdit::DeleteFlag(fields.feature(request.module_code, request.feature_key));
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

pub(in crate::service) fn set_override_query(
    request: pb::SetLimitOverrideRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    fields.key("limit_key", &request.limit_key, MAX_LIMIT_KEY_CHARS);
    let own = OwnLimit {
        limit: request.limit,
        ends_at: fields.instant("ends_at", request.ends_at.as_ref()),
        reason: request.reason.clone(),
    };
    let edit = OwnEdit::SetLimit(request.limit_key, own);
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

pub(in crate::service) fn end_override_query(
    request: pb::EndLimitOverrideRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    fields.key("limit_key", &request.limit_key, MAX_LIMIT_KEY_CHARS);
    let edit = OwnEdit::EndLimit(request.limit_key);
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

pub(in crate::service) fn end_kept_feature_query(
    request: pb::EndKeptFeatureRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    let edit = OwnEdit::EndKeptFeature(fields.feature(request.module_code, request.feature_key));
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

pub(in crate::service) fn end_kept_limit_query(
    request: pb::EndKeptLimitRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    fields.key("limit_key", &request.limit_key, MAX_LIMIT_KEY_CHARS);
    let edit = OwnEdit::EndKeptLimit(request.limit_key);
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

/// `servers`: the zone of the servers.
pub(in crate::service) fn time_zone_query(
    request: pb::SetTimeZoneRequest,
    servers: Tz,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    let zone = parse_zone(&request.time_zone).unwrap_or_else(|_| {
        fields.violated("time_zone", "must be the name of a time zone, such as Asia/Kolkata");
        None
    });
    let edit = OwnEdit::SetTimeZone(TimeZoneEdit { zone, servers });
    fields.own(&request.tenant, edit, &request.reason, &request.request_id)
}

pub(in crate::service) fn plan_feature_query(
    request: pb::SetPlanFeatureRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    fields.plan(&request.plan_slug);
    let name = fields.feature(request.module_code, request.feature_key);
    let value = request.value.and_then(|value| fields.value("value", value));
    if request.enabled.is_none() && value.is_some() {
        fields.violated("value", "must be absent where the plan is to say nothing");
    }
    let edit = PlanFeatureEdit {
        plan: request.plan_slug,
        name,
        says: request.enabled.map(|is_on| PlanFeature { is_on, value }),
        tenants: fields.existing_tenants(request.existing_tenants),
    };
    fields.edit(CatalogueEdit::PlanFeature(edit), &request.reason, &request.request_id)
}

pub(in crate::service) fn plan_limit_query(
    request: pb::SetPlanLimitRequest,
) -> Result<FeatureChangeQuery, Status> {
    let mut fields = Fields::default();
    fields.plan(&request.plan_slug);
    fields.key("limit_key", &request.limit_key, MAX_LIMIT_KEY_CHARS);
    let edit = PlanLimitEdit {
        plan: request.plan_slug,
        key: request.limit_key,
        limit: request.limit,
        tenants: fields.existing_tenants(request.existing_tenants),
    };
    fields.edit(CatalogueEdit::PlanLimit(edit), &request.reason, &request.request_id)
}

pub(in crate::service) fn feature_preview_query(
    request: pb::PreviewFeatureChangeRequest,
    servers: Tz,
) -> Result<FeatureChangeQuery, Status> {
    match request.change {
        Some(Change::UpsertFeature(request)) => feature_upsert_query(request),
        Some(Change::UpsertLimit(request)) => limit_upsert_query(request),
        Some(Change::SetTenantFlag(request)) => set_flag_query(request),
        Some(Change::DeleteTenantFlag(request)) => delete_flag_query(request),
        Some(Change::SetLimitOverride(request)) => set_override_query(request),
        Some(Change::EndLimitOverride(request)) => end_override_query(request),
        Some(Change::EndKeptFeature(request)) => end_kept_feature_query(request),
        Some(Change::EndKeptLimit(request)) => end_kept_limit_query(request),
        Some(Change::SetTimeZone(request)) => time_zone_query(request, servers),
        Some(Change::SetPlanFeature(request)) => plan_feature_query(request),
        Some(Change::SetPlanLimit(request)) => plan_limit_query(request),
        None => {
            let mut fields = Fields::default();
            fields.violated("change", "must name a change");
            fields.all_good(None)
        }
    }
}

impl Fields {
    fn edit(
        mut self,
        edit: CatalogueEdit,
        reason: &str,
        request_id: &str,
    ) -> Result<FeatureChangeQuery, Status> {
        let purpose = self.purpose(reason, request_id);
        let change = FeatureChange::Catalogue(edit);
        self.all_good(Some(FeatureChangeQuery { change, purpose }))
    }

    fn own(
        mut self,
        tenant: &str,
        edit: OwnEdit,
        reason: &str,
        request_id: &str,
    ) -> Result<FeatureChangeQuery, Status> {
        let key = self.tenant_key("tenant", tenant);
        let purpose = self.purpose(reason, request_id);
        let change = key.map(|key| FeatureChange::Own(key, edit));
        self.all_good(change.map(|change| FeatureChangeQuery { change, purpose }))
    }

    fn feature(&mut self, module: String, key: String) -> FeatureName {
        self.module("module_code", &module);
        self.key("feature_key", &key, MAX_FEATURE_KEY_CHARS);
        FeatureName { module, key }
    }

    fn plan(&mut self, slug: &str) {
        if slug.is_empty() {
            self.violated("plan_slug", "must not be empty");
        }
    }

    /// A value; `None`: there is none.
    fn value(&mut self, field: &str, value: Value) -> Option<Setting> {
        if !is_json(&value) {
            self.violated(field, "must be JSON, which has neither NaN nor infinity");
            return None;
        }
        let json = to_json(value);
        if length_of(&json) > MAX_VALUE_CHARS {
            let problem = format!(
                "must be at most {MAX_VALUE_CHARS} characters of JSON, every digit counted"
            );
            self.violated(field, problem);
            return None;
        }
        setting_of(json)
    }

    fn value_type(&mut self, value_type: i32) -> Option<ValueType> {
        match pb::FeatureValueType::try_from(value_type) {
            Ok(pb::FeatureValueType::Unspecified) => None,
            Ok(pb::FeatureValueType::Bool) => Some(ValueType::Bool),
            Ok(pb::FeatureValueType::Int64) => Some(ValueType::Int64),
            Ok(pb::FeatureValueType::String) => Some(ValueType::String),
            Ok(pb::FeatureValueType::Json) => Some(ValueType::Json),
            Err(_) => {
                self.violated("value_type", "must be one of FeatureValueType");
                None
            }
        }
    }

    fn limit_kind(&mut self, kind: i32) -> Option<LimitKind> {
        match pb::LimitKind::try_from(kind) {
            Ok(pb::LimitKind::Unspecified) => None,
            Ok(pb::LimitKind::Level) => Some(LimitKind::Level),
            Ok(pb::LimitKind::Monthly) => Some(LimitKind::Monthly),
            Err(_) => {
                self.violated("kind", "must be one of LimitKind");
                None
            }
        }
    }

    pub(super) fn existing_tenants(&mut self, tenants: i32) -> Option<ExistingTenants> {
        match pb::ExistingTenants::try_from(tenants) {
            Ok(pb::ExistingTenants::Unspecified) => None,
            Ok(pb::ExistingTenants::Keep) => Some(ExistingTenants::Keep),
            Ok(pb::ExistingTenants::Apply) => Some(ExistingTenants::Apply),
            Err(_) => {
                self.violated("existing_tenants", "must be one of ExistingTenants");
                None
            }
        }
    }
}

fn is_json(value: &Value) -> bool {
    match &value.kind {
        Some(Kind::NumberValue(number)) => number.is_finite(),
        Some(Kind::ListValue(list)) => list.values.iter().all(is_json),
        Some(Kind::StructValue(fields)) => fields.fields.values().all(is_json),
        _ => true,
    }
}
