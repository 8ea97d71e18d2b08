"""What is held of one tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..answers import Answer, EnabledModule, EnabledModules, Resolved
from ..clock import NS, instant
from .gate import Gate
from .terms import ENDLESS, Terms, Told

ALWAYS = -(1 << 70)
"""Before every instant: a right that has always run."""
NEVER = ENDLESS
"""After every instant: a right that does not end."""

HEARTBEAT_WINDOW = 30 * NS
"""A stream without a good heartbeat for this long is not relied on, where its server does not say how often they come."""
SETTLING = 4 * NS
"""A server that has not received a change yet gives unmarked answers for at most this long: then it either has, or knows
that it does not hear."""
INTERVALS = 4
"""Where it does: a stream without one for so many intervals."""


class Era:
    """The time between two resets. What was asked for in one is outdated with it, however much it is, at once."""

    __slots__ = ("is_outdated",)

    def __init__(self) -> None:
        self.is_outdated = False


class Stream:
    """One WatchChanges stream in one era, or the lack of one. Lists point at the one under which they were asked for."""

    __slots__ = ("beat", "before", "doubted", "era", "interval", "sure_until")

    def __init__(self, era: Era, interval: int = 0, before: Stream | None = None) -> None:
        self.era = era
        self.interval = interval
        """How often heartbeats come (ns). 0: its server does not say."""
        self.before = before
        """The lack of a stream that it has ended: what was asked for then is in doubt when this stream is."""
        self.doubted = NEVER
        """From when on what was asked for under it before is in doubt (monotonic, ns): since the server has said that it
        may miss changes, or when it will have been silent for too long. What the next stream says does not change it."""
        self.sure_until = 0
        """Until then (monotonic, ns) what was asked for under this stream is good. 0: it is not open, or not sure."""
        self.beat = 0
        """The last good heartbeat (monotonic, ns). 0: none has come."""

    @property
    def window(self) -> int:
        """For how long it is relied on without a heartbeat (ns)."""
        return INTERVALS * self.interval or HEARTBEAT_WINDOW

    def beaten(self, mono: int) -> None:
        """A heartbeat with a small lag came."""
        self.beat = mono
        self.sure_until = mono + self.window
        self._doubt(self.sure_until if self.interval else NEVER)

    def missed(self, mono: int) -> None:
        """A heartbeat came that says that changes may be missed."""
        self.sure_until = 0
        if self.interval:
            self._doubt(min(self.doubted, mono))

    def ended(self) -> None:
        self.sure_until = 0

    def is_doubted(self, asked: int, mono: int) -> bool:
        """Is what was asked for then in doubt, however long the server has allowed it to be held?"""
        return asked < self.doubted <= mono

    def _doubt(self, mono: int) -> None:
        self.doubted = mono
        if self.before is not None:
            self.before.doubted = mono


class SettlingStream:
    """A stream that has told something without a revision, so that of an answer nobody can tell whether it is from
    before: what is asked for meanwhile is good for its `max_age` only, and nobody vouches for it afterwards."""

    __slots__ = ("_of",)

    sure_until = 0
    beat = 0

    def __init__(self, of: Stream) -> None:
        self._of = of

    @property
    def era(self) -> Era:
        return self._of.era

    def is_doubted(self, asked: int, mono: int) -> bool:
        return self._of.is_doubted(asked, mono)


class Grant:
    """One module of a list. Granted at an instant when `starts <= instant < until`."""

    __slots__ = ("answer", "entry", "starts", "until")

    def __init__(self, starts: int, until: int, answer: Answer, entry: bytes) -> None:
        self.starts = starts
        self.until = until
        self.answer = answer
        self.entry = entry
        """The rest of what the server says, as it came. It is seldom wanted, and Python's garbage collector, which stops
        everything while it goes through all that is held, need not look into bytes."""


Show = Callable[[bytes], EnabledModule]
"""Makes a module of a grant's entry."""


