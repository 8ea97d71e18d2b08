"""What is logged seldom, however often it happens."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..clock import NS
from .outage import log

QUIET = 60 * NS


class Seldom:
    """A warning with an example, once a minute, which says how often it has happened since the last one."""

    def __init__(self, line: str, mono: Callable[[], int]) -> None:
        """`line` takes the number and the example."""
        self._line = line
        self._mono = mono
        self._lock = threading.Lock()
        self._times = 0
        self._quiet_until = -(1 << 70)

    def happened(self, example: object, times: int = 1) -> None:
        with self._lock:
            self._times += times
            if self._mono() < self._quiet_until:
                return
            self._quiet_until = self._mono() + QUIET
            said, self._times = self._times, 0
        log.warning(self._line, said, example)
