"""The core that both clients share: looks, keeping, and news."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..answers import UNSPECIFIED, Answer, EnabledModules, Resolved
from ..clock import Clock
from ..errors import Failure
from ..outage import OnOutage
from .gate import Gate, Pass
from .held import (
    SETTLING,
    Denial,
    Era,
    Flight,
    HeldResolved,
    Record,
    SettlingStream,
    Show,
    Stream,
    TenantList,
    by_outage_rule,
)
from .jobs import Schedule
from .outage import SERVER, STREAM, Outage
from .resolved import Key, ResolvedCache
from .sentences import UNKNOWN
from .settings import Settings

if TYPE_CHECKING:
    from .owed import Owed

_BY_RULE_DENIED = Answer(False, UNSPECIFIED, UNKNOWN, stale=True, by_outage_rule=True)
_BY_RULE_ALLOWED = Answer(True, UNSPECIFIED, stale=True, by_outage_rule=True)

MOST_SPARED = 16
"""Tenants that are looked at to make room for one: where all were asked for lately, the oldest goes all the same."""


class Core:
    """What is held, what of it is good, and what news does to it.

    Looks take no lock: whatever they look at does not change, but is replaced. All else is done under one, and takes no
    longer where more is held.
    """

    def __init__(
        self,
        settings: Settings,
        rule: OnOutage,
        clock: Clock,
        new_future: Callable[[], Any],
        endpoint: Callable[[], str],
    ) -> None:
        self.settings = settings
        self.rule = rule
        self.clock = clock
        self.hits = 0
        self.counts: Counter[str] = Counter()
        self.resolved = ResolvedCache(settings.max_resolved, clock)
        self._new_future = new_future
        self._lock = threading.Lock()
        self._tenants: OrderedDict[str, Record] = OrderedDict()
        self._floors: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """The revision that was announced last of a tenant, and in which history of the database."""
        self._history = 0
        self._catalogue = 0
        """The revision of the catalogue that was announced last in this history."""
        self._stream = Stream(Era())
        self._settled = 0
        """From then on (monotonic, ns) no server answers with what was before the last news without a revision."""
        self._is_open = False
        self._gate = Gate()
        self._outage = Outage(rule, endpoint)
        self.enforcement = UNSPECIFIED
        """Does the server enforce limits? As it was last heard, of whichever tenant."""
        self.refusal = ""
        """The status with which the server has refused this client a stream. Empty: it has not."""
        self.listeners: list[Callable[[], None]] = []
        """Called, without any lock, when something was heard of the server or its stream. They must not raise or wait."""
        self._last_event = 0
        """When the stream last said anything (monotonic, ns)."""
        self._flights: dict[object, Flight] = {}
        self.schedule = Schedule()
        self.owed: Owed | None = None
        """What the outage rules of meters allow. None: nothing."""

    # Looks.

    def held(self, tenant: str, module: str, wall: int, mono: int, min_revision: int = 0) -> Answer | None:
        """The answer that is held and good, if there is one. Most checks end here."""
        record = self._tenants.get(tenant)
        if record is None:
            return None
        held = record.list
        if (
            held is not None
            and (wall < held.valid_until if mono < held.stream.sure_until else held.is_good(wall, mono))
            and min_revision <= held.revision
        ):
            grant = held.grants.get(module)
            if grant is not None and grant.starts <= wall < grant.until:
                record.used = True
                self.hits += 1
                return grant.answer
        denial = record.denials.get(module)
        if denial is not None and denial.is_good(wall, mono) and min_revision <= denial.answer.revision:
            record.used = True
            self.hits += 1
            return denial.answer
        return None

    def good_list(self, tenant: str, min_revision: int) -> TenantList | None:
        """The tenant's list, if it is held and good."""
        record = self._tenants.get(tenant)
        held = record.list if record else None
        if record is None or held is None or held.revision < min_revision:
            return None
        record.used = True
        return held if held.is_good(self.clock.wall(), self.clock.mono()) else None

    def held_denial(self, tenant: str, module: str, min_revision: int) -> Answer | None:
        """The denial of a module, if it is held and good."""
        record = self._tenants.get(tenant)
        denial = record.denials.get(module) if record else None
        if record is None or denial is None or denial.answer.revision < min_revision:
            return None
        record.used = True
        return denial.answer if denial.is_good(self.clock.wall(), self.clock.mono()) else None

    # By the outage rule.

    def by_rule(self, tenant: str, module: str, min_revision: int) -> Answer:
        """What the outage rule answers."""
        self.count_by_rule()
        if self.rule.kind == "allow":
            return _BY_RULE_ALLOWED
        return self._stale_grant(tenant, module, min_revision) or _BY_RULE_DENIED

    def grant_in_outage(self, tenant: str, module: str, min_revision: int) -> Answer | None:
        """A grant that is held, while an outage is known: nobody waits who need not."""
        granted = self._stale_grant(tenant, module, min_revision) if self.is_outage_known() else None
        if granted is not None:
            self.count_by_rule()
        return granted

    def _stale_grant(self, tenant: str, module: str, min_revision: int) -> Answer | None:
        held = self.stale_list(tenant, min_revision)
        granted = held.granted(module, self.clock.wall()) if held else None
        return by_outage_rule(granted) if granted else None

    def list_by_rule(self, tenant: str, min_revision: int, show: Show) -> EnabledModules | None:
        """The list that the outage rule gives. None: it has none to give."""
        held = self.stale_list(tenant, min_revision)
        if held is None:
            return None
        self.count_by_rule()
        return held.enabled(self.clock.wall(), show, by_outage_rule=True)

    def resolved_by_rule(self, key: Key) -> Resolved | None:
        """Who it is, by the outage rule. None: no rule names whoever is not held, or whose token has expired."""
        held = self.resolved.whatever(key) if self.rule.kind != "deny" else None
        if held is None or self.clock.wall() >= held.valid_until:
            return None
        if self.rule.kind == "serve_stale" and self.clock.mono() - held.vouched() > self.rule.stale_ns:
            return None
        self.count_by_rule()
        return replace(held.resolved, stale=True, by_outage_rule=True)

    def count_by_rule(self) -> None:
        """The outage rule has answered."""
        with self._lock:
            self.counts["outage_answers"] += 1
            self._outage.answered_by_rule()

    def stale_list(self, tenant: str, min_revision: int) -> TenantList | None:
        """The tenant's list, good or not, as far as the outage rule may use it."""
        if self.rule.kind != "serve_stale":
            return None
        with self._lock:
            record = self._record(tenant)
            held = (record.list or record.outdated) if record else None
            if (
                record is None
                or held is None
                or held.revision < max(self._wanted(tenant, min_revision), record.announced)
            ):
                return None
            return held if self.clock.mono() - held.vouched() <= self.rule.stale_ns else None

    def last_list(self, tenant: str) -> TenantList | None:
        """The tenant's list, however old."""
        record = self._tenants.get(tenant)
        return (record.list or record.outdated) if record is not None else None

    def known_list(self, tenant: str) -> TenantList | None:
        """The tenant's list, however old, unless it is known that another one has replaced it."""
        with self._lock:
            record = self._record(tenant)
            held = (record.list or record.outdated) if record else None
            is_replaced = record is None or held is None or held.revision < max(self._floor(tenant), record.announced)
            return None if is_replaced else held

    def known_denial(self, tenant: str, module: str, wall: int) -> bool:
        """Is a denial of the tenant or the module held that time has not ended?"""
        with self._lock:
            record = self._record(tenant)
            return record is not None and any(
                wall < denial.valid_until and (code == module or denial.answer.reason.startswith("TENANT_"))
                for code, denial in record.denials.items()
            )

    # Questions under way.

    def new_future(self) -> Any:
        """The driver's, for those who wait."""
        return self._new_future()

    def board(self, tenant: str, question: object, min_revision: int) -> tuple[Record, Flight, bool, int]:
        """Joins those who wait for the same answer, or leads them. Who asked under another stream may get another.

        Gives what is held of the tenant, the flight, whether to lead it, and the `min_revision` to ask with.
        """
        with self._lock:
            record = self._record(tenant)
            if record is None:
                record = self._tenants[tenant] = Record(self.era)
                self._evict()
            wanted = self._wanted(tenant, min_revision)
            record.floor = self._floor(tenant)
            flight, leads = self._board(record.flights, (question, wanted, self._stream))
            return record, flight, leads, wanted

    def board_unnamed(self, question: object) -> tuple[Flight, bool]:
        """The same where it is the question which tenant it is about."""
        with self._lock:
            return self._board(self._flights, (question, self._stream))

    def land(self, tenant: str, flight: Flight) -> None:
        """The flight has ended, however it did."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            record = self._tenants.get(tenant)
            if record is None:
                return
            if record.flights.get(flight.key) is flight:
                del record.flights[flight.key]
            if record.is_empty:
                del self._tenants[tenant]

    def _board(self, flights: dict[object, Flight], key: object) -> tuple[Flight, bool]:
        flight = flights.get(key)
        if flight is not None:
            self.counts["joined"] += 1
            return flight, False
        flight = flights[key] = Flight(key, self._new_future())
        return flight, True

    def _record(self, tenant: str) -> Record | None:
        record = self._tenants.get(tenant)
        return record.in_era(self.era) if record is not None else None

    def _wanted(self, tenant: str, min_revision: int) -> int:
        return max(min_revision, self._floor(tenant))

    def _floor(self, tenant: str) -> int:
        history, revision = self._floors.get(tenant, (0, 0))
        return revision if history == self._history else 0

    # Keeping.

    @property
    def stream(self) -> Stream:
        """The stream that is open now, or the lack of one."""
        return self._stream

    def begin(self) -> tuple[int, Stream | SettlingStream]:
        """When a question is asked (monotonic, ns), and under which stream: it takes them along."""
        # The stream first: news that comes now is then known to be later than the question.
        stream, asked = self._stream, self.clock.mono()
        return asked, stream if asked >= self._settled else SettlingStream(stream)

    @property
    def era(self) -> Era:
        """The present one."""
        return self._stream.era

    def keep_list(self, tenant: str, record: Record, flight: Flight, answer: TenantList, catalogue: int) -> None:
        """`catalogue`: the revision of it that the answer rests on. 0: on none, or it is not known."""
        with self._lock:
            if self._record(tenant) is record and flight.is_news_free and self._is_current(catalogue):
                record.list, record.outdated, record.denials, record.announced = answer, None, {}, 0

    def keep_denial(
        self, tenant: str, record: Record, flight: Flight, module: str, denial: Denial, catalogue: int
    ) -> None:
        """`catalogue`: as above."""
        with self._lock:
            if self._record(tenant) is record and flight.is_news_free and self._is_current(catalogue):
                while len(record.denials) >= self.settings.max_denials:
                    del record.denials[next(iter(record.denials))]
                record.denials[module] = denial

    def keep_resolved(self, flight: Flight, key: Key, answer: HeldResolved) -> None:
        with self._lock:
            tenant = answer.resolved.tenant.id
            # Another server may have given an older answer than was announced, which has not received the change.
            is_old = answer.resolved.revision < self._floor(tenant)
            if flight.is_news_free and tenant not in flight.changed and not is_old:
                self.resolved.keep(key, answer)

    def _is_current(self, catalogue: int) -> bool:
        """Another server may have answered, which has not received the last change of the catalogue."""
        return catalogue == 0 or catalogue >= self._catalogue

    def refused(self, key: Key) -> None:
        """The server refuses whoever carries this: no outage rule is to name them."""
        with self._lock:
            self.resolved.refused(key)

    def _evict(self) -> None:
        """Of the tenants that were not asked for lately, the oldest goes."""
        while len(self._tenants) > self.settings.max_tenants:
            for _ in range(MOST_SPARED):
                tenant, record = self._tenants.popitem(last=False)
                if not record.used:
                    break
                record.used = False
                self._tenants[tenant] = record
            else:
                self._tenants.popitem(last=False)
            self.counts["evicted"] += 1

    # Outages.

    def enter(self, record: Record | None, mono: int) -> Pass:
        """May the server be asked now?"""
        with self._lock:
            gate = record.in_era(self.era).gate if record else None
            own = gate.enter(mono, self.settings.deadline_ns) if gate else Pass.FREE
            if own is Pass.NO:
                return own
            if own is Pass.PROBE_BESIDE:
                # The server is there, and says so soon. There may be many tenants that it says it of.
                own = Pass.PROBE
            general = self._gate.enter(mono, self.settings.deadline_ns)
            return own if general is Pass.FREE else general

    def is_outage_known(self) -> bool:
        """The server did not answer and its stream says nothing to the contrary, or that is so silent that the server
        will not answer."""
        mono = self.clock.mono()
        if self._is_open and mono - self._last_event >= self._stream.window:
            return True
        return not self._gate.is_open and mono >= self._stream.sure_until

    @property
    def last_event(self) -> int:
        """When the stream last said anything (monotonic, ns)."""
        return self._last_event

    def end(self) -> None:
        """The client ends."""
        self._outage.is_over = True

    def say(self) -> None:
        """Logs what is to be said of an outage, and tells who listens. Without any lock."""
        self._outage.say()
        for listener in self.listeners:
            listener()

    def sure_for(self) -> int:
        """For how long the stream can be relied on if nothing more is heard (ns). Not above 0: it cannot."""
        return self._stream.sure_until - self.clock.mono()

    def begin_probe(self) -> bool:
        """Whether to ask in the background if the server is back: one does at a time."""
        with self._lock:
            begins = not self._outage.probing and self._gate.is_due(self.clock.mono())
            self._outage.probing = self._outage.probing or begins
            return begins

    def end_probe(self) -> None:
        with self._lock:
            self._outage.probing = False

    def answered(self, record: Record | None) -> None:
        with self._lock:
            self._server_answered()
            if record is not None:
                record.gate = None
        self.say()

    def failed(self, record: Record | None, failure: Failure, passed: Pass, asked_under: Stream) -> None:
        """The server did not answer, or not about this tenant. Where a stream has opened since, it is back already."""
        with self._lock:
            mono = self.clock.mono()
            if not failure.is_of_server:
                if self._is_open and self._stream is not asked_under:
                    return
                self._gate.failed(mono, passed)
                self._outage.lost(SERVER, failure.message or failure.code, mono)
            else:
                self._server_answered()
                # Of this tenant it is asked again as seldom: others are not concerned.
                if record is not None:
                    record.gate = record.gate or Gate()
                    record.gate.failed(mono, passed)
        self.say()

    def _server_answered(self) -> None:
        self._gate.answered()
        self._outage.back(SERVER, self.clock.mono())

    # News. Whoever brings it lets `say` follow.

    def opened(self, interval: int) -> None:
        """A stream is open: what is asked for from now on is good until news of it comes. `interval`: how often
        heartbeats come (ns), 0 where the server does not say."""
        with self._lock:
            self.refusal = ""
            self._stream.ended()
            self._stream, self._is_open = Stream(self.era, interval, None if self._is_open else self._stream), True
            # It vouches for all that was committed before, perhaps in another history of the database.
            self._begin_history()
            self._last_event = self.clock.mono()
            self._server_answered()
            self._outage.back(STREAM, self._last_event)
            self.counts["streams"] += 1

    def taken_over(self, beat: int, interval: int) -> None:
        """Another stream goes on in the place of the one that was open, and nothing was missed. `beat`: its own,
        0 where its server does not hear."""
        with self._lock:
            self._last_event = self.clock.mono()
            self._stream.interval = interval
            if beat:
                self._stream.beaten(beat)
            else:
                self._stream.missed(self._last_event)
            self.counts["streams"] += 1

    def heartbeat(self, is_good: bool) -> None:
        """A server that does not hear from its database is not trusted to tell of changes."""
        with self._lock:
            self._last_event = self.clock.mono()
            if is_good:
                self._stream.beaten(self._last_event)
            else:
                self._stream.missed(self._last_event)

    def tenant_changed(self, tenant: str, revision: int) -> None:
        """Outdated is what is held of this tenant. `revision`: 0 where it could not be read."""
        with self._lock:
            self.counts["news"] += 1
            self._last_event = self.clock.mono()
            if revision == 0:
                self._settle()
            self._raise_floor(tenant, revision)
            self.resolved.forget(tenant)
            for flight in self._flights.values():
                flight.changed.add(tenant)
            record = self._record(tenant)
            if record is not None:
                record.make_outdated(revision)

    def catalogue_changed(self, revision: int) -> None:
        """Outdated is everything. `revision`: that of the catalogue from now on, 0 where it could not be read."""
        with self._lock:
            self._catalogue = max(self._catalogue, revision)
            if revision == 0:
                self._settle()
            self._all_changed()

    def reset(self) -> None:
        """Outdated is everything, and revisions may have been given twice."""
        with self._lock:
            self._begin_history()
            self._all_changed()

    def _settle(self) -> None:
        self._settled = self.clock.mono() + SETTLING

    def _begin_history(self) -> None:
        self._settle()
        self._history += 1
        self._catalogue = 0

    def _all_changed(self) -> None:
        before = self._stream
        self._stream = Stream(Era(), before.interval)
        self._stream.beat, self._stream.sure_until = before.beat, before.sure_until
        self._stream.doubted = before.doubted
        before.era.is_outdated = True
        before.ended()
        self.counts["news"] += 1
        self._last_event = self.clock.mono()
        for flight in self._flights.values():
            flight.is_news_free = False
        self._flights = {}

    def stream_ended(self, cause: str, *, refusal: str = "") -> None:
        """What was asked for under the stream is good for its `max_age` only, from now on. `refusal`: the status with
        which the server has refused this client a stream, which is no outage."""
        with self._lock:
            self._stream.ended()
            self._stream, self._is_open = Stream(self.era), False
            self.refusal = refusal
            if refusal:
                self._outage.refused(cause, self.clock.mono())
            else:
                self._outage.lost(STREAM, cause, self.clock.mono())

    def _raise_floor(self, tenant: str, revision: int) -> None:
        """Kept for tenants of whom nothing is held, too: a server that has not heard yet may be asked next."""
        if revision > 0:
            floor = max(revision, self._floor(tenant))
            self._floors.pop(tenant, None)
            self._floors[tenant] = (self._history, floor)
            while len(self._floors) > self.settings.max_tenants:
                self._floors.popitem(last=False)

    # The rest.

    def count(self, name: str, times: int = 1) -> None:
        with self._lock:
            self.counts[name] += times

    def stats(self) -> dict[str, int]:
        with self._lock:
            return {
                **self.counts,
                "hits": self.hits,
                "tenants_held": len(self._tenants),
                "resolved_held": len(self.resolved),
                "outage": int(self._outage.is_any),
                "watching": int(self.sure_for() > 0),
                "stream_open": int(self._is_open),
            }

    def abandon(self) -> None:
        """Forgets everything, without the lock: another process may have held it when this one was forked off."""
        self._lock = threading.Lock()
        self.schedule = Schedule()
        self._outage = Outage(self.rule, str)
        self._outage.is_over = True
        self._tenants, self._floors, self._flights = OrderedDict(), OrderedDict(), {}
        self.resolved.clear()
        self._stream, self._is_open, self._gate = Stream(Era()), False, Gate()
