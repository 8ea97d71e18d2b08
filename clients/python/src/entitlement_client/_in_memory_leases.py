"""What the double answers of leases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ._core import terms
from ._in_memory_ledger import COUNTED, HELD, LEAST_LEFT, Meter, Row
from ._in_memory_usage import MOST, Usage, end_of_month, is_key, period_of, put, refuse_denied
from ._proto import usage_service_pb2
from .answers import LimitAnswer
from .errors import Failure

pb = usage_service_pb2

SHORTEST, LONGEST = timedelta(seconds=5), timedelta(minutes=10)
CONFLICT = Failure("ALREADY_EXISTS", "this key was counted with another amount", "USAGE_KEY_CONFLICT")


def acquire(usage: Usage, request: Any, limit: LimitAnswer, module_denial: str | None, now: datetime) -> Any:
    """AcquireUsageLease, of a tenant with this limit. `module_denial`: why the module may not be used."""
    ttl = request.ttl.ToTimedelta()
    is_likely = is_key(request.lease_id) and is_key(request.holder)
    if not is_likely or not 1 <= request.wanted <= MOST or not SHORTEST <= ttl <= LONGEST:
        return Failure("INVALID_ARGUMENT", "invalid request: lease_id, holder, wanted or ttl", "INVALID_FIELD")
    response: Any = pb.AcquireUsageLeaseResponse()
    if refuse_denied(response.state, request, limit, module_denial):
        return response
    if not period_of(limit, now):
        return Failure("FAILED_PRECONDITION", "only a monthly meter has leases", "NOT_MONTHLY")
    with usage.lock:
        meter, period = usage.meter(request, now), period_of(limit, now)
        until = min(now + ttl, end_of_month(period))
        before = meter.counter(period).taken
        granted = _lease(meter, request, limit, period, until, now)
        if isinstance(granted, Failure):
            return granted
        response.granted_amount, response.repeated_request, ends = granted
        if response.granted_amount:
            response.ttl.FromTimedelta(ends - now)
            before, amount = meter.counter(period).taken, 0
        else:
            amount = 1
        put(response.state, terms.decide(limit, request.meter, before, amount), meter.counter(period), period)
    return response


def _lease(
    meter: Meter, request: Any, limit: LimitAnswer, period: str, until: datetime, now: datetime
) -> tuple[int, bool, datetime] | Failure:
    """How much was granted, whether it was here before, and when it runs out."""
    row = meter.taken(request.lease_id)
    if row is not None:
        is_same = row.state == HELD and (row.asked, row.holder) == (request.wanted, request.holder)
        return (row.amount, True, row.until or until) if is_same else CONFLICT
    others = sum(one.state == HELD and bool(one.holder) for one in meter.rows.values())
    amount = request.wanted
    if limit.limit is not None and limit.enforcement == "ON":
        left = limit.limit - meter.counter(period).taken
        amount = min(amount, left // (2 * others + 2) if left >= LEAST_LEFT else 0)
    if amount > 0:
        row = Row(period, request.wanted, amount, 0, HELD, until, now, now, request.module_code, request.holder)
        returned = request.unsettled == pb.UNSETTLED_RULE_RETURNED
        row.unsettled = "RETURNED" if returned else "SPENT"
        meter.rows[request.lease_id] = row
    return max(amount, 0), False, until


def settle(usage: Usage, request: Any, limit: LimitAnswer, now: datetime) -> Any:
    """SettleUsageLease."""
    with usage.lock:
        meter, period = usage.meter(request, now), period_of(limit, now)
        row = meter.taken(request.lease_id)
        if row is None or not row.holder:
            return Failure("NOT_FOUND", "there is no such lease", "LEASE_NOT_FOUND")
        if request.spent_amount > row.amount:
            return Failure("INVALID_ARGUMENT", "more was spent than was granted", "INVALID_FIELD")
        before = row.used + row.held
        _settle(row, request.spent_amount, request.final, period, now)
        returned = max(before - row.used - row.held, 0)
        response: Any = pb.SettleUsageLeaseResponse(spent_amount=row.used, returned_amount=returned)
        counter = meter.counter(period)
    put(response.state, terms.decide(limit, request.meter, counter.taken, 0), counter, period)
    return response


def _settle(row: Row, spent: int, is_final: bool, period: str, now: datetime) -> None:
    if not row.unsettled:
        return
    # After it has run out, what had counted as spent is free again as long as its month lasts.
    may_fall = row.state == COUNTED and is_final and row.period == period
    row.change(now, COUNTED if is_final else row.state, spent if may_fall else max(spent, row.used))
    if is_final:
        row.unsettled = ""
