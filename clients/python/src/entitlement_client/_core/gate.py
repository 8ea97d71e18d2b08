"""How often a server that does not answer is asked again."""

from __future__ import annotations

import random
from enum import Enum

from ..clock import NS

FIRST_PAUSE = NS // 10
LONGEST_PAUSE = NS


KNOWN = 5 * NS
"""For how long after a failure nobody waits for the next try."""


class Pass(Enum):
    """What a caller may do."""

    FREE = 1
    """Ask: no outage is known."""
    PROBE = 2
    """Ask once, for everybody, and wait: the outage may have ended long ago."""
    PROBE_BESIDE = 3
    """The same in the background: the outage was met a moment ago, and nobody waits for it."""
    NO = 4
    """Not ask: the outage rule answers at once."""


class Gate:
    """Open until an outage is met; then one caller after each pause may try, and the others may not.

    Called under the core's lock.
    """

    __slots__ = ("_failed", "_next_try", "_pause")

    def __init__(self) -> None:
        self._pause = 0
        self._next_try = 0
        self._failed = 0

    @property
    def is_open(self) -> bool:
        return self._pause == 0

    def enter(self, mono: int, probe_ns: int) -> Pass:
        """May somebody ask now? Who probes keeps others out for as long as a call may take."""
        if self._pause == 0:
            return Pass.FREE
        if mono < self._next_try:
            return Pass.NO
        self._next_try = mono + probe_ns
        return Pass.PROBE_BESIDE if mono < self._failed + KNOWN else Pass.PROBE

    def is_due(self, mono: int) -> bool:
        """Would somebody be let in?"""
        return self._pause == 0 or mono >= self._next_try

    def answered(self) -> None:
        """The server answered, whatever it said."""
        self._pause = 0

    def failed(self, mono: int, passed: Pass) -> None:
        """The server did not answer, after all tries. Of those who were free to ask, only the first one counts."""
        if passed is Pass.FREE and not self.is_open:
            return
        self._failed = mono
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        self._next_try = mono + int(self._pause * random.uniform(0.8, 1.0))  # noqa: S311
