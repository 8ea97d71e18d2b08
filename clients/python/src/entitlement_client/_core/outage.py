"""Whether the server and its stream of changes can be had, and what is said of it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ..clock import NS
from ..outage import OnOutage

log = logging.getLogger("entitlement_client")

SERVER = "server"
"""Questions are not answered."""
STREAM = "stream"
"""Changes are not received."""

QUIET = 60 * NS
"""After a loss has been said, the next one is not said for this long: what comes and goes many times a second must not
fill a disk."""


class Outage:
    """What is lost. Said once when something is, and once when all is back.

    Called under the core's lock, but for `say`.
    """

    def __init__(self, rule: OnOutage, endpoint: Callable[[], str]) -> None:
        self._rule = rule
        self._endpoint = endpoint
        self._lost: set[str] = set()
        self._since = 0
        self._answers = 0
        self._is_said = self._is_refused = False
        self._quiet_until = -(1 << 70)
        self._lines: deque[tuple[Any, ...]] = deque(maxlen=16)
        self.is_over = False
        """The client ends: what is lost from now on is not lost."""
        self.probing = False
        """A question is under way in the background, to find out whether the server is back."""

    @property
    def is_any(self) -> bool:
        """Is anything lost?"""
        return bool(self._lost)

    def lost(self, part: str, cause: str, mono: int) -> None:
        if self.is_over:
            return
        if not self._lost:
            self._since, self._answers = mono, 0
        self._lost.add(part)
        if self._is_said or mono < self._quiet_until:
            return
        self._is_said, self._quiet_until = True, mono + QUIET
        line = "entitlementd at %s is lost: %s. What cannot be asked is %s"
        self._lines.append((line, self._endpoint(), cause, self._rule))

    def refused(self, cause: str, mono: int) -> None:
        """There is no stream, and will be none. Said once, until one opens."""
        if not self._is_refused:
            line = "changes cannot be received from entitlementd at %s, so answers are held for their max_age: %s"
            self._lines.append((line, self._endpoint(), cause))
        self.back(STREAM, mono)
        self._is_refused = True

    def back(self, part: str, mono: int) -> None:
        if part == STREAM:
            self._is_refused = False
        if part not in self._lost:
            return
        self._lost.discard(part)
        if self._lost or not self._is_said:
            return
        self._is_said = False
        line = "entitlementd at %s is back after %d s. By the outage rule, %d answers were given"
        self._lines.append((line, self._endpoint(), (mono - self._since) // NS, self._answers))

    def answered_by_rule(self) -> None:
        """The outage rule has answered."""
        self._answers += 1

    def say(self) -> None:
        """Writes what there is to say. Called without any lock: whoever handles log lines may ask the client."""
        while self._lines:
            try:
                line = self._lines.popleft()
            except IndexError:
                return
            log.warning(*line)
