"""What the middleware knows of the request that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from .._base import log
from ..aio import EntitlementClient
from ..answers import Resolved, Tenant
from .problem import NO_TENANT, GateRefusedError, Problem


class RequestContext:
    """One request. Gates in other tasks and threads see the same object."""

    __slots__ = ("client", "enforce", "resolved", "would_deny")

    def __init__(self, client: EntitlementClient, enforce: bool) -> None:
        self.client = client
        self.enforce = enforce
        self.resolved: Resolved | None = None
        self.would_deny: str | None = None
        """The first reason for which shadow mode let the request pass."""

    def refuse(self, problem: Problem) -> Problem | None:
        """The problem, where gates are enforced. In shadow mode it is logged, counted and marked instead."""
        if self.enforce:
            return problem
        tenant = self.resolved.tenant.id if self.resolved else "none"
        log.warning("would deny, tenant %s: %d %s: %s", tenant, problem.status, problem.reason, problem.detail)
        self.client.count_would_deny()
        self.would_deny = self.would_deny or problem.reason
        return None


current: ContextVar[RequestContext | None] = ContextVar("entitlement_request", default=None)


def current_tenant() -> Tenant:
    """The tenant of the request that is being answered: a dependency, and a function to call from anywhere below it.

    Raises GateRefusedError, which becomes 401, where there is none: also on public paths.
    """
    return current_resolved().tenant


def current_resolved() -> Resolved:
    """The same with what it rests on: who named the tenant, and whether the outage rule did. Raises what it raises."""
    context = current.get()
    if context is None or context.resolved is None:
        raise GateRefusedError(NO_TENANT)
    return context.resolved
