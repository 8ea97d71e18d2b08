//! What was changed, as the record keeps it and commands print it: with the names of the protos.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::prelude::Json;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    FeatureChange, FeatureChanged, NamedFlag, NamedKeptFeature, NamedKeptLimit, NamedLimit,
    OwnChanged,
    zone_json::{time_zone_to_json, zone_changed_of},
};
use crate::{
    domain::{
        AffectedTenants, CatalogueEdit, Edited, FeatureDefinition, FeatureEntry, KeptAt,
        LimitDefinition, LimitEntry, LimitKind, ModuleCode, OwnEdit, OwnFlag, OwnLimit,
        PlanFeature, ValueType,
    },
    store::{
        AuditEvent, StoreError,
        setting_json::{setting_of, setting_to_json},
    },
};

#[derive(Deserialize, Serialize)]
struct FeatureJson {
    module_code: String,
    feature_key: String,
    name: String,
    description: String,
    value_type: String,
    default_enabled: bool,
    default_value: Json,
    plans: Vec<PlanFeatureJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keeping: Vec<KeepingJson>,
}

#[derive(Deserialize, Serialize)]
struct PlanFeatureJson {
    plan_slug: String,
    enabled: bool,
    value: Json,
}

#[derive(Deserialize, Serialize)]
struct LimitJson {
    limit_key: String,
    name: String,
    unit: String,
    kind: String,
    built_in: bool,
    plans: Vec<PlanLimitJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keeping: Vec<KeepingJson>,
}

#[derive(Deserialize, Serialize)]
struct PlanLimitJson {
    plan_slug: String,
    limit: Option<i64>,
}

#[derive(Deserialize, Serialize)]
struct KeepingJson {
    plan_slug: String,
    tenants: u64,
}

#[derive(Deserialize, Serialize)]
struct KeptFeatureJson {
    module_code: String,
    feature_key: String,
    enabled: Option<bool>,
    value: Json,
    kept_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize, Serialize)]
struct KeptLimitJson {
    limit_key: String,
    limit: Option<i64>,
    kept_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize, Serialize)]
struct FlagJson {
    module_code: String,
    feature_key: String,
    enabled: bool,
    value: Json,
}

#[derive(Deserialize, Serialize)]
struct OverrideJson {
    limit_key: String,
    limit: Option<i64>,
    ends_at: Option<DateTime<Utc>>,
    reason: String,
}

/// Stands beside what a change of a plan has made of a feature or a limit.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct AffectedJson {
    kept_tenants: u64,
    changed_tenants: u64,
}

/// A feature with what plans say about it.
pub fn feature_to_json(entry: &FeatureEntry) -> Json {
    let FeatureEntry { module, defined, plans, keeping } = entry;
    let plans = plans.iter().map(|(slug, says)| PlanFeatureJson {
        plan_slug: slug.clone(),
        enabled: says.is_on,
        value: setting_to_json(says.value.as_ref()),
    });
    json!(FeatureJson {
        module_code: module.to_string(),
        feature_key: defined.key.to_string(),
        name: defined.name.clone(),
        description: defined.description.clone(),
        value_type: defined.value_type.word().to_owned(),
        default_enabled: defined.is_on_by_default,
        default_value: setting_to_json(defined.default_value.as_ref()),
        plans: plans.collect(),
        keeping: keeping_to_json(keeping),
    })
}

/// A limit with what plans allow.
pub fn limit_to_json(entry: &LimitEntry) -> Json {
    let LimitEntry { defined, plans, keeping } = entry;
    let plan = |(slug, limit): (&String, &Option<i64>)| PlanLimitJson {
        plan_slug: slug.clone(),
        limit: *limit,
    };
    json!(LimitJson {
        limit_key: defined.key.to_string(),
        name: defined.name.clone(),
        unit: defined.unit.clone(),
        kind: defined.kind.word().to_owned(),
        built_in: LimitDefinition::is_built_in(&defined.key),
        plans: plans.iter().map(plan).collect(),
        keeping: keeping_to_json(keeping),
    })
}

fn keeping_to_json(keeping: &BTreeMap<String, u64>) -> Vec<KeepingJson> {
    let one = |(slug, tenants): (&String, &u64)| KeepingJson {
        plan_slug: slug.clone(),
        tenants: *tenants,
    };
    keeping.iter().map(one).collect()
}

