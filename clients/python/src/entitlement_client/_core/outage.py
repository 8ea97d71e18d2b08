"""Whether the server and its stream of changes can be had, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..clock import NS
from ..outage import OnOutage

log = logging.getLogger("entitlement_client")

SERVER = "server"
"""Questions are not answered."""
STREAM = "stream"
"""Changes are not received."""


class Outage:
    """What is lost. Said once when something is, and once when all is back. Called under the core's lock."""

    __slots__ = ("_answers", "_endpoint", "_lost", "_rule", "_since", "probing")

    def __init__(self, rule: OnOutage, endpoint: Callable[[], str]) -> None:
        self._rule = rule
        self._endpoint = endpoint
        self._lost: set[str] = set()
        self._since = 0
        self._answers = 0
        self.probing = False
        """A question is under way in the background, to find out whether the server is back."""

    @property
    def is_any(self) -> bool:
        """Is anything lost?"""
        return bool(self._lost)

    def lost(self, part: str, cause: str, mono: int) -> None:
        if not self._lost:
            self._since, self._answers = mono, 0
            log.warning("entitlementd at %s is lost: %s. What cannot be asked is %s", self._endpoint(), cause, self._rule)
        self._lost.add(part)

    def back(self, part: str, mono: int) -> None:
        if part not in self._lost:
            return
        self._lost.discard(part)
        if not self._lost:
            log.warning(
                "entitlementd at %s is back after %d s. By the outage rule, %d answers were given",
                self._endpoint(),
                (mono - self._since) // NS,
                self._answers,
            )

    def answered_by_rule(self) -> None:
        """The outage rule has answered."""
        self._answers += 1
