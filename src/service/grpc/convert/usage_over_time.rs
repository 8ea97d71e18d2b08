//! Leases, what was used already, and what was used over time: from the wire and to it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tonic::{Request, Status};
use uuid::Uuid;

use super::{
    requests::{Fields, caller},
    responses::timestamp,
    usage::{amount, module, state, usage_key},
};
use crate::{
    domain::{
        ModuleCode, TenantId, Unsettled, UsageKey,
        ids::validate_key,
        limits::{LEASES, MAX_LIMIT_KEY_CHARS, MAX_RECORDED, MAX_USAGE_AMOUNT},
    },
    proto::v1 as pb,
    service::usage::{
        EventOutcome, EventQuery, LeaseOutcome, LeaseQuery, RecordQuery, SettleQuery, SpansQuery,
        UsageState, UsedOverTime,
    },
    store::{Granularity, MessageId, UsageSpan},
};

pub(in crate::service) fn lease_query(
    request: &Request<pb::AcquireUsageLeaseRequest>,
) -> Result<LeaseQuery<'_>, Status> {
    let message = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), &message.tenant_id, None, None);
    fields.key("meter", &message.meter, MAX_LIMIT_KEY_CHARS);
    let key = usage_key(&mut fields, "lease_id", &message.lease_id);
    let holder = usage_key(&mut fields, "holder", &message.holder);
    amount(&mut fields, "wanted", message.wanted);
    let module = module(&mut fields, &message.module_code);
    let ttl = message.ttl.and_then(|ttl| Duration::try_from(ttl).ok());
    let ttl = ttl.filter(|ttl| LEASES.contains(ttl));
    if ttl.is_none() {
        fields.violated("ttl", "must be 5 s to 10 min");
    }
    let unsettled = match message.unsettled() {
        pb::UnsettledRule::Unspecified | pb::UnsettledRule::Spent => Unsettled::Spent,
        pb::UnsettledRule::Returned => Unsettled::Returned,
    };
    let all = tenant.zip(key).zip(holder).zip(ttl);
    let (((tenant, key), holder), ttl) = fields.all_good(all)?;
    let (meter, wanted) = (message.meter.as_str(), message.wanted);
    Ok(LeaseQuery { tenant, meter, key, wanted, ttl, holder, unsettled, module })
}