fn keeping_of(keeping: Vec<KeepingJson>) -> BTreeMap<String, u64> {
    keeping.into_iter().map(|KeepingJson { plan_slug, tenants }| (plan_slug, tenants)).collect()
}

/// What a tenant keeps of what its plan said about a feature.
pub fn kept_feature_to_json(kept: &NamedKeptFeature) -> Json {
    let NamedKeptFeature { module, key, says, kept_at } = kept;
    json!(KeptFeatureJson {
        module_code: module.clone(),
        feature_key: key.clone(),
        enabled: says.as_ref().map(|says| says.is_on),
        value: setting_to_json(says.as_ref().and_then(|says| says.value.as_ref())),
        kept_at: kept_at.0,
    })
}

/// What a tenant keeps of what its plan allowed.
pub fn kept_limit_to_json(kept: &NamedKeptLimit) -> Json {
    let NamedKeptLimit { key, limit, kept_at } = kept;
    json!(KeptLimitJson { limit_key: key.clone(), limit: *limit, kept_at: kept_at.0 })
}

/// A tenant's flag.
pub fn flag_to_json(named: &NamedFlag) -> Json {
    json!(FlagJson {
        module_code: named.module.clone(),
        feature_key: named.key.clone(),
        enabled: named.flag.is_on,
        value: setting_to_json(named.flag.value.as_ref()),
    })
}

/// What a tenant has instead of the limit of its plan.
pub fn override_to_json(named: &NamedLimit) -> Json {
    let OwnLimit { limit, ends_at, reason } = &named.own;
    json!(OverrideJson {
        limit_key: named.key.clone(),
        limit: *limit,
        ends_at: *ends_at,
        reason: reason.clone(),
    })
}

/// Before and after, for the record.
pub(super) fn states_of(changed: &FeatureChanged) -> [Option<Json>; 2] {
    match changed {
        FeatureChanged::Feature(edited) => edited_states(edited, feature_to_json),
        FeatureChanged::Limit(edited) => edited_states(edited, limit_to_json),
        FeatureChanged::Flag(OwnChanged { before, after, .. }) => {
            [before, after].map(|state| state.as_ref().map(flag_to_json))
        }
        FeatureChanged::Override(OwnChanged { before, after, .. }) => {
            [before, after].map(|state| state.as_ref().map(override_to_json))
        }
        FeatureChanged::KeptFeature(OwnChanged { before, after, .. }) => {
            [before, after].map(|state| state.as_ref().map(kept_feature_to_json))
        }
        FeatureChanged::KeptLimit(OwnChanged { before, after, .. }) => {
            [before, after].map(|state| state.as_ref().map(kept_limit_to_json))
        }
        FeatureChanged::TimeZone(OwnChanged { before, after, .. }) => {
            [before, after].map(|state| state.as_ref().map(time_zone_to_json))
        }
    }
}

fn edited_states<T>(edited: &Edited<T>, to_json: fn(&T) -> Json) -> [Option<Json>; 2] {
    let AffectedTenants { kept, changed } = edited.tenants;
    let mut after = to_json(&edited.after);
    if kept + changed > 0 {
        after["kept_tenants"] = kept.into();
        after["changed_tenants"] = changed.into();
    }
    [edited.before.as_ref().map(to_json), Some(after)]
}

/// What a change did that was made before, by its row in the record.
pub(super) fn changed_of(
    change: &FeatureChange,
    event: &AuditEvent,
) -> Result<FeatureChanged, StoreError> {
    Ok(match change {
        FeatureChange::Catalogue(CatalogueEdit::Feature(_) | CatalogueEdit::PlanFeature(_)) => {
            FeatureChanged::Feature(edited_of(event, feature_of)?)
        }
        FeatureChange::Catalogue(CatalogueEdit::Limit(_) | CatalogueEdit::PlanLimit(_)) => {
            FeatureChanged::Limit(edited_of(event, limit_of)?)
        }
        FeatureChange::Own(_, OwnEdit::SetFlag(..) | OwnEdit::DeleteFlag(_)) => {
            FeatureChanged::Flag(own_of(event, flag_of)?)
        }
        FeatureChange::Own(_, OwnEdit::SetLimit(..) | OwnEdit::EndLimit(_)) => {
            FeatureChanged::Override(own_of(event, override_of)?)
        }
        FeatureChange::Own(_, OwnEdit::EndKeptFeature(_)) => {
            FeatureChanged::KeptFeature(own_of(event, kept_feature_of)?)
        }
        FeatureChange::Own(_, OwnEdit::EndKeptLimit(_)) => {
            FeatureChanged::KeptLimit(own_of(event, kept_limit_of)?)
        }
        FeatureChange::Own(_, OwnEdit::SetTimeZone(_)) => {
            FeatureChanged::TimeZone(zone_changed_of(event)?)
        }
    })
}

