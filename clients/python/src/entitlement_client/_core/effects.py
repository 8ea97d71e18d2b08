"""What programs ask of those who run them.

A program is a generator that does no I/O: it yields an effect and is sent what came of it. One driver runs it on threads
(`sync.py`), the other on an event loop (`aio.py`). A call that fails is sent as a `Failure`, never thrown.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from .held import Flight

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """Call this method of the server. Sent back: its response, or a Failure."""

    method: str
    request: Any
    timeout: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds. Sent back: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for the result of a flight; who leads it runs the program first. Sent back: that result."""

    flight: Flight
    leads: bool
    program: Callable[[], Generator[Any, Any, Any]]
    land: Callable[[Flight], None]
    """To be called when the program has ended, however it did."""
    patience: float
    """Seconds to wait for whoever leads."""


@dataclass(frozen=True, slots=True)
class Background:
    """Run the program, and do not wait for it. Sent back: None."""

    program: Callable[[], Generator[Any, Any, Any]]
    give_up: Callable[[], None] = lambda: None
    """To be called where it cannot be run: there may be no thread for it."""


Effect = Call | Pause | Join | Background
Program = Generator[Effect, Any, T]
