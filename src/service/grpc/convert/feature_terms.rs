//! The responses of FeatureAdminService.

use std::collections::BTreeMap;

use super::{
    features::{limit_kind, value},
    responses::timestamp,
};
use crate::{
    domain::{
        AffectedTenants, Edited, FeatureEntry, LimitDefinition, LimitEntry, OwnLimit, ValueType,
        calendar::{MonthZone, ZoneStanding},
    },
    proto::v1::{self as pb, preview_feature_change_response::Change},
    store::{FeatureChanged, NamedFlag, NamedKeptFeature, NamedKeptLimit, NamedLimit, OwnChanged},
};

pub(in crate::service) fn features_response(
    entries: Vec<FeatureEntry>,
) -> pb::ListFeaturesResponse {
    pb::ListFeaturesResponse { features: entries.into_iter().map(feature).collect() }
}

pub(in crate::service) fn limits_response(entries: Vec<LimitEntry>) -> pb::ListLimitsResponse {
    pb::ListLimitsResponse { limits: entries.into_iter().map(limit).collect() }
}

pub(in crate::service) fn feature_upsert_response(
    changed: FeatureChanged,
) -> pb::UpsertFeatureResponse {
    pb::UpsertFeatureResponse { change: feature_edit(changed) }
}

pub(in crate::service) fn limit_upsert_response(
    changed: FeatureChanged,
) -> pb::UpsertLimitResponse {
    pb::UpsertLimitResponse { change: limit_edit(changed) }
}

pub(in crate::service) fn set_flag_response(changed: FeatureChanged) -> pb::SetTenantFlagResponse {
    pb::SetTenantFlagResponse { change: flag_change(changed) }
}

pub(in crate::service) fn delete_flag_response(
    changed: FeatureChanged,
) -> pb::DeleteTenantFlagResponse {
    pb::DeleteTenantFlagResponse { change: flag_change(changed) }
}

pub(in crate::service) fn set_override_response(
    changed: FeatureChanged,
) -> pb::SetLimitOverrideResponse {
    pb::SetLimitOverrideResponse { change: override_change(changed) }
}

pub(in crate::service) fn end_override_response(
    changed: FeatureChanged,
) -> pb::EndLimitOverrideResponse {
    pb::EndLimitOverrideResponse { change: override_change(changed) }
}

pub(in crate::service) fn end_kept_feature_response(
    changed: FeatureChanged,
) -> pb::EndKeptFeatureResponse {
    pb::EndKeptFeatureResponse { change: kept_feature_change(changed) }
}

pub(in crate::service) fn end_kept_limit_response(
    changed: FeatureChanged,
) -> pb::EndKeptLimitResponse {
    pb::EndKeptLimitResponse { change: kept_limit_change(changed) }
}

pub(in crate::service) fn time_zone_response(changed: FeatureChanged) -> pb::SetTimeZoneResponse {
    pb::SetTimeZoneResponse { change: time_zone_change(changed) }
}

pub(in crate::service) fn plan_feature_response(
    changed: FeatureChanged,
) -> pb::SetPlanFeatureResponse {
    pb::SetPlanFeatureResponse { change: feature_edit(changed) }
}

pub(in crate::service) fn plan_limit_response(changed: FeatureChanged) -> pb::SetPlanLimitResponse {
    pb::SetPlanLimitResponse { change: limit_edit(changed) }
}

pub(in crate::service) fn feature_preview_response(
    changed: FeatureChanged,
) -> pb::PreviewFeatureChangeResponse {
    pb::PreviewFeatureChangeResponse { change: Some(change(changed)) }
}

fn change(changed: FeatureChanged) -> Change {
    match changed {
        FeatureChanged::Feature(Edited { before, after, tenants }) => {
            let AffectedTenants { kept, changed } = tenants;
            Change::Feature(pb::FeatureEdit {
                before: before.map(feature),
                after: Some(feature(after)),
                kept_tenants: kept,
                changed_tenants: changed,
            })
        }
        FeatureChanged::Limit(Edited { before, after, tenants }) => {
            let AffectedTenants { kept, changed } = tenants;
            Change::Limit(pb::LimitEdit {
                before: before.map(limit),
                after: Some(limit(after)),
                kept_tenants: kept,
                changed_tenants: changed,
            })
        }
        FeatureChanged::Flag(OwnChanged { tenant, before, after, revision }) => {
            Change::Flag(pb::TenantFlagChange {
                tenant_id: tenant.to_string(),
                before: before.map(flag),
                after: after.map(flag),
                revision,
            })
        }
        FeatureChanged::Override(OwnChanged { tenant, before, after, revision }) => {
            Change::LimitOverride(pb::LimitOverrideChange {
                tenant_id: tenant.to_string(),
                before: before.map(limit_override),
                after: after.map(limit_override),
                revision,
            })
        }
        FeatureChanged::KeptFeature(OwnChanged { tenant, before, after, revision }) => {
            Change::KeptFeature(pb::KeptFeatureChange {
                tenant_id: tenant.to_string(),
                before: before.map(kept_feature),
                after: after.map(kept_feature),
                revision,
            })
        }
        FeatureChanged::KeptLimit(OwnChanged { tenant, before, after, revision }) => {
            Change::KeptLimit(pb::KeptLimitChange {
                tenant_id: tenant.to_string(),
                before: before.map(kept_limit),
                after: after.map(kept_limit),
                revision,
            })
        }
        FeatureChanged::TimeZone(OwnChanged { tenant, before, after, revision }) => {
            Change::TimeZone(pb::TimeZoneChange {
                tenant_id: tenant.to_string(),
                before: before.map(time_zone),
                after: after.map(time_zone),
                revision,
            })
        }
    }
}

