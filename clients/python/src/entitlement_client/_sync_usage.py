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
from ._core.leases import FROM_SLICE, LeaseBook, LeaseTerms, demand_taken
from .over_time import Granularity, Recorded, Taken, Unsettled, UsageEvent, UsedOverTime

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


class SyncLeased(LeaseBook):
    """So much of a limit as is leased for one tenant, spent in the process: client.leased(...). What is leased is taken
    before it is spent, so nobody spends beyond the limit, however many processes do. Any number of threads may take.

    The next slice is asked for in the background by whoever takes when half of one is spent, or half of its time is
    gone. Spending stops a tenth of the time before a slice runs out; what is over is settled, and the rest is free
    again. A denial of the tenant or the module is noticed when the next slice is asked for, and so within `ttl`.
    """

    def __init__(self, client: SyncUsage, terms: LeaseTerms) -> None:
        super().__init__(client._core, terms)
        self._client = client

    def take(self, amount: int = 1) -> Taken:
        """Takes so much: mostly of the slice that is held, and nobody is asked. Where there is none, it waits for one;
        where none is to be had, for little is left, or the slice holds less than this amount, so much is reserved by
        itself, and a refusal is that one's. In an outage what is held is spent; after that `reserve` answers.

        Raises ValueError for what cannot be counted, EntitlementsUnavailableError and RequestRefusedError as `reserve`
        does, and ClientMisuseError once this or its client is closed, and in the child of a fork.
        """
        if self.spend(amount):
            return FROM_SLICE
        return self._client._run(self.take_slowly(amount))

    def require(self, amount: int = 1) -> Taken:
        """`take`, for whom only a yes will do. Raises UsageRefusedError, too."""
        return demand_taken(self.take(amount))

    def close(self) -> None:
        """Settles what was spent, within the client's deadline; the rest is free again. Nothing can be taken after it.
        The client does so, too, when it is closed. Raises ClientMisuseError."""
        self._client._refuse_misuse()
        if not self.is_idle:
            self._client._run(self.end(self._core.clock.mono() + self._core.settings.deadline_ns))
        self.retire()

    def __enter__(self) -> SyncLeased:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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

    def leased(
        self,
        tenant: TenantId,
        meter: str,
        *,
        size: int = 100,
        ttl: timedelta = timedelta(seconds=60),
        unsettled: Unsettled = "SPENT",
        module: str | None = None,
    ) -> SyncLeased:
        """A lease for one tenant and meter, to be spent in this process. Keep it: each one holds slices of its own.

        - `size`: how much to ask for at once, 1 to 10^12. It may be less, and is nothing of fewer than 32.
        - `ttl`: how long a slice lasts, 5 s to 10 min. It ends with the month.
        - `unsettled`: what becomes of what is not settled when it runs out, since the process was killed, or nobody
          answers: "SPENT", it counts as used, and never more than the limit is; "RETURNED", it is free again, and what
          was spent and never told is not counted.
        - `module`: the code of the module that it is for, which the tenant must be allowed to use.

        Nothing is asked yet. It ends with the client. Raises ValueError."""
        terms = LeaseTerms(str(tenant).lower(), meter, size, ttl, unsettled, module)
        leased = SyncLeased(self, terms)
        self._employ(leased)
        return leased

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
