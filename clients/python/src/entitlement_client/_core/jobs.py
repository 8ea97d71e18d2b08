"""What is done in the background, when it is due, by one worker of the client: a thread, or a task."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..clock import NS
from .effects import Join, Program
from .held import Flight

if TYPE_CHECKING:
    from .core import Core

AFTER_A_FAULT = 5 * NS
"""When something is done again that has raised what it should not."""


class Job(Protocol):
    """Something to be done again and again. Its programs raise nothing."""

    @property
    def is_idle(self) -> bool:
        """Has it nothing to do, also at the end?"""

    def work(self) -> Program[int | None]:
        """Does what is due. When it is due again (monotonic, ns); None: once it is poked."""

    def end(self, until: int) -> Program[None]:
        """The last of it: the client is closed. `until`: when it has to be over (monotonic, ns)."""


class Schedule:
    """Which job is due when. Any thread may call this."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._ready: dict[Job, None] = {}
        self._running: set[Job] = set()
        self._due: dict[Job, int] = {}
        self._heap: list[tuple[int, int, Job]] = []
        self._number = 0
        self.wake: Callable[[], None] = lambda: None
        """Wakes the worker, if there is one: what is due is to be looked at."""

    @property
    def jobs(self) -> list[Job]:
        return list(self._jobs)

    def add(self, job: Job) -> None:
        with self._lock:
            self._jobs.add(job)

    def remove(self, job: Job) -> None:
        with self._lock:
            self._jobs.discard(job)
            self._ready.pop(job, None)
            self._due.pop(job, None)

    def poke(self, job: Job) -> None:
        """It is due now."""
        with self._lock:
            if job not in self._jobs or job in self._ready:
                return
            self._ready[job] = None
        self.wake()

    def at(self, job: Job, due: int) -> None:
        """It is due then, at the latest."""
        with self._lock:
            self._put(job, due)
        self.wake()

    def take(self, mono: int) -> list[Job]:
        """What is due, and not being done."""
        with self._lock:
            while self._heap and self._heap[0][0] <= mono:
                due, _, job = heapq.heappop(self._heap)
                if self._due.get(job) == due:
                    del self._due[job]
                    self._ready[job] = None
            taken = [job for job in self._ready if job not in self._running]
            for job in taken:
                del self._ready[job]
            self._running.update(taken)
            return taken

    def done(self, job: Job, due: int | None) -> None:
        """It has been done."""
        with self._lock:
            self._running.discard(job)
            if due is not None:
                self._put(job, due)
        self.wake()

    def seconds_left(self, mono: int) -> float | None:
        """Until the next one is due. None: there is none."""
        with self._lock:
            return max(self._heap[0][0] - mono, 0) / NS if self._heap else None

    def _put(self, job: Job, due: int) -> None:
        if job in self._jobs and due < self._due.get(job, due + 1):
            self._due[job] = due
            self._number += 1
            heapq.heappush(self._heap, (due, self._number, job))


class Alone:
    """Lets one run a program at a time. Who comes meanwhile waits for that one's result."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._flight: Flight | None = None

    @property
    def is_free(self) -> bool:
        return self._flight is None

    def run(self, program: Callable[[], Program[Any]]) -> Program[tuple[bool, Any]]:
        """Whether it was this program that ran, and the result, or a Failure where there is none."""
        with self._lock:
            leads = self._flight is None
            flight = self._flight = self._flight or Flight(self, self._core.new_future())
        patience = self._core.settings.deadline
        return leads, (yield Join(flight, leads, program, self._land, patience))

    def _land(self, flight: Flight) -> None:
        with self._lock:
            if self._flight is flight:
                self._flight = None
