"""Usage, between the wire and our words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ._proto import feature_pb2, usage_service_pb2
from ._wire_terms import enforcement_of, kind_of, source_of
from ._wire_words import decision_reason, instant_of, word
from .answers import Reconciled, Reservation

if TYPE_CHECKING:
    from ._core.usage import Wanted

pb = usage_service_pb2


def reserve_request(wanted: Wanted) -> pb.ReserveUsageRequest:
    """ValueError for an amount or a span that the wire does not have."""
    request = pb.ReserveUsageRequest(
        tenant_id=wanted.tenant,
        meter=wanted.meter,
        key=wanted.key,
        amount=wanted.amount,
        module_code=wanted.module or "",
        partial=wanted.partial,
    )
    if wanted.hold_for is not None:
        request.hold_for.FromTimedelta(wanted.hold_for)
    return request


def to_reservation(response: pb.ReserveUsageResponse) -> Reservation:
    state = response.state
    return Reservation(
        granted=response.granted,
        amount=response.granted_amount,
        repeated=response.repeated_request,
        reason=_reason(state),
        message=state.message,
        used=state.used,
        held=state.held,
        limit=state.limit if state.HasField("limit") else None,
        remaining=state.remaining if state.HasField("remaining") else None,
        resets_at=instant_of(state, "resets_at"),
        plan_slugs=tuple(state.plan_slugs),
        enforcement=enforcement_of(state.enforcement),
        source=source_of(state.source),
        kind=kind_of(state.kind),
        denial_reason=decision_reason(state.denial_reason),
    )


def reconcile_request(
    tenant: str, meter: str, keys: Sequence[str], as_of: datetime, after: str, up_to: str
) -> pb.ReconcileUsageRequest:
    request = pb.ReconcileUsageRequest(tenant_id=tenant, meter=meter, keys=keys, after_key=after, up_to_key=up_to)
    request.as_of.FromDatetime(as_of.astimezone(timezone.utc))
    return request


def to_reconciled(response: pb.ReconcileUsageResponse) -> Reconciled:
    return Reconciled(response.counted, response.released, response.state.used, _reason(response.state))


def _reason(state: Any) -> str:
    return word(feature_pb2.LimitReason, state.reason, "LIMIT_REASON_")
