"""A double of entitlementd for tests, in memory: no server, no network, no waiting.

    entitlements = InMemoryEntitlements()
    entitlements.allow(TENANT, "finance")
    client = entitlements.sync_client()

Its clients are the real ones, with all that they hold and their outage rules; only the calls end here. Changes are heard
of before the method that makes them returns. Its clock stands still until it is told to `advance`.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ._base import TenantId
from ._core.core import Core
from ._in_memory import Answers, Right, TenantRow
from ._in_memory_terms import Feature, Override, refuse_value
from .aio import EntitlementClient
from .answers import Json
from .clock import NS, Clock, instant
from .errors import Failure
from .outage import OnOutage
from .sync import SyncEntitlementClient

__all__ = ["InMemoryEntitlements"]

_DARK = Failure("UNAVAILABLE", "the double is dark")


@dataclass
class InMemoryEntitlements:
    """Tenants, their rights, and whether anybody answers. Any thread may change it."""

    base_domain: str = "erp.example"
    """One label under it names a tenant, as `--base-domain` does."""
    _answers: Answers = field(default_factory=Answers)
    _cores: weakref.WeakSet[Core] = field(default_factory=weakref.WeakSet)
    _wall: int = field(default_factory=time.time_ns)
    _mono: int = 0
    _is_dark: bool = False

    def __post_init__(self) -> None:
        self._answers.base_domain = self.base_domain

    def client(self, on_outage: OnOutage | None = None, **settings: Any) -> EntitlementClient:
        """A client for asyncio that asks this double. Settings are those of EntitlementClient."""
        client = EntitlementClient(
            "in-memory", on_outage=on_outage, clock=self._clock(), transport=_AsyncTransport(self), **settings
        )
        self._attach(client._core)
        return client

    def sync_client(self, on_outage: OnOutage | None = None, **settings: Any) -> SyncEntitlementClient:
        """A client for threads that asks this double."""
        client = SyncEntitlementClient(
            "in-memory", on_outage=on_outage, clock=self._clock(), transport=_Transport(self), **settings
        )
        self._attach(client._core)
        return client

    def add_tenant(
        self,
        tenant: TenantId,
        *,
        subdomain: str = "",
        database_schema: str = "",
        token: str = "",
        token_until: datetime | None = None,
        status: str = "ACTIVE",
    ) -> None:
        """A tenant without any module, or another status of one. `token`: a bearer token that names it, until it
        expires."""
        row = self._row(tenant)
        row.subdomain = subdomain or row.subdomain
        row.database_schema = database_schema or row.database_schema
        row.token = token or row.token
        row.token_until = token_until or row.token_until
        row.status = status
        self._changed(row)

    def allow(
        self, tenant: TenantId, module: str, *, until: datetime | None = None, starts: datetime | None = None
    ) -> None:
        """The tenant may use the module. A tenant that is not there is made."""
        row = self._row(tenant)
        row.rights[module] = Right("ENABLED", starts, until)
        self._changed(row)

    def deny(self, tenant: TenantId, module: str, reason: str = "NOT_SUBSCRIBED") -> None:
        """The tenant may not use the module, for this reason. What was never allowed is NOT_SUBSCRIBED anyway."""
        row = self._row(tenant)
        row.rights[module] = Right(reason)
        self._changed(row)

    def expire(self, tenant: TenantId, module: str) -> None:
        """The tenant's right to the module has run out."""
        self.deny(tenant, module, "SUBSCRIPTION_EXPIRED")

    def set_feature(
        self,
        tenant: TenantId,
        module: str,
        key: str,
        enabled: bool = True,
        *,
        value: Json = None,
        reason: str = "TENANT",
        plan_slugs: Sequence[str] = (),
    ) -> None:
        """The feature of a module is on or off for the tenant, as long as it may use the module. What was never set is
        off, with the reason NOT_FOUND. `reason`: "TENANT", "PLAN" or "DEFAULT". ValueError where the value is no
        JSON."""
        refuse_value(value)
        row = self._row(tenant)
        row.terms.features[module, key] = Feature(enabled, value, reason, tuple(plan_slugs))
        self._changed(row)

    def unset_feature(self, tenant: TenantId, module: str, key: str) -> None:
        """There is no such feature any more."""
        row = self._row(tenant)
        row.terms.features.pop((module, key), None)
        self._changed(row)

    def set_limit(self, tenant: TenantId, key: str, limit: int | None) -> None:
        """What the tenant's plan says of a limit. None: unlimited, as "users" and "transactions_monthly" are where
        nothing was set; others are NOT_FOUND then. One whose key ends in "_monthly" counts by the month."""
        row = self._row(tenant)
        row.terms.limits[key] = limit
        self._changed(row)

    def override_limit(self, tenant: TenantId, key: str, limit: int | None, *, until: datetime | None = None) -> None:
        """What the tenant has instead of its plan's limit, until it ends."""
        row = self._row(tenant)
        row.terms.overrides[key] = Override(limit, until)
        self._changed(row)

    def enforce_limits(self, enforcement: str) -> None:
        """ "ON", as it begins; "SHADOW" or "OFF": everything is allowed. As `--enforce-limits`."""
        if enforcement not in ("ON", "SHADOW", "OFF"):
            raise ValueError(f'limits are enforced "ON", "SHADOW" or "OFF", not {enforcement!r}')
        self._answers.enforcement = enforcement
        if not self._is_dark:
            for core in list(self._cores):
                core.catalogue_changed(0)

    def go_dark(self) -> None:
        """From now on nothing answers, and nothing is heard of."""
        self._is_dark = True
        for core in list(self._cores):
            core.stream_ended("the double is dark")
            core.say()

    def come_back(self) -> None:
        """Everything answers again."""
        self._is_dark = False
        for core in list(self._cores):
            self._open(core)
            for job in core.schedule.jobs:
                core.schedule.poke(job)

    def advance(self, span: timedelta) -> None:
        """Lets time pass."""
        ns = int(span.total_seconds() * NS)
        self._wall += ns
        self._mono += ns
        for core in list(self._cores):
            if not self._is_dark:
                core.heartbeat(True)
            core.schedule.wake()

    @property
    def now(self) -> datetime:
        """What its clock shows."""
        return instant(self._wall)

    @property
    def calls(self) -> list[str]:
        """The methods that were called, in order."""
        return list(self._answers.calls)

    def answer(self, method: str, request: Any) -> Any:
        """A call of one of its clients: the response, or a failure."""
        return _DARK if self._is_dark else self._answers.answer(method, request, self._wall)

    def _clock(self) -> Clock:
        return Clock(wall=lambda: self._wall, mono=lambda: self._mono)

    def _attach(self, core: Core) -> None:
        self._cores.add(core)
        if not self._is_dark:
            self._open(core)

    @staticmethod
    def _open(core: Core) -> None:
        core.opened(0)
        core.heartbeat(True)
        core.say()

    def _row(self, tenant: TenantId) -> TenantRow:
        return self._answers.row(str(UUID(str(tenant))))

    def _changed(self, row: TenantRow) -> None:
        row.revision += 1
        if not self._is_dark:
            for core in list(self._cores):
                core.tenant_changed(row.id, row.revision)