pub(in crate::service) fn settle_query(
    request: &Request<pb::SettleUsageLeaseRequest>,
) -> Result<SettleQuery<'_>, Status> {
    let message = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), &message.tenant_id, None, None);
    fields.key("meter", &message.meter, MAX_LIMIT_KEY_CHARS);
    let key = usage_key(&mut fields, "lease_id", &message.lease_id);
    if message.spent_amount < 0 {
        fields.violated("spent_amount", "must be 0 or more");
    }
    let (tenant, key) = fields.all_good(tenant.zip(key))?;
    let (meter, spent) = (message.meter.as_str(), message.spent_amount);
    Ok(SettleQuery { tenant, meter, key, spent, is_final: message.r#final })
}

pub(in crate::service) fn lease_response(
    outcome: LeaseOutcome<'_>,
) -> pb::AcquireUsageLeaseResponse {
    let ttl = outcome.granted.and_then(|(_, ttl)| prost_types::Duration::try_from(ttl).ok());
    pb::AcquireUsageLeaseResponse {
        granted_amount: outcome.granted.map(|(amount, _)| amount).unwrap_or_default(),
        ttl,
        repeated_request: outcome.repeated,
        state: Some(state(outcome.state)),
    }
}

pub(in crate::service) fn settle_response(
    spent_amount: i64,
    returned_amount: i64,
    after: UsageState<'_>,
) -> pb::SettleUsageLeaseResponse {
    pb::SettleUsageLeaseResponse { spent_amount, returned_amount, state: Some(state(after)) }
}

/// What is wrong with one event is told in its outcome, and no matter of the others.
pub(in crate::service) fn record_query(
    message: pb::RecordUsageRequest,
) -> Result<RecordQuery, Status> {
    let mut fields = Fields::default();
    let count = message.events.len();
    if count > MAX_RECORDED {
        fields.violated("events", format!("must hold at most {MAX_RECORDED}, not {count}"));
    }
    let message_id = message_id(&mut fields, &message.producer_id, message.sequence);
    let message_id = fields.all_good(Some(message_id))?;
    let events = message.events.into_iter().map(|it| event(it, message_id.is_some())).collect();
    Ok(RecordQuery { events, message_id })
}

fn message_id(fields: &mut Fields, producer: &str, sequence: u64) -> Option<MessageId> {
    if producer.is_empty() {
        if sequence != 0 {
            fields.violated("producer_id", "must be given with a sequence");
        }
        return None;
    }
    let producer = Uuid::try_parse(producer);
    if producer.is_err() {
        fields.violated("producer_id", "must be a UUID in 36-character form");
    }
    let sequence = i64::try_from(sequence).ok().filter(|sequence| *sequence > 0);
    if sequence.is_none() {
        fields.violated("sequence", "must be 1 or more");
    }
    Some(MessageId { producer: producer.ok()?, sequence: sequence? })
}

fn event(event: pb::UsageEvent, is_sequenced: bool) -> Option<EventQuery> {
    let pb::UsageEvent { key, tenant_id, meter, amount, module_code, at, corrects_key } = event;
    let key = match (key.as_str(), is_sequenced) {
        ("", true) => None,
        (_, true) => return None,
        (key, false) => Some(UsageKey::parse(key).ok()?),
    };
    let corrects = match corrects_key.as_str() {
        "" => None,
        // A correction has a key of its own, so that it is made once.
        corrected if key.is_some() => Some(UsageKey::parse(corrected).ok()?),
        _ => return None,
    };
    let amount = if corrects.is_some() { amount.checked_neg()? } else { amount };
    validate_key(&meter, MAX_LIMIT_KEY_CHARS).ok()?;
    if !module_code.is_empty() {
        ModuleCode::validate(&module_code).ok()?;
    }
    let tenant = TenantId::parse(&tenant_id).ok()?;
    let at = at.map(|at| instant(at).ok_or(())).transpose().ok()?;
    let is_good = (1..=MAX_USAGE_AMOUNT).contains(&amount);
    let module = module_code;
    is_good.then_some(EventQuery { tenant, meter, key, amount, module, at, corrects })
}

fn instant(at: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    Fields::default().instant("at", Some(&at))
}

pub(in crate::service) fn record_response(
    outcomes: &[EventOutcome],
    sequence: u64,
) -> pb::RecordUsageResponse {
    let outcome = |outcome: &EventOutcome| {
        let outcome = match outcome {
            EventOutcome::Counted => pb::UsageOutcome::Counted,
            EventOutcome::Repeated => pb::UsageOutcome::Repeated,
            EventOutcome::Conflict => pb::UsageOutcome::Conflict,
            EventOutcome::TooLate => pb::UsageOutcome::TooLate,
            EventOutcome::TooEarly => pb::UsageOutcome::TooEarly,
            EventOutcome::UnknownTenant => pb::UsageOutcome::UnknownTenant,
            EventOutcome::UnknownMeter => pb::UsageOutcome::UnknownMeter,
            EventOutcome::UnknownModule => pb::UsageOutcome::UnknownModule,
            EventOutcome::Invalid => pb::UsageOutcome::Invalid,
            EventOutcome::NotAllowed => pb::UsageOutcome::NotAllowed,
            EventOutcome::NothingToCorrect => pb::UsageOutcome::NothingToCorrect,
        };
        outcome.into()
    };
    pb::RecordUsageResponse { outcomes: outcomes.iter().map(outcome).collect(), sequence }
}

pub(in crate::service) fn spans_query(
    request: &Request<pb::QueryUsageRequest>,
) -> Result<SpansQuery<'_>, Status> {
    let message = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), &message.tenant_id, None, None);
    fields.key("meter", &message.meter, MAX_LIMIT_KEY_CHARS);
    let module = module(&mut fields, &message.module_code);
    let mut bound = |field, at: &Option<prost_types::Timestamp>| {
        if at.is_none() {
            fields.violated(field, "must be given");
        }
        fields.instant(field, at.as_ref())
    };
    let (start, end) =
        (bound("start_time", &message.start_time), bound("end_time", &message.end_time));
    if start.zip(end).is_some_and(|(start, end)| start >= end) {
        fields.violated("end_time", "must come after start_time");
    }
    let granularity = match message.granularity() {
        pb::UsageGranularity::Unspecified => {
            fields.violated("granularity", "must be given");
            None
        }
        pb::UsageGranularity::QuarterHour => Some(Granularity::Quarter),
        pb::UsageGranularity::Hour => Some(Granularity::Hour),
        pb::UsageGranularity::Day => Some(Granularity::Day),
        pb::UsageGranularity::Month => Some(Granularity::Month),
    };
    let all = tenant.zip(start).zip(end).zip(granularity);
    let (((tenant, start), end), granularity) = fields.all_good(all)?;
    let (meter, by_module) = (message.meter.as_str(), message.by_module);
    Ok(SpansQuery { tenant, meter, module, by_module, start, end, granularity })
}

pub(in crate::service) fn spans_response(used: UsedOverTime) -> pb::QueryUsageResponse {
    let span = |span: UsageSpan| pb::UsageSpan {
        start_time: Some(timestamp(span.start)),
        end_time: Some(timestamp(span.end)),
        module_code: span.module,
        amount: span.amount,
        event_count: span.events,
        late_amount: span.late,
        recorded_at: Some(timestamp(span.recorded_at)),
    };
    pb::QueryUsageResponse {
        spans: used.spans.into_iter().map(span).collect(),
        total_amount: used.amount,
        late_amount: used.late,
    }
}
