"""What an outage rule has allowed to be used. It is recorded afterwards under the same key, so that what had been counted
before its answer was lost is counted once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from .. import _fork
from .. import _wire_over_time as wire
from .. import _wire_usage as wire_usage
from ..answers import UNSPECIFIED, Reservation
from ..clock import NS, instant
from ..errors import Failure
from ..outage import OnOutage
from ..over_time import COUNTED
from .effects import Program
from .recording import MOST_EVENTS
from .said import Seldom
from .sentences import denial_of_tenant
from .usage import Wanted, ask_again

if TYPE_CHECKING:
    from .core import Core

pb = wire.pb

MOST = 10_000
"""Of what waits to be recorded: beyond that it is denied."""
FIRST_PAUSE, LONGEST_PAUSE = NS, 5 * NS
"""Between tries to record."""
AFTER_A_REFUSAL = 60 * NS
"""The server is there, and lets this client record nothing."""

Id = tuple[str, str, str]
"""Tenant, meter and key."""


class Owed:
    """The rule of each meter, and what waits to be recorded. Any thread may ask."""

    def __init__(self, core: Core, rules: Mapping[str, OnOutage]) -> None:
        """ValueError for a rule that no meter can have."""
        for meter, rule in rules.items():
            if rule.kind not in ("deny", "allow"):
                raise ValueError(f"usage_outage: {meter!r} can be denied or allowed: what is left is not held")
        self._core = core
        self._allowed = {meter for meter, rule in rules.items() if rule.kind == "allow"}
        mono = core.clock.mono
        self._allowances = Seldom("by the outage rule usage was granted that is not counted yet, %d times: %s", mono)
        self._failures = Seldom("what the outage rule has granted was not counted, %d times: %s", mono)
        self.after_fork()

    def after_fork(self) -> None:
        """What is owed is the parent's to record."""
        self._lock = threading.Lock()
        self._owed: dict[Id, tuple[Wanted, int]] = {}
        """With the instant of each (ns since 1970)."""
        self._sending: set[Id] = set()
        self._pause = FIRST_PAUSE
        self._away_until = 0

    def __len__(self) -> int:
        return len(self._owed)

    def is_away(self, wanted: Wanted) -> bool:
        """Is it known, and allowed without asking?"""
        return wanted.meter in self._allowed and self._core.clock.mono() < self._away_until

    def allow(self, wanted: Wanted) -> Reservation | None:
        """What the rule grants, or None. It is recorded, unless it is only held: then it would return by itself."""
        if wanted.meter not in self._allowed or is_denied(self._core, wanted):
            return None
        is_repeated = self._owe(wanted)
        if is_repeated is None:
            return None
        self._core.count_by_rule()
        self._core.count("usage_allowed")
        self._allowances.happened(f"{wanted.amount} of {wanted.meter} of tenant {wanted.tenant}")
        return Reservation(True, wanted.amount, is_repeated, UNSPECIFIED, by_outage_rule=True)

    def keep(self, wanted: Wanted) -> bool:
        """What was granted to be held is used. False: too much is owed already."""
        return self._owe(wanted.for_good) is not None

    def forget(self, tenant: str, meter: str, key: str) -> int:
        """It is given back before it was recorded: how much that was."""
        name = (tenant, meter, key)
        with self._lock:
            if name in self._sending or name not in self._owed:
                return 0
            return self._owed.pop(name)[0].amount

    def _owe(self, wanted: Wanted) -> bool | None:
        """Was it owed before? None: it cannot be."""
        name = (wanted.tenant, wanted.meter, wanted.key)
        with self._lock:
            before = self._owed.get(name)
            if before is not None:
                return True if before[0].amount == wanted.amount else None
            if len(self._owed) >= MOST:
                return None
            if wanted.hold_for is not None:
                return False
            if not self._owed:
                _fork.works(self)
            self._owed[name] = wanted, self._core.clock.wall()
        self._core.schedule.poke(self)
        return False

    # The job.

    @property
    def is_idle(self) -> bool:
        return not self._owed

    def work(self) -> Program[int | None]:
        """Records what is owed. When it is to be tried again."""
        failure = yield from self._record()
        mono = self._core.clock.mono()
        if failure is None:
            self._pause, self._away_until = FIRST_PAUSE, 0
            return mono + FIRST_PAUSE if self._owed else None
        if not failure.is_outage:
            self._failures.happened(f"{failure.code}: {failure.message}")
            return mono + AFTER_A_REFUSAL
        due = self._away_until = mono + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return due

    def end(self, until: int) -> Program[None]:
        """The last try."""
        yield from self._record(until)
        self._core.schedule.remove(self)
        with self._lock:
            lost, self._owed = [wanted for wanted, _ in self._owed.values()], {}
        if lost:
            amount = sum(wanted.amount for wanted in lost)
            self._core.count("usage_dropped", amount)
            self._failures.happened(f"the client is closed, and {amount} in all cannot be recorded")

    def _record(self, until: int | None = None) -> Program[Failure | None]:
        """Until nothing is owed, or the server does not answer."""
        while self._owed:
            with self._lock:
                some = list(islice(self._owed.items(), MOST_EVENTS))
                self._sending = {name for name, _ in some}
            message = pb.RecordUsageRequest(events=[_event(*said) for _, said in some])
            reply = yield from ask_again(self._core, "RecordUsage", message, until)
            failure = reply if isinstance(reply, Failure) else None
            if failure is None:
                outcomes = [wire.outcome(number) for number in reply.outcomes]
                failure = yield from self._recorded([said[0] for _, said in some], outcomes, until)
            with self._lock:
                self._sending = set()
            if failure is not None:
                return failure
        return None

    def _recorded(self, some: list[Wanted], outcomes: list[str], until: int | None) -> Program[Failure | None]:
        """These are their outcomes. What is left is owed still."""
        for wanted, outcome in zip(some, outcomes, strict=False):
            if outcome == "UNKNOWN_METER":
                reply = yield from self._reserve(wanted, until)
                if isinstance(reply, Failure) and reply.is_outage:
                    return reply
            elif outcome not in COUNTED:
                self._refused(wanted, outcome)
            with self._lock:
                self._owed.pop((wanted.tenant, wanted.meter, wanted.key), None)
        return None

    def _reserve(self, wanted: Wanted, until: int | None) -> Program[Any]:
        """What is no monthly meter is a level, of which nothing is recorded: it is counted if it is within the limit."""
        reply = yield from ask_again(self._core, "ReserveUsage", wire_usage.reserve_request(wanted), until)
        if isinstance(reply, Failure):
            if not reply.is_outage:
                self._refused(wanted, reply.code)
        elif not reply.granted:
            self._refused(wanted, f"{wire_usage.to_reservation(reply).reason}, so reconcile it")
        return reply

    def _refused(self, wanted: Wanted, outcome: str) -> None:
        self._core.count("usage_refused")
        self._failures.happened(f"{outcome}: {wanted.amount} of {wanted.meter} of tenant {wanted.tenant}, {wanted.key}")


def is_denied(core: Core, wanted: Wanted) -> bool:
    """Does what is held say that the tenant or the module is denied? Nobody is asked."""
    known, wall = core.known_list(wanted.tenant), core.clock.wall()
    if known is None:
        return core.known_denial(wanted.tenant, wanted.module or "", wall)
    if denial_of_tenant(known.tenant_status) is not None:
        return True
    return bool(wanted.module) and known.granted(wanted.module or "", wall) is None


def _event(wanted: Wanted, at: int) -> Any:
    event = pb.UsageEvent(
        key=wanted.key,
        tenant_id=wanted.tenant,
        meter=wanted.meter,
        amount=wanted.amount,
        module_code=wanted.module or "",
    )
    event.at.FromDatetime(instant(at))
    return event
