//! Features and limits, from the wire and to it.

use prost::Message;
use prost_types::{Value, value::Kind};
use tonic::{Request, Status};

use super::{
    requests::{Fields, caller},
    responses::{freshness, reason, timestamp},
};
use crate::{
    domain::{
        FeatureReason, FeatureState, LimitEnforcement, LimitInForce, LimitKind, LimitReason,
        LimitSource, Setting, Wanted,
        limits::{MAX_BATCH, MAX_FEATURE_KEY_CHARS, MAX_LIMIT_KEY_CHARS},
    },
    proto::v1 as pb,
    service::{
        cache_hint::CacheHint,
        feature::{FeatureBatchQuery, FeatureJudgement, FeatureQuery, Named},
        limit::{LimitJudgement, LimitQuery, NamedLimit},
    },
};

pub(in crate::service) fn feature_query(
    request: &Request<pb::CheckFeatureRequest>,
) -> Result<FeatureQuery<'_>, Status> {
    let pb::CheckFeatureRequest { tenant_id, module_code, feature_key, min_revision, at } =
        request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, at.as_ref());
    fields.module("module_code", module_code);
    fields.key("feature_key", feature_key, MAX_FEATURE_KEY_CHARS);
    let named = Named { module: module_code, key: feature_key };
    Ok(FeatureQuery { tenant: fields.all_good(tenant)?, named })
}

pub(in crate::service) fn feature_batch_query(
    request: &Request<pb::BatchCheckFeaturesRequest>,
) -> Result<FeatureBatchQuery<'_>, Status> {
    let pb::BatchCheckFeaturesRequest { tenant_id, features, min_revision, at } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, at.as_ref());
    if (1..=MAX_BATCH).contains(&features.len()) {
        named_features(&mut fields, features);
    } else {
        let count = features.len();
        fields.violated("features", format!("must hold 1 to {MAX_BATCH} features, not {count}"));
    }
    let tenant = fields.all_good(tenant)?;
    Ok(FeatureBatchQuery { tenant, all: features.iter().map(named).collect() })
}

/// The features of a list; violations name the index of each.
pub(super) fn named_features(fields: &mut Fields, features: &[pb::FeatureName]) {
    for (index, name) in features.iter().enumerate() {
        fields.module(&format!("features[{index}].module_code"), &name.module_code);
        let field = format!("features[{index}].feature_key");
        fields.key(&field, &name.feature_key, MAX_FEATURE_KEY_CHARS);
    }
}

pub(super) fn named(name: &pb::FeatureName) -> Named<'_> {
    Named { module: &name.module_code, key: &name.feature_key }
}

pub(in crate::service) fn limit_query(
    request: &Request<pb::CheckLimitRequest>,
) -> Result<LimitQuery<'_>, Status> {
    let pb::CheckLimitRequest { tenant_id, limit_key, amount, observed, min_revision, at } =
        request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, at.as_ref());
    let limit = named_limit(&mut fields, limit_key, *observed, *amount);
    Ok(LimitQuery { tenant: fields.all_good(tenant)?, limit, is_observed: observed.is_some() })
}

/// A limit, and what is asked of it; what there is counts as 0 where it is not said.
pub(super) fn named_limit<'a>(
    fields: &mut Fields,
    key: &'a str,
    observed: Option<i64>,
    amount: i64,
) -> NamedLimit<'a> {
    fields.key("limit_key", key, MAX_LIMIT_KEY_CHARS);
    let observed = observed.unwrap_or_default();
    for (field, value) in [("amount", amount), ("observed", observed)] {
        if value < 0 {
            fields.violated(field, "must not be negative");
        }
    }
    NamedLimit { key, wanted: Wanted { observed, amount } }
}

pub(in crate::service) fn feature_response(
    judgement: FeatureJudgement<'_>,
) -> pb::CheckFeatureResponse {
    let hint = judgement.hint;
    pb::CheckFeatureResponse {
        decision: Some(feature_decision(judgement)),
        freshness: Some(freshness(hint)),
    }
}

pub(in crate::service) fn feature_batch_response(
    judgements: Vec<FeatureJudgement<'_>>,
) -> pb::BatchCheckFeaturesResponse {
    let whole = judgements.iter().map(|judgement| judgement.hint).reduce(CacheHint::and);
    pb::BatchCheckFeaturesResponse {
        decisions: judgements.into_iter().map(feature_decision).collect(),
        freshness: whole.map(freshness),
    }
}

pub(in crate::service) fn limit_response(judgement: LimitJudgement<'_>) -> pb::CheckLimitResponse {
    let in_force = judgement.decision.in_force.as_ref();
    let observed = judgement.wanted.observed;
    pb::CheckLimitResponse {
        allowed: judgement.is_allowed(),
        reason: limit_reason(judgement.decision.reason).into(),
        message: judgement.decision.message(judgement.key),
        limit: in_force.and_then(|limit| limit.limit),
        used: observed,
        remaining: in_force.and_then(|limit| limit.remaining(observed)),
        source: limit_source(in_force.map_or(LimitSource::None, |limit| limit.source)).into(),
        kind: in_force.map_or(pb::LimitKind::Unspecified, |limit| limit_kind(limit.kind)).into(),
        enforcement: limit_enforcement(judgement.enforcement).into(),
        tenant_reason: judgement.decision.tenant.map(reason).unwrap_or_default().into(),
        freshness: Some(freshness(judgement.hint)),
        plan_slugs: judgement.plan_slugs,
        held: judgement.counted.map(|counted| counted.held).unwrap_or_default(),
        resets_at: judgement.counted.and_then(|counted| counted.resets_at).map(timestamp),
        usage_as_of: judgement.counted.map(|counted| timestamp(counted.at)),
    }
}

