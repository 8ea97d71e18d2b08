"""What the middleware knows of the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.applications import Starlette
from starlette.types import Scope

from .._base import log
from ..aio import EntitlementClient
from ..answers import Resolved
from .problem import Problem
from .route import route_path

REFUSALS = (401, 403)
"""How an application refuses by itself."""
NOT_FOUND = 404
"""How middleware refuses, too, where it finds no tenant."""
NO_SCOPE: Scope = {}
"""Of a request that has been answered."""


class RequestContext:
    """One request. Gates in other tasks and threads see the same object.

    Whoever makes one sets the first four: to call a constructor would take longer than what it does.
    """

    client: EntitlementClient
    enforce: bool
    scope: Scope
    path: str
    """As the application's routes name it."""
    resolved: Resolved | None = None
    would_refuse: Problem | None = None
    """The first for which shadow mode let the request pass."""
    is_granted = False
    """A gate would let it pass."""
    is_let_in = False
    """The decorator beside the gate did so."""

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
        is_refused = answered in REFUSALS or (answered == NOT_FOUND and self._is_ahead_of_routes())
        if would is None and is_refused and self._is_refused_by_the_old():
            log.warning("would allow: %s, was answered %s", self._name(), answered)
        elif would is not None and not is_refused:
            said = (self._name(), would.status, would.reason, answered, would.detail)
            log.warning("would deny: %s: %d %s, was answered %s: %s", *said)

    def _name(self) -> str:
        method, route = self.scope.get("method", "WEBSOCKET"), route_path(self.scope, self.path)
        return f"{method} {route}, tenant {self.resolved.tenant.id if self.resolved else 'none'}"

    def _is_ahead_of_routes(self) -> bool:
        """Has something answered before Starlette looked for a route?"""
        return isinstance(self.scope.get("app"), Starlette) and "router" not in self.scope

    def _is_refused_by_the_old(self) -> bool:
        """Did middleware refuse, or the decorator beside a gate? What else does so, such as a check of passwords, is not
        replaced by this library, and goes on doing it."""
        return self._is_ahead_of_routes() or (self.is_granted and not self.is_let_in)


current: ContextVar[RequestContext | None] = ContextVar("entitlement_request", default=None)
