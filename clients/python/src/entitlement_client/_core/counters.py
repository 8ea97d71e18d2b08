"""Adding up in the process, and sending sums: each is counted once, whatever becomes of the answers."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from .. import _fork
from .. import _wire_over_time as wire
from ..clock import NS, instant
from ..errors import ClientMisuseError, Failure
from ..over_time import COUNTED
from .core import Core
from .effects import Program
from .jobs import Alone
from .recording import MOST_EVENTS
from .said import Seldom
from .usage import ask_again

pb = wire.pb

QUARTER = 15 * 60 * NS
"""Sums are kept by the quarter of an hour, which is within one day and one month in every time zone."""
MOST_SUMS = 10_000
MOST_AMOUNT = 10**12
"""Of one event."""
LONGEST_METER, LONGEST_MODULE = 100, 50

Key = tuple[str | UUID, str, str]
"""Tenant, meter and module."""


class CounterBook:
    """The sums that wait, by quarter of an hour, tenant, meter and module, and the message that is on its way.

    A message without an answer is sent again as it was, under the same number of the same producer. Any thread may add.
    """

    def __init__(self, core: Core, interval: timedelta) -> None:
        self._core = core
        self._interval = int(interval.total_seconds() * NS)
        if self._interval <= 0:
            raise ValueError(f"interval: above 0, not {interval}")
        self._wall = core.clock.wall
        self._sender = Alone(core)
        mono = core.clock.mono
        self._refusals = Seldom("of what counters have sent, %d sums were not counted; one of them: %s", mono)
        self._failures = Seldom("counters could not send all of their sums, %d times: %s", mono)
        self.refused = 0
        """Sums that the server did not count, for the reasons that the log says."""
        self.dropped = 0
        """What was not counted because too much waited, or could not be sent before the end: amounts, all together."""
        self._lock = threading.Lock()
        self._is_closed = False
        self._clear()

    def _clear(self) -> None:
        """Nothing waits, and another producer begins."""
        self._sums: dict[Key, int] = {}
        """Those of the present quarter."""
        self._begins = self._ends = 0
        """The present quarter (ns). 0: there is none."""
        self._older: dict[int, dict[Key, int]] = {}
        """The others, by when their quarter begins (ns)."""
        self._pending: Any = None
        # It gets its name when it first sends: children of a fork must not share one that was made before.
        self._producer, self._sequence = "", 0
        self._has_begun = self._is_joined = self._is_full = False

    def add(self, tenant: str | UUID, meter: str, amount: int = 1, module: str = "") -> None:
        """Counts so much of a monthly meter for the tenant, in this process: nothing is sent, and nobody waits. From any
        thread. `amount`: 1 or more. Raises ValueError for what cannot be counted, and ClientMisuseError once these
        counters or their client are closed, and in the child of a fork if the client was in use before it."""
        if amount.__class__ is not int or amount < 1:
            raise ValueError(f"amount: an int, 1 or more, not {amount!r}")
        key = (tenant, meter, module)
        with self._lock:
            now = self._wall()
            if not self._begins <= now < self._ends:
                self._turn(now)
            sums = self._sums
            there = sums.get(key)
            if there is not None:
                sums[key] = there + amount
                return
            is_lost, is_first = self._add_new(key, amount)
        if is_lost:
            self._core.count("usage_dropped", amount)
        if is_first:
            self._failures.happened(f"{MOST_SUMS} wait, so what is new is dropped, such as {key}")

    @property
    def waiting(self) -> int:
        """How many sums wait to be sent."""
        return len(self._sums) + sum(len(sums) for sums in list(self._older.values()))

    @property
    def is_idle(self) -> bool:
        return self._pending is None and self.waiting == 0

    def work(self) -> Program[int | None]:
        """Sends what waits. When to do so next."""
        yield from self.send()
        return self._core.clock.mono() + self._interval

    def send(self, until: int | None = None) -> Program[bool]:
        """Sends what waits. False: some of it waits still. `until`: as in `ask_again`."""
        for _ in range(2):
            # Who comes while another sends waits for that one, and sends what has come since.
            led, is_sent = yield from self._sender.run(lambda: self._send(until))
            if led:
                return is_sent is True
        return is_sent is True

    def end(self, until: int) -> Program[None]:
        """The last that is sent. What comes later is refused."""
        with self._lock:
            self._leave_quarter()
            self._is_closed = True
        is_sent = yield from self.send(until)
        self._core.schedule.remove(self)
        if not is_sent:
            with self._lock:
                lost = self._lost()
                self._clear()
                self.dropped += lost
            self._core.count("usage_dropped", lost)
            self._failures.happened(f"they are closed, and {lost} in all are dropped")

    def after_fork(self) -> None:
        """What was added up is the parent's, and this process is another producer."""
        self._lock = threading.Lock()
        self._sender = Alone(self._core)
        self._clear()

    def _begin(self) -> bool:
        """Is called before the first is added. False: the client cannot begin from here. Raises ClientMisuseError."""
        raise NotImplementedError

    # Adding. Under the lock.

    def _turn(self, now: int) -> None:
        """Another quarter begins, or the clock was set."""
        if self._is_closed:
            raise ClientMisuseError("these counters were closed")
        if not self._has_begun:
            _fork.works(self)
            self._has_begun = self._begin()
            self._core.schedule.at(self, self._core.clock.mono() + self._interval)
        self._leave_quarter()
        self._begins = now - now % QUARTER
        # As long as nothing can be sent, each time is the first.
        self._ends = self._begins + QUARTER if self._has_begun else self._begins
        self._sums = self._older.pop(self._begins, {})
        self._is_joined = False

    def _leave_quarter(self) -> None:
        if self._sums:
            self._older[self._begins] = self._sums
        self._sums, self._begins, self._ends = {}, 0, 0

    def _add_new(self, key: Key, amount: int) -> tuple[bool, bool]:
        """Whether it is dropped, and is the first of those."""
        if not _is_likely(*key):
            raise ValueError(f"no tenant, meter and module: {key!r}")
        if self.waiting >= MOST_SUMS and not self._is_joined:
            self._join()
        there = self._take_older(key) if self._is_joined else 0
        if there or self.waiting < MOST_SUMS:
            self._sums[key] = there + amount
            return False, False
        is_first, self._is_full = not self._is_full, True
        self.dropped += amount
        return True, is_first

    def _join(self) -> None:
        """Makes room: what is of one tenant, meter and module is counted in the latest quarter that it is of."""
        latest: dict[Key, tuple[int, int]] = {}
        for begins in sorted(self._older):
            for key, amount in self._older[begins].items():
                latest[key] = begins, amount + latest.get(key, (0, 0))[1]
        self._older = {}
        for key, (begins, amount) in latest.items():
            if key in self._sums:
                self._sums[key] += amount
            else:
                self._older.setdefault(begins, {})[key] = amount
        self._is_joined = True

    def _take_older(self, key: Key) -> int:
        return sum(sums.pop(key, 0) for sums in self._older.values())

    def _lost(self) -> int:
        waiting = sum(sum(sums.values()) for sums in (self._sums, *self._older.values()))
        return waiting + (_sum(self._pending) if self._pending is not None else 0)

    # Sending. One at a time.

    def _send(self, until: int | None) -> Program[bool]:
        failures = 0
        while (message := self._message()) is not None:
            reply = yield from ask_again(self._core, "RecordUsage", message, until)
            if not isinstance(reply, Failure):
                self._answered([wire.outcome(number) for number in reply.outcomes])
                failures = 0
            elif failures or not self._overcame(reply):
                return False
            else:
                failures += 1
        return True

    def _message(self) -> Any:
        """The one that has no answer yet, or the next one. None: nothing waits."""
        if self._pending is None:
            events = self._cut()
            if events:
                self._producer = self._producer or str(uuid4())
                self._sequence += 1
                self._pending = pb.RecordUsageRequest(events=events, producer_id=self._producer, sequence=self._sequence)
        return self._pending

    def _cut(self) -> list[Any]:
        """What goes into a message: the oldest first."""
        some: list[tuple[Key, int, int]] = []
        with self._lock:
            self._is_full = self._is_joined = False
            for begins in [*sorted(self._older), self._begins]:
                sums = self._sums if begins == self._begins else self._older[begins]
                # Within its quarter, and as late as can be: what is an hour old when it arrives counts as late.
                at = min(max(self._wall(), begins), begins + QUARTER - 1000)
                while sums and len(some) < MOST_EVENTS:
                    key, amount = sums.popitem()
                    some.append((key, min(amount, MOST_AMOUNT), at))
                    if amount > MOST_AMOUNT:
                        sums[key] = amount - MOST_AMOUNT
            self._older = {begins: sums for begins, sums in self._older.items() if sums}
        return [_event(*one) for one in some]

    def _answered(self, outcomes: list[str]) -> None:
        refused = [
            (event, outcome)
            for event, outcome in zip(self._pending.events, outcomes, strict=False)
            if outcome not in COUNTED
        ]
        self._pending = None
        if refused:
            self.refused += len(refused)
            self._core.count("usage_refused", len(refused))
            event, outcome = refused[0]
            example = f"{outcome}, {event.amount} of {event.meter} of tenant {event.tenant_id}"
            self._refusals.happened(f"{example}, module {event.module_code!r}", len(refused))

    def _overcame(self, failure: Failure) -> bool:
        """May what waits be sent at once, after this failure? Else it waits for the next time."""
        if failure.reason == "USAGE_SEQUENCE_GAP":
            # It has not counted this message.
            self._producer, self._sequence = str(uuid4()), 1
            self._pending.producer_id, self._pending.sequence = self._producer, 1
            self._failures.happened(f"the server misses a message, so another producer begins: {failure.message}")
            return True
        if failure.code == "INVALID_ARGUMENT":
            # It never will count it. Its number is free.
            lost = _sum(self._pending)
            self.dropped += lost
            self._core.count("usage_dropped", lost)
            self._pending, self._sequence = None, self._sequence - 1
            self._failures.happened(f"a message with {lost} in all is dropped: {failure.message}")
            return True
        self._failures.happened(f"{failure.code}: {failure.message}")
        return False


def _event(key: Key, amount: int, at: int) -> Any:
    tenant, meter, module = key
    event = pb.UsageEvent(tenant_id=str(tenant).lower(), meter=meter, module_code=module, amount=amount)
    event.at.FromDatetime(instant(at))
    return event


def _sum(message: Any) -> int:
    return sum(event.amount for event in message.events)


def _is_likely(tenant: object, meter: str, module: str) -> bool:
    """Can it be sent?"""
    is_tenant = isinstance(tenant, UUID) or (isinstance(tenant, str) and tenant.isascii())
    return is_tenant and 1 <= len(meter) <= LONGEST_METER and len(module) <= LONGEST_MODULE and (meter + module).isascii()
