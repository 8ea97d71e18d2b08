"""Finds the tenant of each request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._base import log
from .._wire import carried
from ..aio import EntitlementClient
from ..answers import Resolved
from ..errors import EntitlementsUnavailableError, RequestRefusedError
from .cors import warn_of_cors_inside
from .paths import path_within, paths_of
from .problem import NO_TENANT, Problem, of_outage, of_refusal
from .refusal import POLICY_VIOLATION, GateRefusedError
from .request import NO_SCOPE, RequestContext, current

WOULD_DENY = b"x-entitlement-would-deny"
_IN_STATE = {"tenant": "", "tenant_id": "id", "schema": "database_schema"}
"""And the tenant's attribute."""
STATE_NAMES = tuple(_IN_STATE)
"""What the middleware can set in `request.state`."""


class TenantMiddleware:
    """Resolves X-Tenant-ID, the host and the bearer token to a tenant, which gates and `current_tenant` then know.

    - `client`: of this process. It is not closed: the application's lifespan does that.
    - `public_paths`, `public_prefixes`: answered without a tenant, as is OPTIONS.
    - `enforce`: False is shadow mode, beside whatever decides today: whatever would be refused passes, is counted, and
      the response says `x-entitlement-would-deny: REASON`. The log says `would deny` with method, route and what was
      answered instead, and `would allow` where other middleware has refused (401, 403 or 404), or the decorator beside a
      gate (401, 403). What endpoints and their dependencies refuse by themselves is no difference. Nothing is raised, and
      nothing that others have put into the state is replaced. A request without a tenant passes too, so what needs one
      has to cope.
    - `bearer_token`: False keeps tokens here, for a server that was given no key to verify them with.
    - `ignore_token_paths`, `ignore_token_prefixes`: the same on these paths only. Login and refresh need the tenant, and
      are asked for with an expired token.
    - `state_names`: what is set in `request.state`. `tenant` is a Tenant, whose `id` is text and whose `status` is
      "ACTIVE"; `tenant_id` and `schema` are text. Leave `tenant` out where code reads a row of its own under that name.

    Refusals are problem+json: 400 for what cannot be read, 401 for no tenant, an unknown one or a bad token, 403 for a
    tenant that is not served or a contradiction, 503 in an outage where the client's outage rule does not name the
    tenant. CORSMiddleware has to stand outside of this one, so that refusals carry its headers: add it last. A warning
    is logged when the application starts and it stands inside. ValueError for settings that mean nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        client: EntitlementClient,
        public_paths: Iterable[str] = ("/health", "/docs", "/redoc", "/openapi.json"),
        public_prefixes: Iterable[str] = (),
        enforce: bool = True,
        bearer_token: bool = True,
        ignore_token_paths: Iterable[str] = (),
        ignore_token_prefixes: Iterable[str] = (),
        state_names: Iterable[str] = STATE_NAMES,
    ) -> None:
        self.app = app
        # FastAPI tells the scope, but only when it is called, and around it that is too late.
        self._root = str(getattr(app, "root_path", "")) if isinstance(app, Starlette) else ""
        self._client = client
        self._held = client._resolved_of
        self._public = paths_of(public_paths, public_prefixes)
        self._without_token = paths_of(ignore_token_paths, ignore_token_prefixes)
        self._enforce = enforce
        self._bearer_token = bearer_token
        names = frozenset(state_names)
        if not names <= set(STATE_NAMES):
            raise ValueError(f"state_names: some of {STATE_NAMES}, not {state_names!r}")
        self._state_names = tuple((name, _IN_STATE[name]) for name in sorted(names))
        self._sets_all = enforce and names == set(STATE_NAMES)
        """Whatever is there: mostly so, and then nothing needs to be looked at."""
        self._has_looked_around = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._has_looked_around:
            # Not before: what is wrapped by hand may get more middleware until it is first called.
            self._has_looked_around = True
            warn_of_cors_inside(self, self.app, scope)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        root = self._root or scope.get("root_path")
        if root:
            path = path_within(path, root)
        context = RequestContext()
        context.client = self._client
        context.enforce = self._enforce
        context.scope = scope
        context.path = path
        watched = None
        if not self._enforce:
            send = watched = _Watched(send, context)
        token = current.set(context)
        try:
            problem = None
            if path not in self._public and scope.get("method") != "OPTIONS":
                with_token = self._bearer_token and path not in self._without_token
                resolved = self._held(scope["headers"], with_token)
                if resolved is None:
                    problem = await self._find(context, with_token)
                else:
                    self._take(context, resolved)
            if problem is None:
                await self.app(scope, receive, send)
            else:
                await _refuse(problem, scope, receive, send)
        except GateRefusedError as refused:
            await _refuse(refused.problem, scope, receive, send)
        except HTTPException as raised:
            # By middleware inside: a handler that stands outside of everything makes it the response.
            if watched is not None:
                watched.status = watched.status or raised.status_code
            raise
        finally:
            current.reset(token)
            if watched is not None:
                context.compare(watched.status)
            # Timers that were set meanwhile, such as the server's for the next request, keep the variables of this task,
            # and the context with them: let it not keep all of the request as well.
            context.scope = NO_SCOPE

    async def _find(self, context: RequestContext, with_token: bool) -> Problem | None:
        """The same as `_resolve`, but in shadow mode nothing that goes wrong may reach the request."""
        try:
            return await self._resolve(context, with_token)
        except Exception:
            if self._enforce:
                raise
            log.exception("in shadow mode a tenant could not be looked for")
            return None

    async def _resolve(self, context: RequestContext, with_token: bool) -> Problem | None:
        """Finds the tenant, or what stands against it."""
        try:
            tenant_id, host, token = carried(context.scope["headers"], with_token)
            if not (tenant_id or host or token):
                return context.refuse(NO_TENANT)
            resolved = await self._client.resolve(tenant_id=tenant_id, host=host, bearer_token=token)
        except RequestRefusedError as error:
            if error.reason.startswith("CALLER_") or error.code == "INTERNAL":
                log.error("entitlementd refuses this service: %s %s: %s", error.code, error.reason, error)
            return context.refuse(of_refusal(error))
        except EntitlementsUnavailableError as error:
            return context.refuse(of_outage(error))
        self._take(context, resolved)
        return None

    def _take(self, context: RequestContext, resolved: Resolved) -> None:
        """This is who it is, for gates and in `request.state`."""
        context.resolved = resolved
        tenant = resolved.tenant
        state = context.scope.setdefault("state", {})
        if self._sets_all:
            state["tenant"] = tenant
            state["tenant_id"] = tenant.id
            state["schema"] = tenant.database_schema
            return
        for name, attribute in self._state_names:
            # In shadow mode what others have set counts.
            if self._enforce or name not in state:
                state[name] = getattr(tenant, attribute) if attribute else tenant


class _Watched:
    """Marks the response of a request that shadow mode let pass, and notes its status."""

    def __init__(self, send: Send, context: RequestContext) -> None:
        self._send = send
        self._context = context
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            would = self._context.would_refuse
            if would is not None:
                headers: Any = [*message.get("headers", ()), (WOULD_DENY, would.reason.encode())]
                message = {**message, "headers": headers}
        await self._send(message)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": problem.reason})
    else:
        await problem.response()(scope, receive, send)
