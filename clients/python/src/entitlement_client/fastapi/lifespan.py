"""The client's life in an application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ..aio import EntitlementClient

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def client_lifespan(client: EntitlementClient, lifespan: Lifespan | None = None) -> Lifespan:
    """For `FastAPI(lifespan=...)`: closes the client when the application ends, around another lifespan if there is one.

    With `lifespan=`, handlers of the event `shutdown` never run, so that a client which they were to close stays open.
    """

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[Any]:
        async with client:
            if lifespan is None:
                yield
            else:
                async with lifespan(app) as state:
                    yield state

    return run
