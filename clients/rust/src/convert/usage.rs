//! Usage, to the wire and from it.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use tonic::Status;
use uuid::Uuid;

use super::{features, instant, reason};
use crate::{
    clock::date,
    list::or_never,
    proto::v1::{
        ReconcileUsageRequest, ReconcileUsageResponse, ReserveUsageRequest, ReserveUsageResponse,
        UsageState as Wire,
    },
    usage::{Range, Reconciled, Reservation, Reserve, UsageState},
};

pub(crate) fn timestamp(instant: DateTime<Utc>) -> Timestamp {
    // Of a leap second chrono makes one that is longer.
    let nanos = i32::try_from(instant.timestamp_subsec_nanos()).unwrap_or_default();
    Timestamp { seconds: instant.timestamp(), nanos: nanos.min(999_999_999) }
}

pub(crate) fn reserve_request(
    tenant: Uuid,
    wanted: Reserve,
) -> Result<ReserveUsageRequest, Status> {
    let Reserve { meter, key, amount, module, hold_for, partial } = wanted;
    let hold_for = hold_for.map(TryInto::try_into).transpose();
    Ok(ReserveUsageRequest {
        tenant_id: tenant.to_string(),
        meter,
        key,
        amount,
        module_code: module,
        hold_for: hold_for.map_err(|_| Status::invalid_argument("nothing is held that long"))?,
        partial,
    })
}

pub(crate) fn reserved(response: ReserveUsageResponse) -> Result<Reservation, Status> {
    let ReserveUsageResponse { granted, granted_amount, repeated_request, state } = response;
    let state = self::state(state)?;
    Ok(Reservation {
        granted,
        amount: granted_amount,
        repeated: repeated_request,
        by_outage_rule: false,
        state,
    })
}

pub(crate) fn reconcile_request(
    tenant: Uuid,
    meter: String,
    Range { after, up_to, keys }: Range,
    as_of: Timestamp,
) -> ReconcileUsageRequest {
    ReconcileUsageRequest {
        tenant_id: tenant.to_string(),
        meter,
        keys,
        as_of: Some(as_of),
        after_key: after,
        up_to_key: up_to,
    }
}

pub(crate) fn reconciled(response: ReconcileUsageResponse) -> Result<Reconciled, Status> {
    let ReconcileUsageResponse { counted, released, state } = response;
    let UsageState { used, reason, .. } = self::state(state)?;
    Ok(Reconciled { counted, released, used, reason })
}

fn state(state: Option<Wire>) -> Result<UsageState, Status> {
    let state = state.ok_or_else(|| Status::unknown("the answer holds no counter"))?;
    Ok(UsageState {
        reason: features::limit_reason(state.reason),
        denial_reason: reason(state.denial_reason),
        message: state.message,
        limit: state.limit,
        used: state.used,
        held: state.held,
        remaining: state.remaining,
        source: features::source(state.source),
        kind: features::kind(state.kind),
        enforcement: features::enforcement(state.enforcement),
        resets_at: date(or_never(instant(state.resets_at))),
        plan_slugs: state.plan_slugs,
    })
}
