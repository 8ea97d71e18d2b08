"""`require_module("finance")`, `require_feature("finance", "exports")`: a dependency, and a decorator of endpoints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, overload

from starlette.concurrency import run_in_threadpool

from .._base import log
from ..aio import EntitlementClient
from ..errors import RequestRefusedError
from .problem import BROKEN, NO_TENANT, Problem, of_denial, of_feature
from .refusal import GateRefusedError
from .request import current

P = ParamSpec("P")
R = TypeVar("R")
Endpoint = Callable[..., Any]
Run = Callable[..., Coroutine[Any, Any, Any]]
LONGEST_CODE = 50
LONGEST_KEY = 100


class Gate:
    """Lets a request pass whose tenant may.

    `Depends(gate)`, also in `dependencies=[...]` of a router, and `@gate` below the route's decorator do the same. Both
    take the tenant from the middleware, so it does not matter what the endpoint's arguments are called. `@gate` makes an
    endpoint async; one that was not still runs in a thread. Type checkers see the endpoint's own arguments and result.
    A refusal is raised as GateRefusedError, which becomes the response; `await gate()` does so anywhere else.
    """

    def __init__(self) -> None:
        self._admit = self._in_front_of(_nothing)
        """As a dependency, and wherever it is called. Raises GateRefusedError."""
        # FastAPI asks the object what it takes (nothing) and whether it is to be awaited (yes): as a dependency.
        self.__signature__ = inspect.Signature()
        self.__dict__["__call__"] = self._admit

    @overload
    def __call__(self) -> Coroutine[Any, Any, None]: ...
    @overload
    def __call__(self, endpoint: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, endpoint: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __call__(self, endpoint: Endpoint | None = None) -> Any:
        return self._admit() if endpoint is None else self._guard(endpoint)

    def _guard(self, endpoint: Endpoint) -> Endpoint:
        """As a decorator."""
        is_async = inspect.iscoroutinefunction(endpoint)
        guarded = wraps(endpoint)(self._in_front_of(endpoint if is_async else partial(run_in_threadpool, endpoint)))
        guarded.__signature__ = _signature(endpoint)  # type: ignore[attr-defined]
        return guarded

    def _in_front_of(self, run: Run) -> Run:
        """What lets the request pass, and then runs. Gates whose tenants mostly hold a grant look for it first, and do so
        right here: a method of its own takes longer to call than to run."""

        async def guarded(*arguments: Any, **named: Any) -> Any:
            await self._find_out()
            return await run(*arguments, **named)

        return guarded

    async def _find_out(self) -> None:
        """Where no grant is held. Raises GateRefusedError."""
        problem = await self._problem()
        if problem is not None:
            raise GateRefusedError(problem)

    async def _ask(self, client: EntitlementClient, tenant: str) -> Problem | None:
        """What the tenant is refused with."""
        raise NotImplementedError

    def beside(
        self, old: Callable[[Endpoint], Endpoint]
    ) -> Callable[[Callable[P, Any]], Callable[P, Coroutine[Any, Any, Any]]]:
        """For shadow mode: a decorator that is this gate around `old`, the decorator that decides today.

        The log then knows what `old` refuses from what the endpoint refuses by itself. Where gates are dependencies, put
        this one in front of the old one: [Depends(gate), Depends(old)].
        """
        return lambda endpoint: self._guard(old(_noted(endpoint)))

    async def _problem(self) -> Problem | None:
        """What stands against the request, if anything does."""
        context = current.get()
        if context is None:
            return NO_TENANT
        if context.resolved is None:
            # Shadow mode has said so when the middleware did not find the tenant.
            return None if context.would_refuse else context.refuse(NO_TENANT)
        try:
            problem = await self._ask(context.client, context.resolved.tenant.id)
        except Exception:
            if context.enforce:
                raise
            log.exception("in shadow mode a gate could not be judged")
            return None
        context.is_granted = problem is None
        return None if problem is None else context.refuse(problem)


class ModuleGate(Gate):
    """Lets a request pass whose tenant may use one of some modules. A Gate says how it is used."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        for code in modules:
            _refuse_unlikely("module's code", code, LONGEST_CODE)
        if not modules:
            raise ValueError("name at least one module")
        self._modules = modules
        super().__init__()

    def _in_front_of(self, run: Run) -> Run:
        modules = self._modules

        async def guarded(*arguments: Any, **named: Any) -> Any:
            context = current.get()
            if context is not None and context.resolved is not None:
                tenant, client = context.resolved.tenant.id, context.client
                wall, mono = client._wall(), client._mono()
                for module in modules:
                    answer = client._held(tenant, module, wall, mono)
                    if answer is not None and answer.allowed:
                        context.is_granted = True
                        return await run(*arguments, **named)
            await self._find_out()
            return await run(*arguments, **named)

        return guarded

    async def _ask(self, client: EntitlementClient, tenant: str) -> Problem | None:
        answer = await client.check_any(tenant, self._modules)
        return None if answer.allowed else of_denial(answer)