@dataclass(slots=True, eq=False)
class TenantList:
    """An answer of ListEnabledModules. Nothing in it changes once it is held, but `vouched_until` and `terms`."""

    grants: Mapping[str, Grant]
    tenant_status: str
    revision: int
    as_of: Any
    valid_until: int
    """The server's wall clock, ns: from then on it must be asked for anew."""
    stale: bool
    asked: int
    """Monotonic, ns: when it was asked for."""
    kept_until: int
    """Monotonic, ns: good until then without any stream."""
    answered: int
    """Monotonic, ns: when the answer came."""
    stream: Stream | SettlingStream
    vouched_until: int | None = None
    """Monotonic, ns: where news has made it outdated, when the server last vouched for it."""
    terms: Terms | Told | None = None
    """What it says of features and limits, and once somebody has asked, what was answered. None: its server is older than
    they are."""

    def is_good(self, wall: int, mono: int) -> bool:
        stream = self.stream
        return wall < self.valid_until and (
            mono < stream.sure_until
            or (mono < self.kept_until and not stream.era.is_outdated and not stream.is_doubted(self.asked, mono))
        )

    def granted(self, module: str, wall: int) -> Answer | None:
        """The grant at this instant, if the list has one. Whether the list is still good is another question."""
        grant = self.grants.get(module)
        return grant.answer if grant is not None and grant.starts <= wall < grant.until else None

    def vouched(self) -> int:
        """When the server last vouched for it (monotonic, ns)."""
        return self.vouched_until if self.vouched_until is not None else max(self.answered, self.stream.beat)

    def enabled(self, wall: int, show: Show, *, by_outage_rule: bool = False) -> EnabledModules:
        """What the tenant may use at this instant."""
        running = [grant for grant in self.grants.values() if grant.starts <= wall < grant.until]
        return EnabledModules(
            modules=tuple(show(grant.entry) for grant in running),
            tenant_status=self.tenant_status,
            revision=self.revision,
            as_of=self.as_of,
            valid_until=instant(self.valid_until) if self.valid_until < NEVER else None,
            stale=self.stale or by_outage_rule,
            by_outage_rule=by_outage_rule,
        )


def by_outage_rule(answer: Answer) -> Answer:
    """A held grant, as the outage rule gives it."""
    return replace(answer, stale=True, by_outage_rule=True)


class Denial:
    """A held denial of one module."""

    __slots__ = ("answer", "asked", "kept_until", "stream", "valid_until")

    def __init__(
        self, answer: Answer, asked: int, kept_until: int, valid_until: int, stream: Stream | SettlingStream
    ) -> None:
        self.answer = answer
        self.asked = asked
        self.kept_until = kept_until
        self.valid_until = valid_until
        self.stream = stream

    def is_good(self, wall: int, mono: int) -> bool:
        return (
            mono < self.kept_until
            and wall < self.valid_until
            and not self.stream.era.is_outdated
            and not self.stream.is_doubted(self.asked, mono)
        )


@dataclass(slots=True, eq=False)
class HeldResolved:
    """A held answer of ResolveTenant. One whose tenant has changed is not held any more."""

    resolved: Resolved
    asked: int
    """Monotonic, ns: when it was asked for."""
    kept_until: int
    """Monotonic, ns: good until then without any stream."""
    valid_until: int
    """Wall clock, ns: with a token, the token's own end."""
    answered: int
    """Monotonic, ns: when the answer came."""
    stream: Stream | SettlingStream

    def vouched(self) -> int:
        """When the server last vouched for it (monotonic, ns)."""
        return max(self.answered, self.stream.beat)


class Flight:
    """A question under way, for which everybody waits who has the same one."""

    __slots__ = ("changed", "future", "is_news_free", "key")

    def __init__(self, key: object, future: Any) -> None:
        self.key = key
        self.future = future
        """The driver's: of threads, or of an event loop."""
        self.is_news_free = True
        """No news has come since it was asked: its answer may be kept."""
        self.changed: set[str] = set()
        """While it is not known whose question it is: the tenants of which news came."""


@dataclass(slots=True, eq=False)
class Record:
    """All that is held of one tenant. Changed under the core's lock, read without it."""

    era: Era
    """The one in which it was last looked after: what a reset made outdated is cleared away when it is next needed."""
    floor: int = 0
    """The revision that was announced last."""
    used: bool = True
    """Asked for since it was last considered for eviction."""
    list: TenantList | None = None
    announced: int = 0
    """The revision that made the list outdated. 0: none was announced."""
    outdated: TenantList | None = None
    """The last list, once news has made it outdated: only an outage rule may look at it."""
    denials: dict[str, Denial] = field(default_factory=dict)
    flights: dict[object, Flight] = field(default_factory=dict)
    """Questions under way, by what was asked."""
    gate: Gate | None = None
    """Where the server answers, but not about this tenant."""

    @property
    def is_empty(self) -> bool:
        return self.list is None and self.outdated is None and not self.denials and not self.flights and not self.gate

    def in_era(self, era: Era) -> Record:
        """Itself, as a reset has left it if there was one."""
        if self.era is not era:
            self.era = era
            self.make_outdated()
        return self

    def make_outdated(self, revision: int = 0) -> None:
        """News came: no answer to a question under way will be kept, and what is held is not good any more.

        Unless it has this revision already (0: nobody knows): an answer can be faster than news, and news can come twice.
        """
        if revision > 0 and not (self.list is not None and revision <= self.list.revision):
            self.announced = max(self.announced, revision)
        if self.list is not None and not 0 < revision <= self.list.revision:
            self.list.vouched_until = self.list.vouched()
            self.outdated, self.list = self.list, None
        self.denials = {
            module: denial for module, denial in self.denials.items() if 0 < revision <= denial.answer.revision
        }
        for flight in self.flights.values():
            flight.is_news_free = False
        self.flights = {}
        self.gate = None
