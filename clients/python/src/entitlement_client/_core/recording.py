"""What was used already, written down, and what was used over time. Written once for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .. import _wire_over_time as wire
from ..over_time import Recorded, UsageEvent, UsedOverTime
from .core import Core
from .effects import Program
from .usage import call, refuse_known_outage

pb = wire.pb

MOST_EVENTS = 500
"""Of one message. A server takes 1000, and commits each message by itself: so that no transaction takes long."""
MOST_BYTES = 200 * 1024
"""Of one message: a server takes 256 KiB."""
BESIDE = 8
"""Bytes that stand on the wire beside each event, at most."""


def record(core: Core, events: Iterable[UsageEvent]) -> Program[list[Recorded]]:
    """Raises ValueError before anything is sent, EntitlementsUnavailableError, RequestRefusedError."""
    said = list(events)
    messages = list(messages_of(wire.event(event) for event in said))
    refuse_known_outage(core)
    outcomes: list[str] = []
    for message in messages:
        outcomes += yield from send(core, message)
    return [Recorded(event, outcome) for event, outcome in zip(said, outcomes, strict=True)]


def send(core: Core, message: Any, end: int | None = None) -> Program[list[str]]:
    """What became of a message's events. `end`: as in `call`."""
    reply = yield from call(core, "RecordUsage", message, end)
    return [wire.outcome(number) for number in reply.outcomes]


def messages_of(events: Iterable[Any]) -> Iterator[Any]:
    """As few messages as hold them."""
    some: list[Any] = []
    size = 0
    for event in events:
        bytes_of_it = event.ByteSize() + BESIDE
        if some and (len(some) == MOST_EVENTS or size + bytes_of_it > MOST_BYTES):
            yield pb.RecordUsageRequest(events=some)
            some, size = [], 0
        some.append(event)
        size += bytes_of_it
    if some:
        yield pb.RecordUsageRequest(events=some)


def query(core: Core, request: Any) -> Program[UsedOverTime]:
    """Raises EntitlementsUnavailableError, RequestRefusedError."""
    refuse_known_outage(core)
    return wire.to_used((yield from call(core, "QueryUsage", request)))
