"""Counting: always the server's, but where a meter's own outage rule allows. Written once for both clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from .. import _wire_usage as wire
from ..answers import Reconciled, Reservation
from ..clock import NS
from ..errors import EntitlementError, EntitlementsUnavailableError, Failure, RequestRefusedError, UsageRefusedError
from .ask import FIRST_PAUSE, KNOWN_OUTAGE
from .core import Core
from .effects import Call, Pause, Program
from .gate import Pass
from .terms import ENDLESS

pb = wire.pb

MOST_TRIES = 3
SHARE = 0.6
"""Of what is left of the deadline, what one try may take, if another may follow. Of 2 s that is more than the second for
which a server waits for a counter."""

HOLD = timedelta(seconds=60)
"""How long a block holds what it reserves, where nothing is said."""

MOST_KEYS = 1500
MOST_BYTES = 48 * 1024
"""Of one request's keys: a server takes messages of 64 KiB."""
BESIDE = 3
"""Bytes that stand on the wire beside each key: its tag, and its length."""
LONGEST_KEY = 128

TOO_OLD = "this entitlementd is older than usage, or than its {}, or does not count"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be taken. The arguments of `reserve`."""

    tenant: str
    meter: str
    key: str
    amount: int = 1
    module: str | None = None
    hold_for: timedelta | None = None
    partial: bool = False

    @property
    def for_good(self) -> Wanted:
        return replace(self, hold_for=None)

    @property
    def held(self) -> Wanted:
        """Held, for as long as was said."""
        return replace(self, hold_for=HOLD if self.hold_for is None else self.hold_for)


def reserve(core: Core, wanted: Wanted) -> Program[Reservation]:
    """In an outage the rule of the meter answers. Raises EntitlementsUnavailableError, RequestRefusedError."""
    request = wire.reserve_request(wanted)
    if is_outage_known(core) or (core.owed is not None and core.owed.is_away(wanted)):
        return by_rule(core, wanted, KNOWN_OUTAGE)
    reply = yield from ask_again(core, "ReserveUsage", request)
    return by_rule(core, wanted, reply) if isinstance(reply, Failure) else wire.to_reservation(reply)


def by_rule(core: Core, wanted: Wanted, failure: Failure) -> Reservation:
    """What the outage rule of the meter grants. Raises EntitlementsUnavailableError, RequestRefusedError."""
    # A counter that is locked, or a server that is overloaded, is there.
    is_away = failure.is_outage and failure.code != "RESOURCE_EXHAUSTED"
    granted = core.owed.allow(wanted) if is_away and core.owed is not None else None
    if granted is None:
        raise error_of("ReserveUsage", failure)
    return granted


def hold(core: Core, wanted: Wanted) -> Program[Reservation]:
    """The same, for whom only a yes will do. Raises UsageRefusedError, too."""
    return demand((yield from reserve(core, wanted.held)))


def keep(core: Core, wanted: Wanted, held: Reservation) -> Program[Reservation]:
    """Takes for good what is held, whatever is known of an outage: what it is for has been done. Raises UsageRefusedError
    where the hold has run out and there is not enough any more, EntitlementsUnavailableError, RequestRefusedError."""
    if held.by_outage_rule and core.owed is not None and core.owed.keep(wanted):
        return held
    reply = yield from ask_again(core, "ReserveUsage", wire.reserve_request(wanted.for_good))
    if isinstance(reply, Failure):
        return by_rule(core, wanted.for_good, reply)
    return demand(wire.to_reservation(reply))


def give_back(core: Core, wanted: Wanted, reservation: Reservation) -> Program[str]:
    """What was held returns. Empty, or why it could not be given back: then it returns by itself.

    What was here before is not given back: another attempt may have taken it for good since.
    """
    if reservation.repeated:
        return ""
    try:
        # Another attempt with this key may have taken it for good meanwhile.
        yield from release(core, wanted.tenant, wanted.meter, wanted.key, only_held=True)
    except (EntitlementsUnavailableError, RequestRefusedError) as error:
        return str(error) or type(error).__name__
    return ""


def release(core: Core, tenant: str, meter: str, key: str, *, only_held: bool = False) -> Program[int]:
    """Raises EntitlementsUnavailableError, RequestRefusedError."""
    request = pb.ReleaseUsageRequest(tenant_id=tenant, meter=meter, key=key, only_held=only_held)
    # What an outage rule has granted, and nobody has counted.
    owed = core.owed.forget(tenant, meter, key) if core.owed is not None and not only_held else 0
    reply = yield from call(core, "ReleaseUsage", request)
    # It may have been counted before an answer was lost.
    return int(reply.released_amount) or owed


def reconcile(core: Core, tenant: str, meter: str, keys: Iterable[str], as_of: datetime) -> Program[Reconciled]:
    """Raises ValueError for what cannot be sent, EntitlementsUnavailableError, RequestRefusedError."""
    if as_of.tzinfo is None:
        raise ValueError("as_of: an instant has a time zone")
    counted, released = 0, 0
    after = Reconciled()
    for first, up_to, some in list(ranges(keys)):
        request = wire.reconcile_request(tenant, meter, some, as_of, first, up_to)
        after = wire.to_reconciled((yield from call(core, "ReconcileUsage", request)))
        counted, released = counted + after.counted, released + after.released
    return replace(after, counted=counted, released=released)


def ranges(keys: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """The key that a range begins after, the one that it ends with, and what there is in it. Together they mean every key
    that there can be. ValueError for what is no key."""
    if isinstance(keys, str):
        raise ValueError("keys: a collection of keys, not a string")
    some: list[str] = []
    after, size = "", 0
    for key in sorted({_key(key) for key in keys}):
        if len(some) == MOST_KEYS or size + len(key) + BESIDE > MOST_BYTES:
            yield after, some[-1], some
            after, some, size = some[-1], [], 0
        some.append(key)
        size += len(key) + BESIDE
    yield after, "", some


def _key(key: str) -> str:
    if not (1 <= len(key) <= LONGEST_KEY and all("!" <= character <= "~" for character in key)):
        raise ValueError(f"no key: {key!r}: 1 to {LONGEST_KEY} printable ASCII characters without blanks")
    return key


def demand(reservation: Reservation) -> Reservation:
    """The reservation, if it is granted. Raises UsageRefusedError."""
    if not reservation.granted:
        raise UsageRefusedError(reservation)
    return reservation


def is_outage_known(core: Core) -> bool:
    """Is nobody to be asked?"""
    # Never in the background: nobody would know that it was counted.
    return core.enter(None, core.clock.mono()) is Pass.NO


def refuse_known_outage(core: Core) -> None:
    """Raises EntitlementsUnavailableError while it is known that the server does not answer."""
    if is_outage_known(core):
        raise KNOWN_OUTAGE.error()


def call(core: Core, method: str, request: Any, end: int | None = None) -> Program[Any]:
    """The server's response. Raises EntitlementsUnavailableError, RequestRefusedError. `end`: as in `ask_again`."""
    reply = yield from ask_again(core, method, request, end)
    if isinstance(reply, Failure):
        raise error_of(method, reply)
    return reply


