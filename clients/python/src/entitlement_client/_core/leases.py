"""A slice of a limit, taken beforehand and spent in the process: never more than was granted."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from .. import _fork
from .. import _wire_over_time as wire
from ..answers import Reservation
from ..clock import NS
from ..errors import ClientMisuseError, Failure, UsageRefusedError
from ..over_time import Taken
from .core import Core
from .effects import Program
from .jobs import Alone
from .terms import ENDLESS
from .usage import LONGEST_KEY, Wanted, ask_again, by_rule, reserve

log = logging.getLogger("entitlement_client")
pb = wire.pb

MOST = 10**12
SHORTEST, LONGEST = timedelta(seconds=5), timedelta(minutes=10)
UNSETTLED = ("SPENT", "RETURNED")

PAUSE = 5 * NS
"""After nothing was granted, or nobody answered, it is asked for a slice again so much later."""
FIRST_RETRY, LONGEST_RETRY = NS, 16 * NS
"""What could not be settled is settled so much later. Each try of each lease may take a deadline."""

FROM_SLICE = Taken(True)


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What is leased. The arguments of `leased`. ValueError names the one that cannot be."""

    tenant: str
    meter: str
    size: int
    ttl: timedelta
    unsettled: str
    module: str | None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST:
            raise ValueError(f"size: 1 to 10^12, not {self.size}")
        if not SHORTEST <= self.ttl <= LONGEST:
            raise ValueError(f"ttl: 5 s to 10 min, not {self.ttl}")
        if self.unsettled not in UNSETTLED:
            raise ValueError(f"unsettled: one of {UNSETTLED}, not {self.unsettled!r}")


class Slice:
    """What was granted at once. Changed under the lock of its holder."""

    __slots__ = ("granted", "half", "left", "name", "refills", "stops")

    def __init__(self, name: str, granted: int = 0, sent: int = 0, ttl: int = 0) -> None:
        """`sent`: when it was asked for (monotonic, ns). `ttl`: how long it lasts from then on (ns)."""
        self.name = name
        self.granted = self.left = granted
        self.half = granted // 2
        """The next slice is due once no more than this is left; -1: it was asked for."""
        self.refills = sent + ttl // 2
        """Or from then on (monotonic, ns)."""
        self.stops = sent + ttl - ttl // 10
        """It is not spent any more from then on: clocks drift, and what is spent has to be settled."""

    @property
    def spent(self) -> int:
        return self.granted - self.left