class _Stream:
    """A stream on which nothing is told: the double tells the core itself, also that it is lost."""

    def __init__(self, closed: threading.Event) -> None:
        self._closed = closed

    def __iter__(self) -> Iterator[Any]:
        self._closed.wait()
        return iter(())

    def cancel(self) -> None:
        """It goes on: while the double is dark, the client gives it up for its silence, and would say so at any time."""


class _Transport:
    endpoint = "the double"

    def __init__(self, double: InMemoryEntitlements) -> None:
        self._double = double
        self._closed = threading.Event()

    def open(self) -> None:
        pass

    def call(self, method: str, request: Any, timeout: float) -> Any:
        return self._double.answer(method, request)

    def watch(self) -> _Stream:
        return _Stream(self._closed)

    def pause(self, seconds: float) -> None:
        """Nobody waits in tests."""

    def close(self) -> None:
        self._closed.set()


class _AsyncTransport:
    endpoint = "the double"

    def __init__(self, double: InMemoryEntitlements) -> None:
        self._double = double

    def open(self) -> None:
        pass

    async def call(self, method: str, request: Any, timeout: float) -> Any:
        return self._double.answer(method, request)

    async def watch(self) -> AsyncIterator[Any]:
        await asyncio.get_running_loop().create_future()
        yield

    async def pause(self, seconds: float) -> None:
        """Nobody waits in tests."""

    async def close(self) -> None:
        pass
