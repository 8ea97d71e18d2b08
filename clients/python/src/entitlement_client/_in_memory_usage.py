"""What the double answers of usage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ._core import sentences, terms
from ._core.usage import LONGEST_KEY
from ._in_memory_ledger import Counter, Meter
from ._proto import decision_pb2, usage_service_pb2
from .answers import UNSPECIFIED, LimitAnswer, LimitDecision
from .errors import Failure

pb = usage_service_pb2

MOST = 10**12
SHORTEST_HOLD, LONGEST_HOLD = timedelta(seconds=1), timedelta(hours=24)


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
        if refuse_denied(response.state, request, limit, module_denial):
            return response
        with self.lock:
            return self._reserve(response, request, limit, now)

    def _reserve(self, response: Any, request: Any, limit: LimitAnswer, now: datetime) -> Any:
        meter, period = self.meter(request, now), period_of(limit, now)
        before = meter.counter(period).taken
        most = None if limit.limit is None or limit.enforcement != "ON" else limit.limit - before
        taken = meter.reserve(request, most, period, now)
        if taken is None:
            return Failure("ALREADY_EXISTS", "this key was counted with another amount", "USAGE_KEY_CONFLICT")
        response.granted_amount, response.repeated_request = taken
        response.granted = response.granted_amount > 0
        decided = terms.decide(limit, request.meter, before, 0 if response.repeated_request else request.amount)
        put(response.state, decided, meter.counter(period), period)
        return response

    def release(self, request: Any, limit: LimitAnswer, now: datetime) -> Any:
        """ReleaseUsage. What a tenant gives back is its own, also where it is not served."""
        with self.lock:
            meter, period = self.meter(request, now), period_of(limit, now)
            response: Any = pb.ReleaseUsageResponse(released_amount=meter.release(request.key, request.only_held, now))
            counter = meter.counter(period)
        put(response.state, terms.decide(limit, request.meter, counter.taken, 0), counter, period)
        return response

    def reconcile(self, request: Any, limit: LimitAnswer, now: datetime) -> Any:
        """ReconcileUsage."""
        if limit.kind == "MONTHLY":
            return Failure("FAILED_PRECONDITION", "only a level can be reconciled", "NOT_A_LEVEL")
        response: Any = pb.ReconcileUsageResponse()
        counter = Counter(0, 0)
        if limit.reason != "NOT_FOUND" and limit.tenant_reason != "TENANT_NOT_FOUND":
            with self.lock:
                meter = self.meter(request, now)
                as_of = request.as_of.ToDatetime(timezone.utc)
                response.counted, response.released = meter.reconcile(request, as_of, now)
                counter = meter.counter("")
        put(response.state, terms.decide(limit, request.meter, counter.taken, 0), counter, "")
        return response

    def meter(self, request: Any, now: datetime) -> Meter:
        """The one that a request names. Called under the lock."""
        meter = self.meters.setdefault((request.tenant_id, request.meter), Meter())
        meter.run_out(now)
        return meter


def _refusal(request: Any) -> Failure | None:
    """Of what the server would not read."""
    hold = request.hold_for.ToTimedelta() if request.HasField("hold_for") else SHORTEST_HOLD
    if is_key(request.key) and 1 <= request.amount <= MOST and SHORTEST_HOLD <= hold <= LONGEST_HOLD:
        return None
    return Failure("INVALID_ARGUMENT", "invalid request: key, amount or hold_for", "INVALID_FIELD")


def is_key(key: str) -> bool:
    return 1 <= len(key) <= LONGEST_KEY and all("!" <= character <= "~" for character in key)


def refuse_denied(state: Any, request: Any, limit: LimitAnswer, module_denial: str | None) -> bool:
    """Where the tenant or the module is denied, or there is no such limit, says so."""
    if limit.reason in ("TENANT_DENIED", "NOT_FOUND"):
        put(state, terms.decide(limit, request.meter, 0, 0), Counter(0, 0), "")
        return True
    if module_denial is not None:
        message = sentences.of_decision(module_denial, request.module_code)
        denied = LimitDecision(False, "MODULE_DENIED", message=message, enforcement=limit.enforcement)
        put(state, denied, Counter(0, 0), "", module_denial)
        return True
    return False


def period_of(limit: LimitAnswer, now: datetime) -> str:
    return f"{now:%Y-%m}" if limit.kind == "MONTHLY" else ""


def put(state: Any, decided: LimitDecision, counter: Counter, period: str, denial: str = UNSPECIFIED) -> None:
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
        state.resets_at.FromDatetime(end_of_month(period))


def end_of_month(period: str) -> datetime:
    year, month = int(period[:4]), int(period[5:])
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=timezone.utc)


METHODS: Sequence[str] = (
    "ReserveUsage",
    "ReleaseUsage",
    "ReconcileUsage",
    "QueryUsage",
    "AcquireUsageLease",
    "SettleUsageLease",
)
"""Those that name a tenant and a meter."""
