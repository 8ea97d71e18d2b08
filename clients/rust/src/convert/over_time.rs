//! What was used, and was used over time: to the wire and from it.

use chrono::{DateTime, Utc};
use tonic::Status;
use uuid::Uuid;

use super::{features, instant, timestamp};
use crate::{
    clock::date,
    proto::v1::{
        self as wire, AcquireUsageLeaseRequest, AcquireUsageLeaseResponse, QueryUsageRequest,
        QueryUsageResponse, RecordUsageRequest, SettleUsageLeaseRequest, UnsettledRule,
    },
    usage::{
        Acquire, Granted, Lease, Message, Settle, Unsettled, UsageEvent, UsageGranularity,
        UsageHistory, UsageOutcome, UsageQuery, UsageSpan,
    },
};

pub(crate) fn record_request(Message { events, producer }: Message) -> RecordUsageRequest {
    let (producer_id, sequence) = producer
        .map_or_else(Default::default, |(producer, sequence)| (producer.to_string(), sequence));
    RecordUsageRequest { events: events.into_iter().map(event).collect(), producer_id, sequence }
}

fn event(event: UsageEvent) -> wire::UsageEvent {
    let UsageEvent { tenant, meter, key, amount, module, at, corrects } = event;
    // On the wire what takes back is below zero.
    let amount = if corrects.is_empty() { amount } else { amount.saturating_neg() };
    wire::UsageEvent {
        key,
        tenant_id: tenant.to_string(),
        meter,
        amount,
        module_code: module,
        at: at.map(timestamp),
        corrects_key: corrects,
    }
}

/// What became of so many events.
pub(crate) fn recorded(
    response: &wire::RecordUsageResponse,
    count: usize,
) -> Result<Vec<UsageOutcome>, Status> {
    let outcomes: Vec<_> = response.outcomes().map(outcome).collect();
    if outcomes.len() == count {
        Ok(outcomes)
    } else {
        Err(Status::internal("the answer does not hold an outcome for each event"))
    }
}

fn outcome(outcome: wire::UsageOutcome) -> UsageOutcome {
    match outcome {
        wire::UsageOutcome::Unspecified => UsageOutcome::Unspecified,
        wire::UsageOutcome::Counted => UsageOutcome::Counted,
        wire::UsageOutcome::Repeated => UsageOutcome::Repeated,
        wire::UsageOutcome::Conflict => UsageOutcome::Conflict,
        wire::UsageOutcome::TooLate => UsageOutcome::TooLate,
        wire::UsageOutcome::TooEarly => UsageOutcome::TooEarly,
        wire::UsageOutcome::UnknownTenant => UsageOutcome::UnknownTenant,
        wire::UsageOutcome::UnknownMeter => UsageOutcome::UnknownMeter,
        wire::UsageOutcome::UnknownModule => UsageOutcome::UnknownModule,
        wire::UsageOutcome::Invalid => UsageOutcome::Invalid,
        wire::UsageOutcome::NotAllowed => UsageOutcome::NotAllowed,
        wire::UsageOutcome::NothingToCorrect => UsageOutcome::NothingToCorrect,
    }
}

pub(crate) fn query_request(tenant: Uuid, query: UsageQuery) -> QueryUsageRequest {
    let UsageQuery { meter, granularity, within, module, by_module } = query;
    let granularity = match granularity {
        UsageGranularity::QuarterHour => wire::UsageGranularity::QuarterHour,
        UsageGranularity::Hour => wire::UsageGranularity::Hour,
        UsageGranularity::Day => wire::UsageGranularity::Day,
        UsageGranularity::Month => wire::UsageGranularity::Month,
    };
    QueryUsageRequest {
        tenant_id: tenant.to_string(),
        meter,
        module_code: module,
        by_module,
        start_time: Some(timestamp(within.start)),
        end_time: Some(timestamp(within.end)),
        granularity: granularity.into(),
    }
}

pub(crate) fn queried(response: QueryUsageResponse) -> UsageHistory {
    let QueryUsageResponse { spans, total_amount, late_amount } = response;
    let spans = spans.into_iter().map(span).collect();
    UsageHistory { spans, total: total_amount, late: late_amount }
}

fn span(span: wire::UsageSpan) -> UsageSpan {
    let at = |timestamp| instant(timestamp).and_then(date);
    let or_beginning = |timestamp| -> DateTime<Utc> { at(timestamp).unwrap_or_default() };
    UsageSpan {
        start: or_beginning(span.start_time),
        end: or_beginning(span.end_time),
        module: span.module_code,
        amount: span.amount,
        events: span.event_count,
        late: span.late_amount,
        recorded_at: at(span.recorded_at),
    }
}

pub(crate) fn acquire_request(asked: Acquire) -> Result<AcquireUsageLeaseRequest, Status> {
    let Acquire { tenant, id, holder, lease } = asked;
    let Lease { meter, size, ttl, unsettled, module } = lease;
    let unsettled = match unsettled {
        Unsettled::Spent => UnsettledRule::Spent,
        Unsettled::Returned => UnsettledRule::Returned,
    };
    let ttl =
        ttl.try_into().map_err(|_| Status::invalid_argument("nothing is leased that long"))?;
    Ok(AcquireUsageLeaseRequest {
        tenant_id: tenant.to_string(),
        meter,
        lease_id: id.to_string(),
        wanted: size,
        ttl: Some(ttl),
        holder,
        unsettled: unsettled.into(),
        module_code: module,
    })
}

pub(crate) fn acquired(response: AcquireUsageLeaseResponse) -> Result<Granted, Status> {
    let AcquireUsageLeaseResponse { granted_amount, ttl, state, .. } = response;
    let state = state.ok_or_else(|| Status::unknown("the answer holds no counter"))?;
    let reason = features::limit_reason(state.reason);
    Ok(Granted { amount: granted_amount, ttl: super::span(ttl), reason })
}

pub(crate) fn settle_request(settled: Settle) -> SettleUsageLeaseRequest {
    let Settle { tenant, meter, id, spent, is_final } = settled;
    SettleUsageLeaseRequest {
        tenant_id: tenant.to_string(),
        meter,
        lease_id: id.to_string(),
        spent_amount: spent,
        r#final: is_final,
    }
}
