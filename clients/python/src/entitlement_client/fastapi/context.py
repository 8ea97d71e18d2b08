"""Whose request is being answered?"""

from __future__ import annotations

from ..answers import Resolved, Tenant
from .problem import NO_TENANT
from .refusal import GateRefusedError
from .request import current


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