pub(super) fn feature_decision(judgement: FeatureJudgement<'_>) -> pb::FeatureDecision {
    let Named { module, key } = judgement.named;
    pb::FeatureDecision {
        module_code: module.to_owned(),
        feature_key: key.to_owned(),
        enabled: judgement.is_on,
        reason: feature_reason(judgement.reason).into(),
        message: judgement.message(),
        value: judgement.value.as_ref().map(value),
        plan_slugs: judgement.plan_slugs,
        module_reason: reason(judgement.module.reason).into(),
    }
}

pub(super) fn limit_decision(judgement: LimitJudgement<'_>) -> pb::LimitDecision {
    let key = judgement.key.to_owned();
    let valid_until = judgement.hint.valid_until.map(timestamp);
    let answer = limit_response(judgement);
    pb::LimitDecision {
        limit_key: key,
        allowed: answer.allowed,
        reason: answer.reason,
        message: answer.message,
        limit: answer.limit,
        used: answer.used,
        remaining: answer.remaining,
        source: answer.source,
        kind: answer.kind,
        enforcement: answer.enforcement,
        plan_slugs: answer.plan_slugs,
        tenant_reason: answer.tenant_reason,
        valid_until,
    }
}

/// A feature within a list.
pub(super) fn feature((key, state): (&str, FeatureState<'_>)) -> pb::Feature {
    pb::Feature {
        key: key.to_owned(),
        enabled: state.is_on,
        reason: feature_reason(state.reason).into(),
        value: state.value.map(value),
    }
}

/// The size of the features and limits in a list, in bytes.
pub(super) fn bytes_of(list: &pb::ListEnabledModulesResponse) -> usize {
    let features = list.modules.iter().flat_map(|module| &module.features);
    features.map(Message::encoded_len).sum::<usize>()
        + list.limits.iter().map(Message::encoded_len).sum::<usize>()
}

/// Answers as if features and limits had not been asked for: the modules must not be lost in a
/// message that is too large.
pub(super) fn leave_out(list: &mut pb::ListEnabledModulesResponse) {
    list.modules.iter_mut().for_each(|module| module.features.clear());
    list.limits.clear();
    list.limit_enforcement = 0;
}

/// A limit within a list.
pub(super) fn limit(in_force: LimitInForce) -> pb::Limit {
    pb::Limit {
        key: in_force.key.to_string(),
        limit: in_force.limit,
        source: limit_source(in_force.source).into(),
        kind: limit_kind(in_force.kind).into(),
        valid_until: in_force.valid_until.map(timestamp),
        no_plan: in_force.has_no_plan,
    }
}

/// A value. One that is nothing but JSON text becomes what the text says; numbers of the wire are
/// floats, so that whole numbers beyond 2^53 are rounded there.
pub(super) fn value(setting: &Setting) -> Value {
    let kind = match setting {
        Setting::Bool(value) => Kind::BoolValue(*value),
        #[expect(clippy::cast_precision_loss, reason = "google.protobuf.Value has floats alone")]
        Setting::Int64(value) => Kind::NumberValue(*value as f64),
        Setting::String(value) => Kind::StringValue(value.to_string()),
        Setting::Json(text) => return json(serde_json::from_str(text).unwrap_or_default()),
        Setting::Unreadable => Kind::NullValue(0),
    };
    Value { kind: Some(kind) }
}

fn json(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.into_iter().map(json).collect(),
        }),
        Json::Object(fields) => Kind::StructValue(prost_types::Struct {
            fields: fields.into_iter().map(|(name, value)| (name, json(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

fn feature_reason(reason: FeatureReason) -> pb::FeatureReason {
    match reason {
        FeatureReason::ModuleDenied => pb::FeatureReason::ModuleDenied,
        FeatureReason::NotFound => pb::FeatureReason::NotFound,
        FeatureReason::Tenant => pb::FeatureReason::Tenant,
        FeatureReason::Plan => pb::FeatureReason::Plan,
        FeatureReason::Default => pb::FeatureReason::Default,
        FeatureReason::ValueUnreadable => pb::FeatureReason::ValueUnreadable,
    }
}

pub(super) fn limit_reason(reason: LimitReason) -> pb::LimitReason {
    match reason {
        LimitReason::Within => pb::LimitReason::Within,
        LimitReason::Unlimited => pb::LimitReason::Unlimited,
        LimitReason::Exceeded => pb::LimitReason::Exceeded,
        LimitReason::OverLimit => pb::LimitReason::OverLimit,
        LimitReason::TenantDenied => pb::LimitReason::TenantDenied,
        LimitReason::NotFound => pb::LimitReason::NotFound,
        LimitReason::NoPlan => pb::LimitReason::NoPlan,
        LimitReason::ModuleDenied => pb::LimitReason::ModuleDenied,
    }
}

pub(super) fn limit_source(source: LimitSource) -> pb::LimitSource {
    match source {
        LimitSource::None => pb::LimitSource::None,
        LimitSource::Plan => pb::LimitSource::Plan,
        LimitSource::Override => pb::LimitSource::Override,
    }
}

pub(super) fn limit_kind(kind: LimitKind) -> pb::LimitKind {
    match kind {
        LimitKind::Level => pb::LimitKind::Level,
        LimitKind::Monthly => pb::LimitKind::Monthly,
    }
}

pub(super) fn limit_enforcement(enforcement: LimitEnforcement) -> pb::LimitEnforcement {
    match enforcement {
        LimitEnforcement::Off => pb::LimitEnforcement::Off,
        LimitEnforcement::Shadow => pb::LimitEnforcement::Shadow,
        LimitEnforcement::On => pb::LimitEnforcement::On,
    }
}
