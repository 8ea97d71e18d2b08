"""Time. The core takes it as an argument; clients read it here, and tests bring their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

NS = 1_000_000_000
"""Nanoseconds in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant(ns: int) -> datetime:
    """Nanoseconds since 1970 as an instant, rounded down to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks, in nanoseconds."""

    wall: Callable[[], int] = time.time_ns
    """Since 1970, UTC: instants are compared with it. The machine's clock has to be right, as the server's has."""
    mono: Callable[[], int] = time.monotonic_ns
    """Spans are measured with it."""
