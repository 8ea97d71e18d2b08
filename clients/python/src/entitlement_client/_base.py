"""What both clients have in common: settings, the core, counters, and the end of their lives."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc

from . import _fork
from ._core import features
from ._core.core import Core
from ._core.owed import Owed
from ._core.settings import Settings
from ._target import Target, Token, make_target
from ._wire import Headers, carried
from .answers import Answer, FeatureAnswer
from .clock import Clock
from .errors import ClientMisuseError
from .outage import OnOutage

log = logging.getLogger("entitlement_client")

TenantId = str | UUID
"""A tenant's UUID: as text in 36-character form, any case, or as a UUID."""

FIRST_WATCH_PAUSE = 0.1
LONGEST_WATCH_PAUSE = 5.0
"""Seconds before an ended stream is opened again."""

SILENCE = 35.0
"""Seconds without any event after which a stream is given up: heartbeats come every 10."""


class BaseClient:
    """Settings and state. See EntitlementClient for what the arguments mean."""

    def __init__(
        self,
        endpoints: str | Sequence[str] | None = None,
        *,
        on_outage: OnOutage | None = None,
        usage_outage: Mapping[str, OnOutage] | None = None,
        deadline: float = 2.0,
        credentials: grpc.ChannelCredentials | None = None,
        ca_file: str | Path | None = None,
        token: Token | None = None,
        keepalive: float = 10.0,
        max_tenants: int = 10_000,
        max_denials: int = 100,
        max_resolved: int = 10_000,
        clock: Clock | None = None,
        transport: Any = None,
    ) -> None:
        settings = Settings(deadline, max_tenants, max_denials, max_resolved)
        target = make_target(endpoints, credentials, ca_file, token, keepalive)
        clock = clock or Clock()
        rule = on_outage or OnOutage.deny()
        self._core = Core(settings, rule, clock, self._new_future(), lambda: str(self._transport.endpoint))
        if usage_outage:
            self._core.owed = Owed(self._core, usage_outage)
            self._core.schedule.add(self._core.owed)
        self._held = self._core.held
        self._feature_held = partial(features.feature_held, self._core)
        self.held_resolved = self._core.resolved.get
        """What `resolve` would answer to these three without asking anybody, or None. From any thread."""
        self._resolved_of = self._core.resolved.of_request
        """The same for the headers of an ASGI request."""
        self._wall, self._mono = clock.wall, clock.mono
        self._transport = transport or self._connect_to(target)
        self._state = "new"
        self._set_up()

    def _set_up(self) -> None:
        """What a client has besides. Its constructor is this class's, so that its arguments have types."""
        raise NotImplementedError

    def _new_future(self) -> Callable[[], Any]:
        raise NotImplementedError

    def _connect_to(self, target: Target) -> Any:
        raise NotImplementedError

    def held(self, tenant: TenantId, module: str, *, min_revision: int | None = None) -> Answer | None:
        """What `check` would answer without asking anybody, or None. From any thread."""
        return self._held(tenant, module, self._wall(), self._mono(), min_revision or 0)  # type: ignore[arg-type]

    def feature_held(
        self, tenant: TenantId, module: str, key: str, *, min_revision: int | None = None
    ) -> FeatureAnswer | None:
        """What `feature` would answer without asking anybody, or None. From any thread."""
        return self._feature_held(str(tenant).lower(), module, key, min_revision or 0)

    def stats(self) -> dict[str, int]:
        """Counters and gauges, by name.

        `hits`: checks, features and limits answered from what is held (counted without a lock: threads may lose a few).
        `misses`: those that were not. `calls_METHOD`, `failed_calls`: calls, and those that were given up. `joined`:
        questions that waited for another's call. `outage_answers`: answers of the outage rule. `would_deny`: requests
        that shadow mode let pass. `usage_allowed`: usage that outage rules granted; `usage_owed`: what of it waits to be
        recorded. `usage_refused`: sums and keys that the server did not count; `usage_dropped`: amounts that could not
        be sent. `news`, `streams`: changes heard of, streams opened. `evicted`, `tenants_held`,
        `resolved_held`: what is held.
        `outage`, `stream_open`, `watching`: 1 while the server does not answer or its stream is lost, while a stream is
        open, and while it can be relied on. A counter that has not counted yet is missing.
        """
        owed = self._core.owed
        return self._core.stats() | ({} if owed is None else {"usage_owed": len(owed)})

    def count_would_deny(self) -> None:
        """Counts a request that shadow mode let pass."""
        self._core.count("would_deny")

    def _begin(self) -> None:
        """Is called once, before the first call."""
        self._state = "open"
        _fork.works(self)

    def _refuse_misuse(self) -> None:
        if self._state == "closed":
            raise ClientMisuseError("this client was closed")
        if self._state == "forked":
            raise ClientMisuseError(
                "this client was used before the process forked, and its connection stayed with the parent: "
                "make one in each process (in the lifespan of the application, or gunicorn's post_fork)"
            )

    def after_fork(self) -> None:
        """Runs in the child of a fork. The client is of no more use there, and says so."""
        if self._state == "open":
            self._state = "forked"
            self._core.abandon()


def carried_by(headers: Headers | None, tenant_id: TenantId, host: str, bearer_token: str) -> tuple[str, str, str]:
    """What a request carries, from its headers or one by one."""
    return carried(headers) if headers is not None else (str(tenant_id), host, bearer_token)
