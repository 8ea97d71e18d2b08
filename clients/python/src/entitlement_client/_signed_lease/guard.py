"""What time it is, at the least: so that a clock which is set back makes no lease last longer.

Instants and spans are nanoseconds. `wall` is what the clock shows that people set, `mono` one that nobody sets.
"""

from __future__ import annotations

import threading


class Guard:
    """Judges instants by the clock, and by what has been seen before."""

    def __init__(self, wall: int, mono: int, skew: int) -> None:
        self._skew = skew
        self._lock = threading.Lock()
        self._floor = (wall, mono)
        """An instant that has come, and what the other clock showed then: by all that was seen, the clock at the
        beginning included."""
        self._latest: tuple[int, int] | None = None
        """The same by leases alone: whatever the clock shows, it is believed only as far as a lease reaches. So a clock
        that was ahead for a while refuses no lease for longer than the one lasts that was verified by it."""

    def begin_at(self, at: int, mono: int) -> None:
        """This instant has come: another verifier has seen it."""
        with self._lock:
            self._floor = _later(self._floor, at, mono)
            self._latest = (at, mono)

    def latest(self, mono: int) -> int | None:
        """The latest instant that has passed, by leases and the time since."""
        with self._lock:
            return None if self._latest is None else _by(self._latest, mono)

    def is_ahead(self, at: int, wall: int, mono: int) -> bool:
        """Does an instant lie ahead, further than clocks are apart?"""
        return at > self._time(wall, mono) + self._skew

    def ended(self, end: int, wall: int, mono: int) -> str | None:
        """Has an end come? Then why: the clock alone may say that it has not."""
        last = end + self._skew
        if self._time(wall, mono) < last:
            return None
        return "CLOCK_SET_BACK" if wall < last else "EXPIRED"

    def observe(self, issued_at: int, expires_at: int, wall: int, mono: int) -> None:
        """A lease was looked at that is good, or was. When it was issued has come, and so has what the clock shows, as
        far as the lease reaches: that is enough for it to be over once it is over."""
        with self._lock:
            time = max(_by(self._floor, mono), wall)
            seen = max(min(time, expires_at + self._skew), issued_at)
            self._floor = _later(self._floor, seen, mono)
            self._latest = _later(self._latest or (seen, mono), seen, mono)

    def _time(self, wall: int, mono: int) -> int:
        with self._lock:
            return max(_by(self._floor, mono), wall)


def _by(mark: tuple[int, int], mono: int) -> int:
    """What time it is by now, at the least."""
    at, then = mark
    return at + max(mono - then, 0)


def _later(mark: tuple[int, int], at: int, mono: int) -> tuple[int, int]:
    return max(_by(mark, mono), at), mono