class FeatureGate(Gate):
    """Lets a request pass whose tenant has a feature of a module. A Gate says how it is used."""

    def __init__(self, module: str, key: str) -> None:
        _refuse_unlikely("module's code", module, LONGEST_CODE)
        _refuse_unlikely("feature's key", key, LONGEST_KEY)
        self._module, self._key = module, key
        super().__init__()

    def _in_front_of(self, run: Run) -> Run:
        module, key = self._module, self._key

        async def guarded(*arguments: Any, **named: Any) -> Any:
            context = current.get()
            resolved = context.resolved if context is not None else None
            if context is None or resolved is None or not context.client.feature_held(resolved.tenant.id, module, key):
                await self._find_out()
            else:
                context.is_granted = True
            return await run(*arguments, **named)

        return guarded

    async def _ask(self, client: EntitlementClient, tenant: str) -> Problem | None:
        try:
            answer = await client.feature(tenant, self._module, self._key)
        except RequestRefusedError as error:
            # The tenant is one that the server has named, so the fault is ours: it may be older than features.
            log.error("whether a feature is on cannot be found out: %s %s: %s", error.code, error.reason, error)
            return BROKEN
        return None if answer.enabled else of_feature(answer)


def _refuse_unlikely(what: str, name: str, longest: int) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= longest or not name.isprintable():
        raise ValueError(f"no {what}: {name!r}")


async def _nothing() -> None:
    """What a gate stands in front of that is no decorator."""


def _noted(endpoint: Endpoint) -> Endpoint:
    """Notes that the request has come as far as this."""
    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def noted(*arguments: Any, **named: Any) -> Any:
            _note()
            return await endpoint(*arguments, **named)

        return noted

    @wraps(endpoint)
    def noted_in_a_thread(*arguments: Any, **named: Any) -> Any:
        _note()
        return endpoint(*arguments, **named)

    return noted_in_a_thread


def _note() -> None:
    context = current.get()
    if context is not None:
        context.is_let_in = True


def _signature(endpoint: Endpoint) -> inspect.Signature:
    """What FastAPI is to see. Annotations that are strings are read where the endpoint stands, if they can be."""
    try:
        return inspect.signature(endpoint, eval_str=True)
    except NameError:
        return inspect.signature(endpoint)


def require_module(module: str) -> ModuleGate:
    """Lets a request pass whose tenant may use the module. ValueError where this cannot be a module's code."""
    return ModuleGate((module,))


def require_feature(module: str, key: str) -> FeatureGate:
    """Lets a request pass whose tenant has the feature of the module, and so may use the module. ValueError where these
    cannot be a module's code and a feature's key."""
    return FeatureGate(module, key)


def require_any_module(*modules: str) -> ModuleGate:
    """Lets a request pass whose tenant may use one of the modules."""
    return ModuleGate(modules)
