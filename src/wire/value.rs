//! Instants, the values of features, and what plans say about them.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use super::Unreadable;
use crate::{
    domain::{PlanFeature, Setting},
    proto::replication as proto,
};

/// An instant, of any year.
pub fn instant(at: DateTime<Utc>) -> Timestamp {
    // Below two billion, which is a leap second.
    Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

/// The instant in a field, if there is one.
pub fn instant_of(
    field: &'static str,
    at: Option<Timestamp>,
) -> Result<Option<DateTime<Utc>>, Unreadable> {
    let Some(Timestamp { seconds, nanos }) = at else { return Ok(None) };
    u32::try_from(nanos)
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(seconds, nanos))
        .map(Some)
        .ok_or(Unreadable::new(field, "is an instant that no calendar has"))
}

/// The instant in a field that always has one.
pub fn required_instant(
    field: &'static str,
    at: Option<Timestamp>,
) -> Result<DateTime<Utc>, Unreadable> {
    instant_of(field, at)?.ok_or(Unreadable::missing(field))
}

pub(super) fn setting(value: &Setting) -> proto::Setting {
    use proto::setting::Kind;
    let kind = match value {
        Setting::Bool(value) => Kind::BoolValue(*value),
        Setting::Int64(value) => Kind::Int64Value(*value),
        Setting::String(text) => Kind::StringValue(text.to_string()),
        Setting::Json(text) => Kind::JsonValue(text.to_string()),
        Setting::Unreadable => Kind::Unreadable(true),
    };
    proto::Setting { kind: Some(kind) }
}

pub(super) fn setting_of(value: Option<proto::Setting>) -> Result<Option<Setting>, Unreadable> {
    use proto::setting::Kind;
    const FIELD: &str = "Setting.kind";
    let Some(proto::Setting { kind }) = value else { return Ok(None) };
    Ok(Some(match kind.ok_or(Unreadable::missing(FIELD))? {
        Kind::BoolValue(value) => Setting::Bool(value),
        Kind::Int64Value(value) => Setting::Int64(value),
        Kind::StringValue(text) => Setting::String(text.into()),
        Kind::JsonValue(text) => Setting::Json(text.into()),
        Kind::Unreadable(true) => Setting::Unreadable,
        Kind::Unreadable(false) => return Err(Unreadable::unknown(FIELD)),
    }))
}

pub(super) fn plan_feature(PlanFeature { is_on, value }: &PlanFeature) -> proto::PlanFeature {
    proto::PlanFeature { is_on: *is_on, value: value.as_ref().map(setting) }
}

pub(super) fn plan_feature_of(
    proto::PlanFeature { is_on, value }: proto::PlanFeature,
) -> Result<PlanFeature, Unreadable> {
    Ok(PlanFeature { is_on, value: setting_of(value)? })
}
