"""What the double answers of usage over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from ._in_memory_ledger import Meter
from ._in_memory_usage import MOST, Usage, is_key
from ._proto import usage_service_pb2
from .answers import LimitAnswer
from .errors import Failure

pb = usage_service_pb2

AHEAD = timedelta(minutes=5)
ACCEPTED = timedelta(days=35)
MOST_EVENTS = 1000


@dataclass
class Recorder:
    """Writes down what was used. `limit_of`: the limit of a tenant; `modules`: those that anybody was given."""

    usage: Usage
    limit_of: Callable[[str, str, datetime], LimitAnswer]
    modules: Callable[[], set[str]]
    _counted: dict[str, int] = field(default_factory=dict)
    """The number of the last message of each producer."""

    def record(self, request: Any, now: datetime) -> Any:
        """RecordUsage, of one message."""
        with self.usage.lock:
            producer = request.producer_id
            if len(request.events) > MOST_EVENTS or (producer and not (_is_uuid(producer) and request.sequence)):
                return Failure("INVALID_ARGUMENT", "invalid request: events, producer_id or sequence", "INVALID_FIELD")
            last = self._counted.get(producer, 0)
            if producer and request.sequence > last + 1:
                return Failure("FAILED_PRECONDITION", f"the last message was {last}", "USAGE_SEQUENCE_GAP")
            is_repeated = bool(producer) and request.sequence <= last
            outcomes = [self._record(event, bool(producer), is_repeated, now) for event in request.events]
            if producer and not is_repeated:
                self._counted[producer] = request.sequence
        words = [f"USAGE_OUTCOME_{outcome}" for outcome in outcomes]
        return pb.RecordUsageResponse(outcomes=words, sequence=request.sequence)

    def _record(self, event: Any, is_sequenced: bool, is_repeated: bool, now: datetime) -> str:
        at = event.at.ToDatetime(timezone.utc) if event.HasField("at") else now
        refused = self._refused(event, is_sequenced, at, now)
        if refused or is_repeated:
            return refused or "REPEATED"
        if self.limit_of(event.tenant_id, event.meter, now).tenant_reason == "TENANT_NOT_FOUND":
            return "UNKNOWN_TENANT"
        return self.usage.meter(event, now).record(event, at, now)

    def _refused(self, event: Any, is_sequenced: bool, at: datetime, now: datetime) -> str:
        amount = -event.amount if event.corrects_key else event.amount
        is_named = not event.key if is_sequenced else is_key(event.key)
        if not is_named or not 1 <= amount <= MOST or (event.corrects_key and is_sequenced):
            return "INVALID"
        limit = self.limit_of(event.tenant_id, event.meter, now)
        if not _is_monthly(limit, event.meter):
            return "UNKNOWN_METER"
        if event.module_code and event.module_code not in self.modules():
            return "UNKNOWN_MODULE"
        if at > now + AHEAD:
            return "TOO_EARLY"
        return "TOO_LATE" if at < now - ACCEPTED else ""


def query(usage: Usage, request: Any, limit: LimitAnswer, now: datetime) -> Any:
    """QueryUsage."""
    if request.start_time.ToDatetime() >= request.end_time.ToDatetime():
        return Failure("INVALID_ARGUMENT", "invalid request: end_time must come after start_time", "INVALID_FIELD")
    response: Any = pb.QueryUsageResponse()
    if limit.reason == "NOT_FOUND":
        return response
    if not _is_monthly(limit, request.meter):
        return Failure("FAILED_PRECONDITION", "only a monthly meter has a history", "NOT_MONTHLY")
    with usage.lock:
        meter: Meter = usage.meter(request, now)
        for begins, ends, module, rows in meter.spans(request):
            span = response.spans.add(module_code=module, event_count=sum(row.used > 0 for row in rows))
            span.amount, span.late_amount = sum(row.used for row in rows), sum(row.late for row in rows)
            span.start_time.FromDatetime(begins)
            span.end_time.FromDatetime(ends)
            span.recorded_at.FromDatetime(max(row.changed for row in rows))
    response.total_amount = sum(span.amount for span in response.spans)
    response.late_amount = sum(span.late_amount for span in response.spans)
    return response


def _is_monthly(limit: LimitAnswer, meter: str) -> bool:
    # Of a tenant that is denied the limit says nothing, and is counted nevertheless.
    return limit.kind == "MONTHLY" or (limit.reason == "TENANT_DENIED" and meter.endswith("_monthly"))


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
