"""The keys of a meter of the double, whose sums are its counters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

COUNTED, HELD, RELEASED = "counted", "held", "released"

LATE = timedelta(hours=1)
LEAST_LEFT = 32
"""Of fewer nothing is leased."""


@dataclass
class Row:
    """What a key took."""

    period: str
    """The month that it was taken from, "2026-11" (UTC). Empty: a level."""
    asked: int
    amount: int
    used: int
    """What of it is used: all, none where it is held, and of a lease what is settled."""
    state: str
    until: datetime | None
    """When a hold or a lease runs out."""
    changed: datetime
    at: datetime
    """When it was used."""
    module: str = ""
    holder: str = ""
    """Whose lease it is. Empty: it is none."""
    unsettled: str = ""
    """What becomes of what is not settled of a lease: "SPENT" or "RETURNED". Empty: all of it is settled."""
    corrects: str = ""
    late: int = 0
    """What of `used` was recorded, or taken back, more than an hour after it was used."""

    @property
    def held(self) -> int:
        return self.amount - self.used if self.state == HELD else 0

    @property
    def is_free(self) -> bool:
        """May another thing take its key?"""
        return self.state == RELEASED and not self.corrects

    def took(self, amount: int) -> bool:
        """Is it the key of a thing that took so much?"""
        return self.asked == amount and not self.corrects and not self.holder

    def change(self, now: datetime, state: str, used: int) -> None:
        if now - self.at > LATE:
            self.late += used - self.used
        self.state, self.used, self.changed = state, used, now

    def run_out(self, now: datetime) -> None:
        if not self.holder:
            self.change(now, RELEASED, 0)
        else:
            self.change(now, COUNTED, self.amount if self.unsettled == "SPENT" else self.used)


@dataclass(frozen=True)
class Counter:
    """What there is of a meter."""

    used: int
    held: int

    @property
    def taken(self) -> int:
        return self.used + self.held


@dataclass
class Meter:
    """The keys of one meter of a tenant. What was counted without a key has one that nobody can send."""

    rows: dict[str, Row] = field(default_factory=dict)
    _without_key: int = 0

    def run_out(self, now: datetime) -> None:
        """Gives back, or counts, what has run out."""
        for row in self.rows.values():
            if row.state == HELD and row.until is not None and row.until <= now:
                row.run_out(now)

    def counter(self, period: str) -> Counter:
        rows = [row for row in self.rows.values() if row.period == period]
        return Counter(sum(row.used for row in rows), sum(row.held for row in rows))

    def taken(self, key: str) -> Row | None:
        """What another thing may not take."""
        row = self.rows.get(key)
        return None if row is None or row.is_free else row

    def reserve(self, request: Any, most: int | None, period: str, now: datetime) -> tuple[int, bool] | None:
        """How much was taken, 0 for nothing, and whether the key was here before. `most`: what may be taken. None: the
        key took another amount."""
        row = self.taken(request.key)
        is_held = request.HasField("hold_for")
        if row is not None:
            if not row.took(request.amount):
                return None
            if not is_held and row.state == HELD:
                row.change(now, COUNTED, row.amount)
            return row.amount, True
        amount = request.amount if most is None or not request.partial else min(request.amount, most)
        if amount <= 0 or (most is not None and amount > most):
            return 0, False
        until = now + request.hold_for.ToTimedelta() if is_held else None
        state, used = (HELD, 0) if is_held else (COUNTED, amount)
        row = Row(period, request.amount, amount, used, state, until, now, now, request.module_code)
        self.rows[request.key] = row
        return amount, False

    def release(self, key: str, only_held: bool, now: datetime) -> int:
        row = self.taken(key)
        if row is None or row.holder or row.state == RELEASED or (only_held and row.state != HELD):
            return 0
        released = row.used + row.held
        row.change(now, RELEASED, 0)
        return released

    def reconcile(self, request: Any, as_of: datetime, now: datetime) -> tuple[int, int]:
        """How many were not counted and are now, and how many were and are no longer there."""
        there, counted, released = set(request.keys), 0, 0
        for key, row in self.rows.items():
            is_meant = key > request.after_key and (not request.up_to_key or key <= request.up_to_key)
            is_gone = key not in there and row.state == COUNTED and row.changed <= as_of
            if is_meant and is_gone:
                row.change(now, RELEASED, 0)
                released += 1
        for key in there:
            counted += self._count_if_missing(key, as_of, now)
        return counted, released

    def _count_if_missing(self, key: str, as_of: datetime, now: datetime) -> bool:
        row = self.rows.get(key)
        if row is not None and row.state == HELD:
            row.change(now, COUNTED, row.amount)
            return True
        if row is None or (row.is_free and row.changed <= as_of):
            self.rows[key] = Row("", 1, 1, 1, COUNTED, None, now, now)
            return True
        return False

    def record(self, event: Any, at: datetime, now: datetime) -> str:
        """Writes down what was used, whatever the limit. The outcome."""
        key = event.key
        if not key:
            self._without_key += 1
            key = f" {self._without_key}"
        if event.corrects_key:
            return self._correct(event, now)
        row = self.taken(key)
        if row is None:
            row = Row(f"{at:%Y-%m}", event.amount, event.amount, 0, COUNTED, None, now, at, event.module_code)
            row.change(now, COUNTED, event.amount)
            self.rows[key] = row
            return "COUNTED"
        if row.corrects or row.holder:
            return "CONFLICT"
        if row.state == HELD:
            # Another part of it may have been used than was granted.
            is_same = row.amount == event.amount
            row.asked = row.amount = event.amount
            row.change(now, COUNTED, event.amount)
            return "REPEATED" if is_same else "COUNTED"
        return "REPEATED" if event.amount in (row.asked, row.amount) else "CONFLICT"

    def _correct(self, event: Any, now: datetime) -> str:
        amount, row = -event.amount, self.taken(event.key)
        if row is not None:
            return "REPEATED" if (row.asked, row.corrects) == (amount, event.corrects_key) else "CONFLICT"
        corrected = self.taken(event.corrects_key)
        is_good = corrected is not None and corrected.state == COUNTED and not corrected.holder
        if corrected is None or not is_good or corrected.used < amount or corrected.module != event.module_code:
            return "NOTHING_TO_CORRECT"
        corrected.change(now, COUNTED, corrected.used - amount)
        self.rows[event.key] = replace(
            corrected, asked=amount, amount=amount, used=0, state=RELEASED, corrects=event.corrects_key, late=0
        )
        return "COUNTED"

    def spans(self, request: Any) -> list[tuple[datetime, datetime, str, list[Row]]]:
        """When each begins and ends, for which module, and what was used in it, in order. Days and months are those of
        UTC."""
        word = {1: "QUARTER_HOUR", 2: "HOUR", 3: "DAY", 4: "MONTH"}[request.granularity]
        first = _begins(word, request.start_time.ToDatetime(timezone.utc))
        last = _begins(word, request.end_time.ToDatetime(timezone.utc) - timedelta(microseconds=1))
        found: dict[tuple[datetime, str], list[Row]] = {}
        for row in self.rows.values():
            begins = _begins(word, row.at)
            is_meant = first <= begins <= last and request.module_code in ("", row.module)
            if (row.used or row.late) and is_meant:
                found.setdefault((begins, row.module if request.by_module else ""), []).append(row)
        return [
            (begins, _ends(word, begins), module, rows)
            for (begins, module), rows in sorted(found.items(), key=lambda item: item[0])
            if any(row.used for row in rows)
        ]


def _begins(word: str, at: datetime) -> datetime:
    """The span's beginning that an instant is in."""
    at = at.replace(second=0, microsecond=0)
    if word == "QUARTER_HOUR":
        return at.replace(minute=at.minute // 15 * 15)
    at = at.replace(minute=0)
    if word == "HOUR":
        return at
    return at.replace(hour=0) if word == "DAY" else at.replace(hour=0, day=1)


def _ends(word: str, begins: datetime) -> datetime:
    if word == "MONTH":
        return begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
    return begins + {"QUARTER_HOUR": timedelta(minutes=15), "HOUR": timedelta(hours=1), "DAY": timedelta(days=1)}[word]
