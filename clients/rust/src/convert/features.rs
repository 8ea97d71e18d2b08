//! Features and limits, from the wire.

use std::sync::Arc;

use prost_types::{ListValue, Struct, Value as WireValue, value::Kind};
use serde_json::{Number, Value};
use tonic::Status;

use super::{instant, reason, told};
use crate::{
    FeatureAnswer, FeatureReason, LimitAnswer, LimitDecision, LimitEnforcement, LimitKind,
    LimitReason, LimitSource,
    answer::Words,
    ask::JudgedFeature,
    list::or_never,
    pool::Pools,
    proto::v1::{
        self as wire, CheckFeatureResponse, CheckLimitResponse, EnabledModule, FeatureDecision,
    },
    terms::{Feature, Limit, Terms},
};

/// Whole numbers are exact on the wire up to this.
const MOST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// What a list says of features and limits; `None`: its server is older than these.
pub(super) fn terms(
    modules: &mut [EnabledModule],
    limits: Vec<wire::Limit>,
    enforced: i32,
    pools: &Pools,
) -> Option<Arc<Terms>> {
    if enforced == wire::LimitEnforcement::Unspecified as i32 {
        return None;
    }
    let mut features = Vec::new();
    for module in modules {
        for wire::Feature { key, enabled, reason, value } in module.features.drain(..) {
            let decided = (enabled, feature_reason(reason));
            let feature = Feature::new(&module.code, key, decided, value.map(json));
            features.push(pools.features.shared(feature));
        }
    }
    let limits = limits.into_iter().map(limit).collect();
    Some(pools.terms.shared(Terms::new(features, limits, enforcement(enforced))))
}

fn limit(limit: wire::Limit) -> Limit {
    Limit {
        most: limit.limit,
        source: source(limit.source),
        kind: kind(limit.kind),
        no_plan: limit.no_plan,
        valid_until: or_never(instant(limit.valid_until)),
        key: limit.key.into(),
    }
}

pub(crate) fn checked_feature(response: CheckFeatureResponse) -> Result<JudgedFeature, Status> {
    let catalogue_revision = super::catalogue_revision(response.freshness.as_ref());
    let told = told(response.freshness);
    let decision = response.decision;
    let FeatureDecision { enabled, message, value, plan_slugs, reason, module_reason, .. } =
        decision.ok_or_else(|| Status::unknown("the answer holds no decision"))?;
    let answer = FeatureAnswer {
        enabled,
        reason: feature_reason(reason),
        module_reason: self::reason(module_reason),
        stale: told.stale,
        by_outage_rule: false,
        revision: told.revision,
        as_of: told.as_of,
        valid_until: told.valid_until,
        value: value.map(|value| json(value).into()),
        words: (!enabled).then(|| Words { message, plan_slugs }.into()),
    };
    Ok(JudgedFeature { answer, max_age: told.max_age, catalogue_revision })
}

pub(crate) fn checked_limit(response: CheckLimitResponse) -> LimitDecision {
    let told = told(response.freshness);
    let tenant_reason = reason(response.tenant_reason);
    LimitDecision {
        allowed: response.allowed,
        message: response.message,
        used: response.used,
        plan_slugs: response.plan_slugs,
        in_force: LimitAnswer {
            limit: response.limit,
            source: source(response.source),
            kind: kind(response.kind),
            enforcement: enforcement(response.enforcement),
            reason: limit_reason(response.reason),
            tenant_reason,
            stale: told.stale,
            by_outage_rule: false,
            revision: told.revision,
            as_of: told.as_of,
            valid_until: told.valid_until,
        },
    }
}

/// A value as JSON. Numbers of the wire are floats: a whole one becomes a whole number again.
fn json(value: WireValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(ListValue { values })) => {
            Value::Array(values.into_iter().map(json).collect())
        }
        Some(Kind::StructValue(Struct { fields })) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
    }
}

fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MOST_WHOLE {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
        let whole = number as i64;
        return whole.into();
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn feature_reason(word: i32) -> FeatureReason {
    use wire::FeatureReason as Word;
    match Word::try_from(word) {
        Err(_) | Ok(Word::Unspecified) => FeatureReason::Unspecified,
        Ok(Word::ModuleDenied) => FeatureReason::ModuleDenied,
        Ok(Word::NotFound) => FeatureReason::NotFound,
        Ok(Word::Tenant) => FeatureReason::Tenant,
        Ok(Word::Plan) => FeatureReason::Plan,
        Ok(Word::Default) => FeatureReason::Default,
        Ok(Word::ValueUnreadable) => FeatureReason::ValueUnreadable,
    }
}

pub(super) fn limit_reason(word: i32) -> LimitReason {
    use wire::LimitReason as Word;
    match Word::try_from(word) {
        Err(_) | Ok(Word::Unspecified) => LimitReason::Unspecified,
        Ok(Word::Within) => LimitReason::Within,
        Ok(Word::Unlimited) => LimitReason::Unlimited,
        Ok(Word::Exceeded) => LimitReason::Exceeded,
        Ok(Word::OverLimit) => LimitReason::OverLimit,
        Ok(Word::TenantDenied) => LimitReason::TenantDenied,
        Ok(Word::NotFound) => LimitReason::NotFound,
        Ok(Word::NoPlan) => LimitReason::NoPlan,
        Ok(Word::ModuleDenied) => LimitReason::ModuleDenied,
    }
}

pub(super) fn source(word: i32) -> LimitSource {
    use wire::LimitSource as Word;
    match Word::try_from(word) {
        Err(_) | Ok(Word::Unspecified) => LimitSource::Unspecified,
        Ok(Word::None) => LimitSource::None,
        Ok(Word::Plan) => LimitSource::Plan,
        Ok(Word::Override) => LimitSource::Override,
    }
}

pub(super) fn kind(word: i32) -> LimitKind {
    use wire::LimitKind as Word;
    match Word::try_from(word) {
        Err(_) | Ok(Word::Unspecified) => LimitKind::Unspecified,
        Ok(Word::Level) => LimitKind::Level,
        Ok(Word::Monthly) => LimitKind::Monthly,
    }
}

pub(super) fn enforcement(word: i32) -> LimitEnforcement {
    use wire::LimitEnforcement as Word;
    match Word::try_from(word) {
        Err(_) | Ok(Word::Unspecified) => LimitEnforcement::Unspecified,
        Ok(Word::Off) => LimitEnforcement::Off,
        Ok(Word::Shadow) => LimitEnforcement::Shadow,
        Ok(Word::On) => LimitEnforcement::On,
    }
}
