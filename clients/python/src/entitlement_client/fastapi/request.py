"""What the middleware knows of the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.types import Scope

from .._base import log
from ..aio import EntitlementClient
from ..answers import Resolved
from .problem import Problem
from .route import route_path

REFUSALS = (401, 403)
"""How an application refuses by itself."""


class RequestContext:
    """One request. Gates in other tasks and threads see the same object."""

    __slots__ = ("client", "enforce", "path", "resolved", "scope", "would_refuse")

    def __init__(self, client: EntitlementClient, enforce: bool, scope: Scope, path: str) -> None:
        self.client = client
        self.enforce = enforce
        self.scope = scope
        self.path = path
        """As the application's routes name it."""
        self.resolved: Resolved | None = None
        self.would_refuse: Problem | None = None
        """The first for which shadow mode let the request pass."""

    def refuse(self, problem: Problem) -> Problem | None:
        """The problem, where gates are enforced. In shadow mode it is counted and marked instead, and logged when the
        request has been answered."""
        if self.enforce:
            return problem
        self.client.count_would_deny()
        self.would_refuse = self.would_refuse or problem
        return None

    def compare(self, answered: int | None) -> None:
        """In shadow mode: logs where this library and whoever decides today differ."""
        would = self.would_refuse
        if (would is None) != (answered in REFUSALS):
            return
        method, route = self.scope.get("method", "WEBSOCKET"), route_path(self.scope, self.path)
        tenant = self.resolved.tenant.id if self.resolved else "none"
        if would is None:
            log.warning("would allow: %s %s, tenant %s, was answered %s", method, route, tenant, answered)
        else:
            log.warning(
                "would deny: %s %s, tenant %s: %d %s, was answered %s: %s",
                method, route, tenant, would.status, would.reason, answered, would.detail,
            )  # fmt: skip


current: ContextVar[RequestContext | None] = ContextVar("entitlement_request", default=None)
