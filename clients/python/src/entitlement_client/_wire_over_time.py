"""Usage over time, between the wire and our words."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ._proto import usage_service_pb2
from ._wire_words import instant_of, ns, word
from .over_time import GRANULARITIES, UsageEvent, UsageSpan, UsedOverTime

if TYPE_CHECKING:
    from ._core.leases import LeaseTerms

__all__ = ["event", "lease_request", "ns", "outcome", "pb", "put_instant", "query_request", "to_used"]

pb = usage_service_pb2


def event(said: UsageEvent) -> pb.UsageEvent:
    """ValueError for an amount or an instant that cannot be sent."""
    if said.amount < 1:
        raise ValueError(f"amount: 1 or more, not {said.amount}: a correction says with `corrects` what it takes back")
    event = pb.UsageEvent(
        key=said.key,
        tenant_id=str(said.tenant).lower(),
        meter=said.meter,
        amount=-said.amount if said.corrects else said.amount,
        module_code=said.module,
        corrects_key=said.corrects,
    )
    if said.at is not None:
        put_instant(event.at, "at", said.at)
    return event


def put_instant(field: Any, name: str, at: datetime) -> None:
    """ValueError for what is no instant."""
    if at.tzinfo is None:
        raise ValueError(f"{name}: an instant has a time zone")
    field.FromDatetime(at.astimezone(timezone.utc))


def outcome(number: int) -> str:
    return word(pb.UsageOutcome, number, "USAGE_OUTCOME_")


def query_request(
    tenant: str, meter: str, start: datetime, end: datetime, granularity: str, module: str | None, by_module: bool
) -> pb.QueryUsageRequest:
    """ValueError for what cannot be asked."""
    if granularity not in GRANULARITIES:
        raise ValueError(f"granularity: one of {GRANULARITIES}, not {granularity!r}")
    request = pb.QueryUsageRequest(tenant_id=tenant, meter=meter, module_code=module or "", by_module=by_module)
    request.granularity = pb.UsageGranularity.Value(f"USAGE_GRANULARITY_{granularity}")  # type: ignore[assignment]
    put_instant(request.start_time, "start", start)
    put_instant(request.end_time, "end", end)
    return request


def lease_request(terms: LeaseTerms, name: str, holder: str) -> pb.AcquireUsageLeaseRequest:
    request = pb.AcquireUsageLeaseRequest(
        tenant_id=terms.tenant,
        meter=terms.meter,
        lease_id=name,
        wanted=terms.size,
        holder=holder,
        module_code=terms.module or "",
    )
    request.unsettled = pb.UnsettledRule.Value(f"UNSETTLED_RULE_{terms.unsettled}")  # type: ignore[assignment]
    request.ttl.FromTimedelta(terms.ttl)
    return request


def to_used(response: pb.QueryUsageResponse) -> UsedOverTime:
    spans = tuple(_to_span(span) for span in response.spans)
    return UsedOverTime(spans, response.total_amount, response.late_amount)


def _to_span(span: pb.UsageSpan) -> UsageSpan:
    return UsageSpan(
        start=span.start_time.ToDatetime(timezone.utc),
        end=span.end_time.ToDatetime(timezone.utc),
        module=span.module_code,
        amount=span.amount,
        events=span.event_count,
        late=span.late_amount,
        recorded_at=instant_of(span, "recorded_at"),
    )
