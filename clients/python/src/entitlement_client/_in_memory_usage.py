"""What the double counts: the keys of each meter, whose sums are the counters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ._core import sentences, terms
from ._core.usage import LONGEST_KEY
from ._proto import decision_pb2, usage_service_pb2
from .answers import UNSPECIFIED, LimitAnswer, LimitDecision
from .errors import Failure

pb = usage_service_pb2

MOST = 10**12
SHORTEST_HOLD, LONGEST_HOLD = timedelta(seconds=1), timedelta(hours=24)

COUNTED, HELD, RELEASED = "counted", "held", "released"


@dataclass
class Row:
    """What a key took."""

    period: str
    """The month that it was taken from, "2026-11" (UTC). Empty: a level."""
    asked: int
    amount: int
    state: str
    until: datetime | None
    """When a hold returns."""
    changed: datetime


@dataclass(frozen=True)
class Counter:
    """What there is of a meter."""

    used: int
    held: int

    @property
    def taken(self) -> int:
        return self.used + self.held


class Meter:
    """The keys of one meter of a tenant."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def return_holds(self, now: datetime) -> None:
        """Those that have run out."""
        for row in self._rows.values():
            if row.state == HELD and row.until is not None and row.until <= now:
                row.state, row.changed = RELEASED, now

    def counter(self, period: str) -> Counter:
        rows = [row for row in self._rows.values() if row.period == period]
        used, held = (sum(row.amount for row in rows if row.state == state) for state in (COUNTED, HELD))
        return Counter(used, held)

    def reserve(self, request: Any, most: int | None, period: str, now: datetime) -> tuple[int, bool] | None:
        """How much was taken, 0 for nothing, and whether the key was here before. `most`: what may be taken. None: the
        key took another amount."""
        row = self._rows.get(request.key)
        is_held = request.HasField("hold_for")
        if row is not None and row.state != RELEASED:
            if row.asked != request.amount:
                return None
            if not is_held:
                row.state, row.changed = COUNTED, now
            return row.amount, True
        amount = request.amount if most is None or not request.partial else min(request.amount, most)
        if amount <= 0 or (most is not None and amount > most):
            return 0, False
        until = now + request.hold_for.ToTimedelta() if is_held else None
        self._rows[request.key] = Row(period, request.amount, amount, HELD if is_held else COUNTED, until, now)
        return amount, False

    def release(self, key: str, only_held: bool, now: datetime) -> int:
        row = self._rows.get(key)
        if row is None or row.state == RELEASED or (only_held and row.state != HELD):
            return 0
        row.state, row.changed = RELEASED, now
        return row.amount

    def reconcile(self, request: Any, as_of: datetime, now: datetime) -> tuple[int, int]:
        """How many were not counted and are now, and how many were and are no longer there."""
        there, counted, released = set(request.keys), 0, 0
        for key, row in self._rows.items():
            is_meant = key > request.after_key and (not request.up_to_key or key <= request.up_to_key)
            if is_meant and key not in there and row.state == COUNTED and row.changed <= as_of:
                row.state, row.changed = RELEASED, now
                released += 1
        for key in there:
            counted += self._count_if_missing(key, as_of, now)
        return counted, released

    def _count_if_missing(self, key: str, as_of: datetime, now: datetime) -> bool:
        row = self._rows.get(key)
        if row is not None and row.state == HELD:
            row.state, row.changed = COUNTED, now
        elif row is None or (row.state == RELEASED and row.changed <= as_of):
            self._rows[key] = Row("", 1, 1, COUNTED, None, now)
            return True
        return False