def error_of(method: str, failure: Failure) -> EntitlementError:
    """As an error to raise."""
    if failure.code == "UNIMPLEMENTED":
        return RequestRefusedError(failure.code, TOO_OLD.format(method))
    return failure.error()


def ask_again(
    core: Core, method: str, request: Any, end: int | None = None, sends: Callable[[], None] = lambda: None
) -> Program[Any]:
    """The server's response, or a Failure. Where it may have been counted or not, it is asked again: what has a name is
    counted once. `end`: when it is over at the latest (monotonic, ns). `sends`: called before each try."""
    end = min(core.clock.mono() + core.settings.deadline_ns, end or ENDLESS)
    pause = FIRST_PAUSE
    reply: Any = KNOWN_OUTAGE
    for tries_left in reversed(range(MOST_TRIES)):
        left = max(end - core.clock.mono(), 0) / NS
        core.count(f"calls_{method}")
        sends()
        reply = yield Call(method, request, left * SHARE if tries_left else left)
        if not _is_worth_a_try(reply):
            break
        seconds = pause * random.uniform(0.7, 1.0)  # noqa: S311
        if tries_left == 0 or core.clock.mono() + seconds * NS >= end:
            break
        yield Pause(seconds)
        pause *= 2
    if not isinstance(reply, Failure):
        core.answered(None)
        return reply
    # Where the server does not answer, that is no outage for other questions: it may be slow to write, and know all that
    # it is asked.
    if reply.is_of_server or not reply.is_outage:
        core.answered(None)
    core.count("failed_calls")
    return reply


def _is_worth_a_try(reply: Any) -> bool:
    """Was it perhaps counted, perhaps not? Of a counter that is locked, or of a server that is overloaded, more questions
    make no better one."""
    return isinstance(reply, Failure) and reply.is_outage and reply.code != "RESOURCE_EXHAUSTED"
