//! The messages of the record.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Value as Json};
use tonic::Status;

use super::{requests::Fields, responses::timestamp};
use crate::{
    domain::{TenantId, limits::DEFAULT_PAGE},
    proto::v1::{self as pb, ListAuditEventsRequest, ListAuditEventsResponse},
    service::admin::AuditPage,
    store::{AuditEvent, AuditQuery},
};

/// Whole numbers below this are exact as a double: 2 to the power of 53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

pub(in crate::service) fn audit_query(
    request: &ListAuditEventsRequest,
) -> Result<AuditQuery, Status> {
    let ListAuditEventsRequest { tenant_id, actor, since, until, page_size, page_token } = request;
    let mut fields = Fields::default();
    let query = AuditQuery {
        tenant: if tenant_id.is_empty() { None } else { fields.tenant_id(tenant_id) },
        actor: (!actor.is_empty()).then(|| actor.replace('\0', "")),
        since: fields.instant("since", since.as_ref()),
        until: fields.instant("until", until.as_ref()),
        before: fields.page_token(page_token, |token| token.parse().ok().filter(|id| *id > 0)),
        size: fields.page_size(*page_size, DEFAULT_PAGE),
    };
    fields.all_good(Some(query))
}

pub(in crate::service) fn audit_response(page: AuditPage) -> ListAuditEventsResponse {
    let AuditPage { events, next } = page;
    ListAuditEventsResponse {
        events: events.into_iter().map(event).collect(),
        next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn event(event: AuditEvent) -> pb::AuditEvent {
    let AuditEvent {
        id,
        made_at,
        actor_kind,
        actor,
        action,
        tenant,
        subject,
        reason,
        request,
        before,
        after,
        request_id,
    } = event;
    pb::AuditEvent {
        id,
        made_at: Some(timestamp(made_at)),
        actor,
        actor_kind,
        action,
        tenant_id: tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        subject,
        reason: reason.unwrap_or_default(),
        request: structure(request),
        before: before.and_then(structure),
        after: after.and_then(structure),
        request_id: request_id.unwrap_or_default(),
    }
}

/// A JSON object as a message; `None`: it is not an object.
fn structure(json: Json) -> Option<Struct> {
    match value(json).kind {
        Some(Kind::StructValue(structure)) => Some(structure),
        _ => None,
    }
}

fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(flag) => Kind::BoolValue(flag),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
        }
        Json::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(name, json)| (name, value(json))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// A message's value as JSON. Messages have only one kind of number; whole numbers are written
/// without a fraction.
pub(super) fn to_json(value: Value) -> Json {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it has no fraction, and is small enough to be exact"
    )]
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < MAX_EXACT => {
            (number as i64).into()
        }
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(to_json).collect(),
        Some(Kind::StructValue(structure)) => structure
            .fields
            .into_iter()
            .map(|(name, value)| (name, to_json(value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}
