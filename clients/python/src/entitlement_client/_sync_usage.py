"""Usage over time, of the client for threads."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import TypeVar

from . import _wire_over_time as wire
from ._base import BaseClient, TenantId
from ._core import recording
from ._core.counters import CounterBook
from ._core.effects import Program
from ._core.jobs import Job
from .over_time import Granularity, Recorded, UsageEvent, UsedOverTime

T = TypeVar("T")


class SyncCounters(CounterBook):
    """Adds up what is used in the process, and sends sums in the background, as often as was said when it was made:
    client.counters(). Each message is counted once, whatever becomes of its answer: it is sent again, as it was, until it
    is answered. Sums are kept by the quarter of an hour, so that a delay moves nothing to another day.

    What waits is lost if the process is killed: what has to be exact is reserved, recorded or leased. At most 10 000 sums
    wait; beyond that they are joined over time and, if that does not help, dropped, which is logged once and counted
    (`dropped`). After a fork the child is another producer and starts from nothing.
    """

    def __init__(self, client: SyncUsage, interval: timedelta) -> None:
        super().__init__(client._core, interval)
        self._client = client

    def flush(self) -> bool:
        """Sends what waits, now. False: the server does not answer, and it waits still. Raises ClientMisuseError."""
        self._client._refuse_misuse()
        return self.is_idle or self._client._run(self.send())

    def close(self) -> None:
        """Sends what waits, within the client's deadline, and drops what cannot be sent. Nothing can be added after it.
        The client does so, too, when it is closed. Raises ClientMisuseError."""
        self._client._refuse_misuse()
        self._client._run(self.end(self._core.clock.mono() + self._core.settings.deadline_ns))

    def __enter__(self) -> SyncCounters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> bool:
        self._client._start()
        return True


class SyncUsage(BaseClient):
    """What SyncEntitlementClient knows of usage over time."""

    def record(self, events: Iterable[UsageEvent]) -> list[Recorded]:
        """Writes down what was used, each key once, whatever the limit: what became of each event, in order. What is
        wrong with one is no matter of the others. Any number of events: they go in messages of at most 500, one after
        the other, each answered once it is committed. A message whose answer is lost is sent again, twice at most within
        the client's deadline; the keys make that safe.

        Raises ValueError for what cannot be sent, and then nothing is; EntitlementsUnavailableError and
        RequestRefusedError, after which some messages may have been counted: the same events again do the rest. The
        code UNIMPLEMENTED: the server is older than this.
        """
        return self._run(recording.record(self._core, events))

    def query_usage(
        self,
        tenant: TenantId,
        meter: str,
        start: datetime,
        end: datetime,
        *,
        granularity: Granularity = "DAY",
        module: str | None = None,
        by_module: bool = False,
    ) -> UsedOverTime:
        """What was used of a monthly meter over time: what was reserved and leased, as well as recorded. What is held, or
        leased and not spent, is no part of it.

        - `start`, `end`: instants with a time zone: from the span on that `start` is in, up to the span that `end` is
          in, or without it where it begins there.
        - `granularity`: how long the spans are.
        - `module`: only for this one. `by_module`: each by itself; else all together.

        Raises ValueError for what cannot be asked; RequestRefusedError, with the code FAILED_PRECONDITION for a level,
        INVALID_ARGUMENT for more than 10 000 spans, and UNIMPLEMENTED where the server is older than this; and
        EntitlementsUnavailableError.
        """
        asked = wire.query_request(str(tenant).lower(), meter, start, end, granularity, module, by_module)
        return self._run(recording.query(self._core, asked))

    def counters(self, interval: timedelta = timedelta(seconds=5)) -> SyncCounters:
        """Counters that add up in this process and send sums every so often. Make one per process. `interval`: above 0,
        or ValueError. They end with the client."""
        counters = SyncCounters(self, interval)
        self._employ(counters)
        return counters

    def _employ(self, job: Job) -> None:
        self._core.schedule.add(job)
        self._look_for_work()

    def _look_for_work(self) -> None:
        """Lets the worker begin, if there is something to do."""
        raise NotImplementedError

    def _start(self) -> None:
        raise NotImplementedError

    def _run(self, program: Program[T]) -> T:
        """Runs a program in this thread."""
        raise NotImplementedError