@dataclass
class Usage:
    """The meters of all tenants. `lock`: threads count one after the other."""

    meters: dict[tuple[str, str], Meter] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, request: Any, limit: LimitAnswer, module_denial: str | None, now: datetime) -> Any:
        """ReserveUsage, of a tenant with this limit. `module_denial`: why the module may not be used."""
        failure = _refusal(request)
        if failure is not None:
            return failure
        response: Any = pb.ReserveUsageResponse()
        if limit.reason in ("TENANT_DENIED", "NOT_FOUND"):
            _put(response.state, terms.decide(limit, request.meter, 0, 0), Counter(0, 0), "")
            return response
        if module_denial is not None:
            message = sentences.of_decision(module_denial, request.module_code)
            denied = LimitDecision(False, "MODULE_DENIED", message=message, enforcement=limit.enforcement)
            _put(response.state, denied, Counter(0, 0), "", module_denial)
            return response
        with self.lock:
            return self._reserve(response, request, limit, now)

    def _reserve(self, response: Any, request: Any, limit: LimitAnswer, now: datetime) -> Any:
        meter, period = self._meter(request, now), _period(limit, now)
        before = meter.counter(period).taken
        most = None if limit.limit is None or limit.enforcement != "ON" else limit.limit - before
        taken = meter.reserve(request, most, period, now)
        if taken is None:
            return Failure("ALREADY_EXISTS", "this key was counted with another amount", "USAGE_KEY_CONFLICT")
        response.granted_amount, response.repeated_request = taken
        response.granted = response.granted_amount > 0
        decided = terms.decide(limit, request.meter, before, 0 if response.repeated_request else request.amount)
        _put(response.state, decided, meter.counter(period), period)
        return response

    def release(self, request: Any, limit: LimitAnswer, now: datetime) -> Any:
        """ReleaseUsage. What a tenant gives back is its own, also where it is not served."""
        with self.lock:
            meter, period = self._meter(request, now), _period(limit, now)
            response: Any = pb.ReleaseUsageResponse(released_amount=meter.release(request.key, request.only_held, now))
            counter = meter.counter(period)
        _put(response.state, terms.decide(limit, request.meter, counter.taken, 0), counter, period)
        return response

    def reconcile(self, request: Any, limit: LimitAnswer, now: datetime) -> Any:
        """ReconcileUsage."""
        if limit.kind == "MONTHLY":
            return Failure("FAILED_PRECONDITION", "only a level can be reconciled", "NOT_A_LEVEL")
        response: Any = pb.ReconcileUsageResponse()
        counter = Counter(0, 0)
        if limit.reason != "NOT_FOUND" and limit.tenant_reason != "TENANT_NOT_FOUND":
            with self.lock:
                meter = self._meter(request, now)
                as_of = request.as_of.ToDatetime(timezone.utc)
                response.counted, response.released = meter.reconcile(request, as_of, now)
                counter = meter.counter("")
        _put(response.state, terms.decide(limit, request.meter, counter.taken, 0), counter, "")
        return response

    def _meter(self, request: Any, now: datetime) -> Meter:
        meter = self.meters.setdefault((request.tenant_id, request.meter), Meter())
        meter.return_holds(now)
        return meter


def _refusal(request: Any) -> Failure | None:
    """Of what the server would not read."""
    hold = request.hold_for.ToTimedelta() if request.HasField("hold_for") else SHORTEST_HOLD
    is_key = 1 <= len(request.key) <= LONGEST_KEY and all("!" <= character <= "~" for character in request.key)
    if is_key and 1 <= request.amount <= MOST and SHORTEST_HOLD <= hold <= LONGEST_HOLD:
        return None
    return Failure("INVALID_ARGUMENT", "invalid request: key, amount or hold_for", "INVALID_FIELD")


def _period(limit: LimitAnswer, now: datetime) -> str:
    return f"{now:%Y-%m}" if limit.kind == "MONTHLY" else ""


def _put(state: Any, decided: LimitDecision, counter: Counter, period: str, denial: str = UNSPECIFIED) -> None:
    """Writes a counter, and how it stands to its limit."""
    state.CopyFrom(
        pb.UsageState(
            reason=f"LIMIT_REASON_{decided.reason}",
            message=decided.message,
            limit=decided.limit,
            used=counter.used,
            held=counter.held,
            remaining=None if decided.limit is None else decided.limit - counter.taken,
            source=f"LIMIT_SOURCE_{decided.source}",
            kind=f"LIMIT_KIND_{decided.kind}",
            enforcement=f"LIMIT_ENFORCEMENT_{decided.enforcement}",
            plan_slugs=decided.plan_slugs,
        )
    )
    reason = denial if decided.reason == "MODULE_DENIED" else decided.tenant_reason
    state.denial_reason = decision_pb2.DecisionReason.Value(f"DECISION_REASON_{reason}")
    if period:
        year, month = int(period[:4]), int(period[5:])
        ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=timezone.utc)
        state.resets_at.FromDatetime(ends)


METHODS: Sequence[str] = ("ReserveUsage", "ReleaseUsage", "ReconcileUsage")
