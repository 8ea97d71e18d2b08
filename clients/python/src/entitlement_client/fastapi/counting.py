"""Counts requests of the tenants that they belong to, with counters that add up in the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._aio_usage import Counters
from .._base import log
from .._sync_usage import SyncCounters
from ..errors import ClientMisuseError
from .problem import ANSWERED, of_error
from .request import REFUSALS, current


class CountingMiddleware:
    """Counts each HTTP request whose tenant is known, once its response begins. It has to stand inside of
    TenantMiddleware: add it before that one.

    - `counters`: of this process: `client.counters()`.
    - `meter`: the key of a monthly limit. `module`: whose use it is; empty: the tenant's own.
    - `refused`: also what is answered 401 or 403. Without it such requests are not counted.

    What fails by itself is counted, too: it was a request. A counter that is closed fails no request.
    """

    def __init__(
        self, app: ASGIApp, *, counters: Counters | SyncCounters, meter: str, module: str = "", refused: bool = False
    ) -> None:
        self.app = app
        self._counters = counters
        self._meter, self._module = meter, module
        self._refused = refused
        self._is_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = current.get()
        if context is None and scope["type"] == "http" and not self._is_warned:
            self._is_warned = True
            log.warning(
                "CountingMiddleware counts nothing, for it stands outside of TenantMiddleware: add it before that"
            )
        if scope["type"] != "http" or context is None or context.resolved is None:
            await self.app(scope, receive, send)
            return
        tenant = context.resolved.tenant.id
        is_told = False

        async def counting(message: Message) -> None:
            nonlocal is_told
            if message["type"] == "http.response.start" and not is_told:
                is_told = True
                self._count(tenant, message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counting)
        except Exception as error:
            if not is_told:
                self._count(tenant, _status(error))
            raise

    def _count(self, tenant: str, status: int) -> None:
        if self._refused or status not in REFUSALS:
            _add(self._counters, tenant, self._meter, 1, self._module)


def counted(
    counters: Counters | SyncCounters, meter: str, amount: int = 1, module: str = "", *, refused: bool = False
) -> Callable[[], AsyncIterator[None]]:
    """For FastAPI: a dependency that counts the requests of an endpoint or a router, `Depends(counted(counters, meter))`,
    below TenantMiddleware. The arguments are those of `Counters.add` and CountingMiddleware.

    Requests that a dependency before this one refuses are not counted, nor those that the endpoint does by raising 401 or
    403, unless `refused` says so.
    """

    async def count() -> AsyncIterator[None]:
        context = current.get()
        tenant = context.resolved.tenant.id if context is not None and context.resolved is not None else None
        try:
            yield
        except Exception as error:
            if tenant is not None and (refused or _status(error) not in REFUSALS):
                _add(counters, tenant, meter, amount, module)
            raise
        if tenant is not None:
            _add(counters, tenant, meter, amount, module)

    return count


def _status(error: Exception) -> int:
    """How it will be answered."""
    if isinstance(error, HTTPException):
        return error.status_code
    problem = of_error(error) if isinstance(error, ANSWERED) else None
    return problem.status if problem is not None else 500


def _add(counters: Counters | SyncCounters, tenant: str, meter: str, amount: int, module: str) -> None:
    try:
        counters.add(tenant, meter, amount, module)
    except ClientMisuseError as error:
        # The application ends.
        log.debug("a request is not counted: %s", error)