class LeaseBook:
    """The slice that is spent, the next one, and those that are over and have to be settled. Any thread may spend."""

    def __init__(self, core: Core, terms: LeaseTerms) -> None:
        self._core = core
        self._terms = terms
        self._mono = core.clock.mono
        self._is_closed = False
        self.after_fork()

    def after_fork(self) -> None:
        """Slices are the parent's."""
        self._lock = threading.Lock()
        self._asker = Alone(self._core)
        self._present: Slice | None = None
        self._next: Slice | None = None
        self._over: deque[Slice] = deque()
        self._asked = ""
        """The name of a slice that was asked for, and of which no answer has come."""
        self._asks_from = 0
        """Before that (monotonic, ns) no slice is asked for."""
        self._retry = FIRST_RETRY

    def spend(self, amount: int) -> bool:
        """Takes so much of what is held, if it is there. Raises ValueError."""
        if amount.__class__ is not int or amount < 1:
            raise ValueError(f"amount: an int, 1 or more, not {amount!r}")
        with self._lock:
            now, present = self._mono(), self._present
            if present is not None and now < present.stops and present.left >= amount:
                present.left -= amount
                if present.left > present.half and now < present.refills:
                    return True
                is_spent = True
                is_due = self._is_next_due(present)
            else:
                is_due = self._drop_over(now)
                is_spent = self._spend_any(amount)
        if is_due:
            self._core.schedule.poke(self)
        return is_spent

    def take_slowly(self, amount: int) -> Program[Taken]:
        """The same where it was not there: of a new slice, or reserved by itself. Raises ClientMisuseError,
        EntitlementsUnavailableError, RequestRefusedError."""
        self._refuse_closed()
        tries = 2 if amount <= self._terms.size else 0
        while tries and self._may_ask():
            tries -= 1
            _, reply = yield from self._asker.run(self._ask)
            if self.spend(amount):
                return FROM_SLICE
            if isinstance(reply, Failure) and reply.is_outage and reply.code != "RESOURCE_EXHAUSTED":
                return self._reserved(by_rule(self._core, self._wanted(amount), reply))
        return self._reserved((yield from reserve(self._core, self._wanted(amount))))

    @staticmethod
    def _reserved(reservation: Reservation) -> Taken:
        return Taken(reservation.granted, reservation)

    @property
    def is_idle(self) -> bool:
        return not (self._present or self._next or self._over or self._asked)

    def work(self) -> Program[int | None]:
        """Asks for the next slice if that is due, and settles what is over. When there is more to do."""
        with self._lock:
            self._drop_over(self._mono())
            present = self._present
            is_due = present is not None and present.half < 0 and self._may_ask()
        if is_due:
            yield from self._asker.run(self._ask)
            if present is not None and self._next is not None:
                yield from self._settle(present, is_final=False)
        is_settled = yield from self._settle_over()
        if self._is_closed and is_settled and self._asker.is_free:
            self._core.schedule.remove(self)
        return self._due(is_settled)

    def _due(self, is_settled: bool) -> int | None:
        with self._lock:
            present, next_one = self._present, self._next
            ends = [one.stops for one in (present, next_one) if one is not None]
            if present is not None and present.half < 0 and next_one is None:
                ends.append(self._asks_from)
            if not is_settled or self._is_closed:
                ends.append(self._mono() + self._retry)
            self._retry = FIRST_RETRY if is_settled else min(2 * self._retry, LONGEST_RETRY)
            return min(ends, default=None)

    def retire(self) -> None:
        """Nothing more is spent. What is over is settled in the background."""
        with self._lock:
            self._is_closed = True
            self._give_up()
        self._core.schedule.poke(self)

    def end(self, until: int) -> Program[None]:
        """The same, and settles it now."""
        self._is_closed = True
        if not self._asker.is_free:
            # What is granted meanwhile is given back.
            yield from self._asker.run(self._ask)
        with self._lock:
            self._give_up()
        if not (yield from self._settle_over(until)):
            log.warning(
                "%d leases of %s of tenant %s could not be settled: they count as was agreed when they run out",
                len(self._over),
                self._terms.meter,
                self._terms.tenant,
            )
        self._core.schedule.remove(self)

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise ClientMisuseError("this lease was closed")

    def _wanted(self, amount: int) -> Wanted:
        """So much by itself, under a name that nothing else has."""
        return Wanted(self._terms.tenant, self._terms.meter, str(uuid4()), amount, self._terms.module)

    def _may_ask(self) -> bool:
        return self._next is None and not self._is_closed and self._mono() >= self._asks_from

    # Under the lock.

    def _is_next_due(self, present: Slice) -> bool:
        """Once of each slice."""
        is_due = present.half >= 0
        present.half, present.refills = -1, ENDLESS
        return is_due

    def _spend_any(self, amount: int) -> bool:
        """Of what there is, the older first."""
        held = [one for one in (self._present, self._next) if one is not None]
        if sum(one.left for one in held) < amount:
            return False
        for one in held:
            part = min(one.left, amount)
            one.left -= part
            amount -= part
        return True

    def _drop_over(self, now: int) -> bool:
        """What is spent or over makes room for the next. Was there any?"""
        before = len(self._over)
        while self._present is not None and (self._present.left == 0 or now >= self._present.stops):
            self._over.append(self._present)
            self._present, self._next = self._next, None
        if self._next is not None and now >= self._next.stops:
            self._over.append(self._next)
            self._next = None
        return len(self._over) > before

    def _give_up(self) -> None:
        self._over += [one for one in (self._present, self._next) if one is not None]
        self._present = self._next = None
        if self._asked:
            # It may have been granted.
            self._over.append(Slice(self._asked))
            self._asked = ""

    # Asking and settling.

    def _ask(self) -> Program[Failure | None]:
        """Asks for a slice, one at a time. A name that has no answer yet is asked for again."""
        if not self._may_ask():
            return None
        _fork.works(self)
        name = self._asked = self._asked or str(uuid4())
        sent = 0

        def sends() -> None:
            nonlocal sent
            sent = self._mono()

        request = wire.lease_request(self._terms, name, holder())
        reply = yield from ask_again(self._core, "AcquireUsageLease", request, sends=sends)
        with self._lock:
            if isinstance(reply, Failure) and reply.is_outage:
                self._asks_from = self._mono() + PAUSE
                return reply
            self._asked = ""
            if isinstance(reply, Failure):
                self._asks_from = self._mono() + PAUSE
                if reply.code == "ALREADY_EXISTS":
                    # It was granted, and has run out before anybody knew.
                    self._over.append(Slice(name))
                    self._asks_from = 0
                    self._core.schedule.poke(self)
                return reply
            self._take_in(name, reply, sent)
        return None

    def _take_in(self, name: str, reply: Any, sent: int) -> None:
        if reply.granted_amount == 0:
            self._asks_from = self._mono() + PAUSE
            return
        granted = Slice(name, reply.granted_amount, sent, wire.ns(reply.ttl))
        if self._is_closed:
            self._over.append(granted)
            self._core.schedule.poke(self)
        elif self._present is None:
            self._present = granted
        else:
            self._next = granted
        self._core.schedule.at(self, granted.stops)

    def _settle_over(self, until: int | None = None) -> Program[bool]:
        """False: something is left to settle."""
        while self._over:
            one = self._over[0]
            if until is not None and self._mono() >= until:
                return False
            if not (yield from self._settle(one, is_final=True, until=until)):
                return False
            with self._lock:
                if self._over and self._over[0] is one:
                    self._over.popleft()
        return True

    def _settle(self, one: Slice, *, is_final: bool, until: int | None = None) -> Program[bool]:
        """False: it is to be settled later."""
        request = pb.SettleUsageLeaseRequest(
            tenant_id=self._terms.tenant,
            meter=self._terms.meter,
            lease_id=one.name,
            spent_amount=one.spent,
            final=is_final,
        )
        reply = yield from ask_again(self._core, "SettleUsageLease", request, until)
        if isinstance(reply, Failure) and not reply.is_outage and reply.code != "NOT_FOUND":
            log.warning("a lease of %s could not be settled: %s: %s", self._terms.meter, reply.code, reply.message)
        return not (isinstance(reply, Failure) and reply.is_outage)


def demand_taken(taken: Taken) -> Taken:
    """It, if it is granted. Raises UsageRefusedError."""
    if taken.reservation is not None and not taken.granted:
        raise UsageRefusedError(taken.reservation)
    return taken


def holder() -> str:
    """Who this process is, for those who look at leases."""
    host = "".join(character if "!" <= character <= "~" else "-" for character in socket.gethostname())
    return f"{host[: LONGEST_KEY - 20]}:{os.getpid()}"
