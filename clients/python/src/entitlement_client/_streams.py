"""From one stream of changes to the next without missing a change, so that nothing that is held need be forgotten."""

from __future__ import annotations

import threading
from enum import Enum
from typing import Any

from ._base import log
from ._core.core import Core
from ._wire import is_good, tell
from ._wire_words import ns
from .clock import NS
from .errors import Failure

ON_ITS_WAY = 2 * NS
"""What a server knows takes no longer to be told: the tenant is read again, and the network is not always quick."""

PAUSES = (0.0, 0.1)
"""Seconds before each try to open another stream. A server that stops waits for it, and may be the only one."""


def why(failure: Failure | None) -> str:
    """Why a stream has ended."""
    return (failure.message or failure.code) if failure else "the server has closed the stream of changes"


class Then(Enum):
    """What whoever reads a stream does next."""

    READ_ON = 1
    OPEN_ANOTHER = 2
    """This one will end: opens another one, and reads on."""
    LET_GO = 3
    """This one is of no more use: cancels it."""


class Streams:
    """The stream that is listened to and, while that is about to end, the one that is to take over.

    The new one may come from another server, and does not tell what that had heard before: all of it was committed before
    it opened. The old server may hear of it later, and tells it then. It has heard of all that was committed up to its
    `lag` ago, and told it but for what is on its way. So both are listened to until that reaches back to when the new one
    opened, and until then the old one's heartbeats count. Any thread may call this.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._old: object = None
        self._will_end = self._is_given_up = False
        self._new: object = None
        self._opened: int | None = None
        """When the new one opened (monotonic, ns)."""
        self._beat = 0
        """When its server was last known to hear of changes. 0: it does not."""
        self._interval = 0
        """How often its heartbeats come (ns)."""

    def begin(self, stream: object) -> None:
        """A stream is about to be opened, and there is no other."""
        with self._lock:
            self._old = stream

    def begin_next(self, stream: object) -> bool:
        """The same to take over from the present one. False: it is not wanted any more."""
        with self._lock:
            if not self._will_end or self._new is not None:
                return False
            self._new, self._opened = stream, None
            return True

    def tell(self, stream: object, event: Any) -> Then:
        """It told this."""
        then = self._tell(stream, event)
        self._core.say()
        return then

    def _tell(self, stream: object, event: Any) -> Then:
        with self._lock:
            kind = event.WhichOneof("event")
            if stream is self._new:
                return self._tell_new(kind, event)
            if stream is not self._old:
                return Then.LET_GO
            if kind == "ending":
                self._will_end = True
                return Then.OPEN_ANOTHER
            tell(self._core, event)
            if kind == "heartbeat" and self._has_missed_nothing(ns(event.heartbeat.lag)):
                self._core.taken_over(self._beat, self._interval)
                self._move_on()
                log.debug("another stream of changes has taken over")
                return Then.LET_GO
            return Then.LET_GO if self._is_given_up else Then.READ_ON

    def ended(self, stream: object, failure: Failure | None) -> None:
        """It has ended, or could not be opened."""
        with self._lock:
            if stream is self._new:
                self._new = self._opened = None
            elif stream is self._old:
                # The next one, if it is open, begins as if nothing had been before it.
                if self._opened is None:
                    is_refused = failure is not None and not failure.is_outage
                    self._core.stream_ended(why(failure), refusal=failure.code if failure and is_refused else "")
                else:
                    self._core.opened(self._interval)
                self._move_on()
        self._core.say()

    def give_up(self) -> None:
        """Another one cannot be had: a server that waits for that need not."""
        with self._lock:
            self._is_given_up = self._will_end and self._new is None

    def _tell_new(self, kind: str | None, event: Any) -> Then:
        if kind == "opened":
            self._opened = self._beat = self._core.clock.mono()
            self._interval = ns(event.opened.heartbeat_interval)
        elif kind == "heartbeat":
            self._beat = self._core.clock.mono() if is_good(event.heartbeat) else 0
        elif kind == "ending":
            # Its own connection ends.
            return Then.LET_GO
        else:
            tell(self._core, event)
        return Then.READ_ON

    def _has_missed_nothing(self, lag: int) -> bool:
        return self._opened is not None and self._core.clock.mono() - self._opened > lag + ON_ITS_WAY

    def _move_on(self) -> None:
        self._old, self._new = self._new, None
        self._will_end = self._is_given_up = False
        self._opened = None
