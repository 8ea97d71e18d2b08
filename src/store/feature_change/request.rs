//! The request, as the record keeps it: requests under one id are compared by it.

use sea_orm::prelude::Json;
use serde_json::json;

use super::FeatureChange;
use crate::{
    domain::{
        Author, CatalogueEdit, ExistingTenants, FeatureName, FeatureUpsert, LimitKind, LimitUpsert,
        OwnEdit, OwnFlag, OwnLimit, PlanFeatureEdit, PlanLimitEdit, TimeZoneEdit, ValueType,
    },
    store::{request_json::key_to_json, setting_json::setting_to_json},
};

/// The name of the RPC for a change.
pub(super) fn action_of(change: &FeatureChange) -> &'static str {
    match change {
        FeatureChange::Catalogue(CatalogueEdit::Feature(_)) => "UpsertFeature",
        FeatureChange::Catalogue(CatalogueEdit::Limit(_)) => "UpsertLimit",
        FeatureChange::Catalogue(CatalogueEdit::PlanFeature(_)) => "SetPlanFeature",
        FeatureChange::Catalogue(CatalogueEdit::PlanLimit(_)) => "SetPlanLimit",
        FeatureChange::Own(_, OwnEdit::SetFlag(..)) => "SetTenantFlag",
        FeatureChange::Own(_, OwnEdit::DeleteFlag(_)) => "DeleteTenantFlag",
        FeatureChange::Own(_, OwnEdit::SetLimit(..)) => "SetLimitOverride",
        FeatureChange::Own(_, OwnEdit::EndLimit(_)) => "EndLimitOverride",
        FeatureChange::Own(_, OwnEdit::EndKeptFeature(_)) => "EndKeptFeature",
        FeatureChange::Own(_, OwnEdit::EndKeptLimit(_)) => "EndKeptLimit",
        FeatureChange::Own(_, OwnEdit::SetTimeZone(_)) => "SetTimeZone",
    }
}

/// The request, which distinguishes it from others with the same id.
pub(super) fn request_of(change: &FeatureChange, author: &Author) -> Json {
    let mut request = match change {
        FeatureChange::Catalogue(edit) => edit_of(edit),
        FeatureChange::Own(key, edit) => {
            let mut request = own_of(edit);
            request["tenant"] = key_to_json(key);
            request
        }
    };
    request["reason"] = author.why.as_ref().map(ToString::to_string).into();
    request
}

fn edit_of(edit: &CatalogueEdit) -> Json {
    let word = |tenants: &Option<ExistingTenants>| tenants.map(ExistingTenants::word);
    match edit {
        CatalogueEdit::Feature(FeatureUpsert {
            name,
            title,
            description,
            value_type,
            is_on_by_default,
            default_value,
        }) => {
            let mut request = json!({
                "module_code": name.module,
                "feature_key": name.key,
                "name": title,
                "description": description,
                "value_type": value_type.map(ValueType::word),
                "default_enabled": is_on_by_default,
            });
            // Null is not the same as nothing.
            if let Some(value) = default_value {
                request["default_value"] = setting_to_json(value.as_ref());
            }
            request
        }
        CatalogueEdit::Limit(LimitUpsert { key, title, unit, kind }) => json!({
            "limit_key": key,
            "name": title,
            "unit": unit,
            "kind": kind.map(LimitKind::word),
        }),
        CatalogueEdit::PlanFeature(PlanFeatureEdit { plan, name, says, tenants }) => json!({
            "plan_slug": plan,
            "module_code": name.module,
            "feature_key": name.key,
            "enabled": says.as_ref().map(|says| says.is_on),
            "value": setting_to_json(says.as_ref().and_then(|says| says.value.as_ref())),
            "existing_tenants": word(tenants),
        }),
        CatalogueEdit::PlanLimit(PlanLimitEdit { plan, key, limit, tenants }) => json!({
            "plan_slug": plan,
            "limit_key": key,
            "limit": limit,
            "existing_tenants": word(tenants),
        }),
    }
}

fn own_of(edit: &OwnEdit) -> Json {
    match edit {
        OwnEdit::SetFlag(FeatureName { module, key }, OwnFlag { is_on, value }) => json!({
            "module_code": module,
            "feature_key": key,
            "enabled": is_on,
            "value": setting_to_json(value.as_ref()),
        }),
        OwnEdit::DeleteFlag(FeatureName { module, key })
        | OwnEdit::EndKeptFeature(FeatureName { module, key }) => {
            json!({ "module_code": module, "feature_key": key })
        }
        // Its reason is the request's.
        OwnEdit::SetLimit(key, OwnLimit { limit, ends_at, reason: _ }) => {
            json!({ "limit_key": key, "limit": limit, "ends_at": ends_at })
        }
        OwnEdit::EndLimit(key) | OwnEdit::EndKeptLimit(key) => json!({ "limit_key": key }),
        OwnEdit::SetTimeZone(TimeZoneEdit { zone, servers: _ }) => {
            json!({ "time_zone": zone.map_or("", |zone| zone.name()) })
        }
    }
}
