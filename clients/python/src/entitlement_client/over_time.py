"""Usage over time: what is written down, and what was used in spans of time. None of it can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from .answers import Reservation

GRANULARITIES = ("QUARTER_HOUR", "HOUR", "DAY", "MONTH")
Granularity = Literal["QUARTER_HOUR", "HOUR", "DAY", "MONTH"]
"""How long spans are. Days and months are those of the tenant's time zone. Quarters and hours are kept for 90 days, days
and months for ever."""

Unsettled = Literal["SPENT", "RETURNED"]
"""What becomes of what is not settled of a lease when that runs out: it counts as used, or is free again."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Something that was used, of a monthly meter."""

    tenant: str | UUID
    """A tenant's UUID."""
    meter: str
    """The key of a monthly limit."""
    key: str
    """The name of what is counted, such as the order's own id, as in `reserve`: the same key is counted once. Where it
    holds something, that is taken for good."""
    amount: int = 1
    """How much, 1 to 10^12; of a correction, how much is taken back."""
    module: str = ""
    """Whose use it is: the code of a module, whether the tenant has it or not. Empty: the tenant's own."""
    at: datetime | None = None
    """When it was used: an instant with a time zone, at most 5 minutes ahead, and as far back as the server accepts (35
    days). None: now."""
    corrects: str = ""
    """The key of which so much is taken back, from the day and the month that it was counted in. Empty: it is no
    correction. A correction has a key of its own, so that it is made once, and the caller needs the service
    "usage-corrections"."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of an event. It is true or false as `counted` is."""

    event: UsageEvent
    outcome: str
    """UsageOutcome without its prefix: "COUNTED", "REPEATED" (it was counted before), "CONFLICT" (its key was counted
    with another amount), "TOO_LATE", "TOO_EARLY", "UNKNOWN_TENANT", "UNKNOWN_METER" (or it is a level), "UNKNOWN_MODULE",
    "INVALID", "NOT_ALLOWED" or "NOTHING_TO_CORRECT"."""

    @property
    def counted(self) -> bool:
        """It is counted, now or before. Otherwise sending it again changes nothing, until something else has changed."""
        return self.outcome in COUNTED

    def __bool__(self) -> bool:
        return self.counted


COUNTED = ("COUNTED", "REPEATED")


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """What was used in one span of time."""

    start: datetime
    """When it begins (UTC)."""
    end: datetime
    """When it ends (UTC), exclusive."""
    module: str
    """For which module. Empty: none was named, or all together."""
    amount: int
    """How much."""
    events: int
    """How many things, or messages of counters."""
    late: int
    """What of `amount` was recorded, or taken back, more than an hour after it was used."""
    recorded_at: datetime | None
    """When any of it last changed (UTC)."""


@dataclass(frozen=True, slots=True)
class UsedOverTime:
    """What was used, in order, without spans in which nothing was. Iterates over the spans."""

    spans: tuple[UsageSpan, ...] = ()
    total: int = 0
    """The sum of all."""
    late: int = 0
    """What of it came late."""

    def __iter__(self) -> Iterator[UsageSpan]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True, slots=True)
class Taken:
    """Was so much taken of a lease? It is true or false as `granted` is."""

    granted: bool
    """The answer."""
    reservation: Reservation | None = None
    """Where it was reserved by itself, for there was no slice: the answer to that, whose refusal is the refusal. None: it
    was taken of the slice that is held, and nobody was asked."""

    def __bool__(self) -> bool:
        return self.granted