fn feature_edit(changed: FeatureChanged) -> Option<pb::FeatureEdit> {
    if let Change::Feature(edit) = change(changed) { Some(edit) } else { None }
}

fn limit_edit(changed: FeatureChanged) -> Option<pb::LimitEdit> {
    if let Change::Limit(edit) = change(changed) { Some(edit) } else { None }
}

fn flag_change(changed: FeatureChanged) -> Option<pb::TenantFlagChange> {
    if let Change::Flag(flag) = change(changed) { Some(flag) } else { None }
}

fn override_change(changed: FeatureChanged) -> Option<pb::LimitOverrideChange> {
    if let Change::LimitOverride(limit) = change(changed) { Some(limit) } else { None }
}

fn kept_feature_change(changed: FeatureChanged) -> Option<pb::KeptFeatureChange> {
    if let Change::KeptFeature(kept) = change(changed) { Some(kept) } else { None }
}

fn kept_limit_change(changed: FeatureChanged) -> Option<pb::KeptLimitChange> {
    if let Change::KeptLimit(kept) = change(changed) { Some(kept) } else { None }
}

fn time_zone_change(changed: FeatureChanged) -> Option<pb::TimeZoneChange> {
    if let Change::TimeZone(zone) = change(changed) { Some(zone) } else { None }
}

fn feature(entry: FeatureEntry) -> pb::DefinedFeature {
    let FeatureEntry { module, defined, plans, keeping: tenants } = entry;
    let plans = plans.into_iter().map(|(plan_slug, says)| pb::PlanFeature {
        plan_slug,
        enabled: says.is_on,
        value: says.value.as_ref().map(value),
    });
    pb::DefinedFeature {
        module_code: module.to_string(),
        feature_key: defined.key.to_string(),
        name: defined.name,
        description: defined.description,
        value_type: value_type(defined.value_type).into(),
        default_enabled: defined.is_on_by_default,
        default_value: defined.default_value.as_ref().map(value),
        plans: plans.collect(),
        keeping: keeping(tenants),
    }
}

fn value_type(value_type: ValueType) -> pb::FeatureValueType {
    match value_type {
        ValueType::Bool => pb::FeatureValueType::Bool,
        ValueType::Int64 => pb::FeatureValueType::Int64,
        ValueType::String => pb::FeatureValueType::String,
        ValueType::Json => pb::FeatureValueType::Json,
    }
}

fn limit(entry: LimitEntry) -> pb::DefinedLimit {
    let LimitEntry { defined: LimitDefinition { key, name, unit, kind }, plans, keeping: tenants } =
        entry;
    let plan = |(plan_slug, limit)| pb::PlanLimit { plan_slug, limit };
    pb::DefinedLimit {
        built_in: LimitDefinition::is_built_in(&key),
        limit_key: key.to_string(),
        name,
        unit,
        kind: limit_kind(kind).into(),
        plans: plans.into_iter().map(plan).collect(),
        keeping: keeping(tenants),
    }
}

fn keeping(tenants: BTreeMap<String, u64>) -> Vec<pb::KeepingTenants> {
    let one = |(plan_slug, tenants)| pb::KeepingTenants { plan_slug, tenants };
    tenants.into_iter().map(one).collect()
}

pub(super) fn kept_feature(kept: NamedKeptFeature) -> pb::KeptFeature {
    let NamedKeptFeature { module, key, says, kept_at } = kept;
    pb::KeptFeature {
        module_code: module,
        feature_key: key,
        enabled: says.as_ref().map(|says| says.is_on),
        value: says.and_then(|says| says.value).as_ref().map(value),
        kept_at: kept_at.0.map(timestamp),
    }
}

pub(super) fn kept_limit(kept: NamedKeptLimit) -> pb::KeptLimit {
    let NamedKeptLimit { key, limit, kept_at } = kept;
    pb::KeptLimit { limit_key: key, limit, kept_at: kept_at.0.map(timestamp) }
}

pub(super) fn flag(named: NamedFlag) -> pb::TenantFlag {
    pb::TenantFlag {
        module_code: named.module,
        feature_key: named.key,
        enabled: named.flag.is_on,
        value: named.flag.value.as_ref().map(value),
    }
}

pub(super) fn limit_override(named: NamedLimit) -> pb::LimitOverride {
    let OwnLimit { limit, ends_at, reason } = named.own;
    pb::LimitOverride { limit_key: named.key, limit, ends_at: ends_at.map(timestamp), reason }
}

pub(super) fn time_zone(ZoneStanding { present, next }: ZoneStanding) -> pb::TenantTimeZone {
    let month = |MonthZone { month, starts_at, zone, is_own }| pb::MonthTimeZone {
        month: month.to_string(),
        starts_at: Some(timestamp(starts_at)),
        time_zone: zone.name().to_owned(),
        is_own,
    };
    pb::TenantTimeZone { present: Some(month(present)), next: next.map(month) }
}