fn read<J: DeserializeOwned>(event: &AuditEvent, json: &Json) -> Result<J, StoreError> {
    J::deserialize(json).map_err(|error| event.unreadable(error.to_string()))
}

fn edited_of<J: DeserializeOwned, T>(
    event: &AuditEvent,
    of: fn(&AuditEvent, J) -> Result<T, StoreError>,
) -> Result<Edited<T>, StoreError> {
    let after = event.after.as_ref().unwrap_or(&Json::Null);
    let AffectedJson { kept_tenants, changed_tenants } = read(event, after)?;
    let before = event.before.as_ref().map(|json| of(event, read(event, json)?)).transpose()?;
    Ok(Edited {
        before,
        after: of(event, read(event, after)?)?,
        tenants: AffectedTenants { kept: kept_tenants, changed: changed_tenants },
    })
}

fn own_of<J: DeserializeOwned, T>(
    event: &AuditEvent,
    of: fn(J) -> T,
) -> Result<OwnChanged<T>, StoreError> {
    let state =
        |json: &Option<Json>| json.as_ref().map(|json| read(event, json).map(of)).transpose();
    let tenant = event.tenant.ok_or_else(|| event.unreadable("it has no tenant".to_owned()))?;
    Ok(OwnChanged {
        tenant,
        before: state(&event.before)?,
        after: state(&event.after)?,
        revision: 0,
    })
}

fn feature_of(event: &AuditEvent, json: FeatureJson) -> Result<FeatureEntry, StoreError> {
    let unknown = || event.unreadable(format!("{:?} is no type", json.value_type));
    let value_type = ValueType::parse(&json.value_type).ok_or_else(unknown)?;
    let plan = |PlanFeatureJson { plan_slug, enabled, value }| {
        (plan_slug, PlanFeature { is_on: enabled, value: setting_of(value) })
    };
    Ok(FeatureEntry {
        module: ModuleCode::new(&json.module_code),
        defined: FeatureDefinition {
            key: json.feature_key.into(),
            name: json.name,
            description: json.description,
            value_type,
            is_on_by_default: json.default_enabled,
            default_value: setting_of(json.default_value),
        },
        plans: json.plans.into_iter().map(plan).collect(),
        keeping: keeping_of(json.keeping),
    })
}

fn limit_of(event: &AuditEvent, json: LimitJson) -> Result<LimitEntry, StoreError> {
    let unknown = || event.unreadable(format!("{:?} is no kind", json.kind));
    let kind = LimitKind::parse(&json.kind).ok_or_else(unknown)?;
    let plan = |PlanLimitJson { plan_slug, limit }| (plan_slug, limit);
    Ok(LimitEntry {
        defined: LimitDefinition {
            key: json.limit_key.into(),
            name: json.name,
            unit: json.unit,
            kind,
        },
        plans: json.plans.into_iter().map(plan).collect(),
        keeping: keeping_of(json.keeping),
    })
}

fn flag_of(json: FlagJson) -> NamedFlag {
    let FlagJson { module_code, feature_key, enabled, value } = json;
    let flag = OwnFlag { is_on: enabled, value: setting_of(value) };
    NamedFlag { module: module_code, key: feature_key, flag }
}

fn override_of(json: OverrideJson) -> NamedLimit {
    let OverrideJson { limit_key, limit, ends_at, reason } = json;
    NamedLimit { key: limit_key, own: OwnLimit { limit, ends_at, reason } }
}

fn kept_feature_of(json: KeptFeatureJson) -> NamedKeptFeature {
    let KeptFeatureJson { module_code, feature_key, enabled, value, kept_at } = json;
    let says = enabled.map(|is_on| PlanFeature { is_on, value: setting_of(value) });
    NamedKeptFeature { module: module_code, key: feature_key, says, kept_at: KeptAt(kept_at) }
}

fn kept_limit_of(json: KeptLimitJson) -> NamedKeptLimit {
    let KeptLimitJson { limit_key, limit, kept_at } = json;
    NamedKeptLimit { key: limit_key, limit, kept_at: KeptAt(kept_at) }
}
