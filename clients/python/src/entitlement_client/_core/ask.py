"""Asking the server: tries, pauses, and when not to ask."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from ..clock import NS
from ..errors import Failure
from .core import Core
from .effects import Background, Call, Pause, Program
from .gate import Pass
from .held import Record, Stream
from .resolved import Key

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.4
"""Seconds between tries. A server that asks for more is not tried again for the same caller."""

MOST_TRIES = 6

KNOWN_OUTAGE = Failure("UNAVAILABLE", "entitlementd does not answer at the moment", asked=False)


def ask(
    core: Core, method: str, request: Any, record: Record | None = None, wanted: int = 0, who: Key | None = None
) -> Program[Any]:
    """The server's response, or a Failure. `wanted`: the revision that was asked for, of this record's tenant.
    `who`: the key of the credentials that it is about."""
    end = core.clock.mono() + core.settings.deadline_ns
    pause = FIRST_PAUSE
    for tries_left in reversed(range(MOST_TRIES)):
        mono = core.clock.mono()
        passed = core.enter(record, mono)
        if passed is Pass.PROBE_BESIDE:
            yield Background(partial(_probe, core, method, request, record, wanted, who))
        if passed in (Pass.NO, Pass.PROBE_BESIDE):
            return KNOWN_OUTAGE
        core.count(f"calls_{method}")
        stream = core.stream
        reply = yield Call(method, request, max(end - mono, 0) / NS)
        if not isinstance(reply, Failure) or not reply.is_outage:
            _answered(core, record, reply, who)
            return reply
        seconds = pause * random.uniform(0.7, 1.0)  # noqa: S311
        ends_first = core.clock.mono() + seconds * NS >= end
        if passed is Pass.PROBE or tries_left == 0 or ends_first or not _is_worth_a_try(reply):
            _give_up(core, record, wanted, reply, passed, stream)
            return reply
        yield Pause(seconds)
        pause = min(pause * 2, LONGEST_PAUSE)
    raise AssertionError("the last try returns")


def _probe(core: Core, method: str, request: Any, record: Record | None, wanted: int, who: Key | None) -> Program[None]:
    """Finds out whether the server is back. The answer is asked for again by whoever wants it."""
    core.count(f"calls_{method}")
    stream = core.stream
    reply = yield Call(method, request, core.settings.deadline)
    if isinstance(reply, Failure) and reply.is_outage:
        _give_up(core, record, wanted, reply, Pass.PROBE, stream)
    else:
        _answered(core, record, reply, who)


def _answered(core: Core, record: Record | None, reply: Any, who: Key | None) -> None:
    """The server has answered. Whom it refuses, no outage rule is to name."""
    core.answered(record)
    if who is not None and isinstance(reply, Failure) and reply.names_nobody:
        core.refused(who)


def _is_worth_a_try(failure: Failure) -> bool:
    """A server that has not heard of a revision yet does so within milliseconds, whatever it advises."""
    if failure.code != "UNAVAILABLE":
        return False
    return failure.reason == "NOT_FRESH_ENOUGH" or (failure.retry_after or 0) <= LONGEST_PAUSE


def _give_up(core: Core, record: Record | None, wanted: int, failure: Failure, passed: Pass, stream: Stream) -> None:
    """Remembers the outage. Not one that a caller made for itself, by asking for a revision that nobody announced."""
    core.count("failed_calls")
    announced = failure.reason != "NOT_FRESH_ENOUGH" or (record is not None and record.floor >= wanted)
    if announced:
        core.failed(record, failure, passed, stream)
    else:
        core.answered(None)
