"""Usage over time, of the client for asyncio."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from . import _wire_over_time as wire
from ._base import BaseClient, TenantId
from ._core import recording
from ._core.effects import Program
from .over_time import Granularity, Recorded, UsageEvent, UsedOverTime

T = TypeVar("T")


class AioUsage(BaseClient):
    """What EntitlementClient knows of usage over time."""

    async def record(self, events: Iterable[UsageEvent]) -> list[Recorded]:
        """Writes down what was used, each key once, whatever the limit: what became of each event, in order. What is
        wrong with one is no matter of the others. Any number of events: they go in messages of at most 500, one after
        the other, each answered once it is committed. A message whose answer is lost is sent again, twice at most within
        the client's deadline; the keys make that safe.

        Raises ValueError for what cannot be sent, and then nothing is; EntitlementsUnavailableError and
        RequestRefusedError, after which some messages may have been counted: the same events again do the rest. The
        code UNIMPLEMENTED: the server is older than this.
        """
        return await self._run(recording.record(self._core, events))

    async def query_usage(
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
        return await self._run(recording.query(self._core, asked))

    async def _run(self, program: Program[T]) -> T:
        """Runs a program on this loop."""
        raise NotImplementedError
