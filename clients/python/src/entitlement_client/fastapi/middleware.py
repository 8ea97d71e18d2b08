"""Finds the tenant of each request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._base import log
from ..aio import EntitlementClient
from ..errors import EntitlementsUnavailableError, RequestRefusedError
from .cors import warn_of_cors_inside
from .problem import NO_TENANT, Problem, of_outage, of_refusal
from .refusal import POLICY_VIOLATION, GateRefusedError
from .request import RequestContext, current

WOULD_DENY = b"x-entitlement-would-deny"
_HANDED_OVER = frozenset({b"x-tenant-id", b"host", b"authorization"})


class PublicPaths:
    """Paths that need no tenant. A prefix ends where a segment does: "/api/admin" does not cover "/api/adminfoo"."""

    def __init__(self, exact: Iterable[str], prefixes: Iterable[str]) -> None:
        self._exact = frozenset(exact)
        trimmed = tuple(prefix.rstrip("/") for prefix in prefixes)
        for path in (*self._exact, *trimmed):
            if not path.startswith("/"):
                raise ValueError(f"a public path begins with /, and a prefix names a segment: {path!r}")
        self._prefixes = tuple(f"{prefix}/" for prefix in trimmed)

    def __contains__(self, path: str) -> bool:
        if path in self._exact:
            return True
        # Somebody behind us may read dots as the way up.
        return f"{path}/".startswith(self._prefixes) and not {".", ".."} & set(path.split("/"))


def path_within(scope: Scope) -> str:
    """The path as the application's routes name it: without the prefix under which it is mounted, or that a proxy cuts
    off (`--root-path`)."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    below = path.removeprefix(root)
    return below if root and path.startswith(root) and below[:1] in ("", "/") else path


class TenantMiddleware:
    """Resolves X-Tenant-ID, the host and the bearer token to a tenant, which gates and `current_tenant` then know.

    - `client`: of this process. It is not closed: the application's lifespan does that.
    - `public_paths`, `public_prefixes`: answered without a tenant, as is OPTIONS.
    - `enforce`: False is shadow mode, beside whatever decides today: whatever would be refused passes, is counted, and
      the response says `x-entitlement-would-deny: REASON`. The log says `would deny` with method, route and what was
      answered instead, and `would allow` where somebody else has refused (401, 403). Nothing is raised, and nothing that
      others have put into the state is replaced. A request without a tenant passes too, so what needs one has to cope.
    - `bearer_token`: False keeps tokens here, for a server that was given no key to verify them with.

    Also sets `request.state.tenant`, `.tenant_id` and `.schema`. Refusals are problem+json: 400 for what cannot be read,
    401 for no tenant, an unknown one or a bad token, 403 for a tenant that is not served or a contradiction, 503 in an
    outage where the client's outage rule does not name the tenant. CORSMiddleware has to stand outside of this one, so
    that refusals carry its headers: add it last. A warning is logged when the application starts and it stands inside.
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
    ) -> None:
        self.app = app
        self._client = client
        self._public = PublicPaths(public_paths, public_prefixes)
        self._enforce = enforce
        self._handed_over = _HANDED_OVER if bearer_token else _HANDED_OVER - {b"authorization"}
        self._has_looked_around = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._has_looked_around:
            # Not before: what is wrapped by hand may get more middleware until it is first called.
            self._has_looked_around = True
            warn_of_cors_inside(self, self.app, scope)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        context = RequestContext(self._client, self._enforce, scope)
        watched = None if self._enforce else _Watched(send, context)
        sends = watched or send
        token = current.set(context)
        try:
            problem = None if self._is_public(scope) else await self._find(scope, context)
            if problem is None:
                await self.app(scope, receive, sends)
            else:
                await _refuse(problem, scope, receive, sends)
        except GateRefusedError as refused:
            await _refuse(refused.problem, scope, receive, sends)
        finally:
            current.reset(token)
            if watched is not None:
                route = str(getattr(scope.get("route"), "path", scope["path"]))
                context.compare(scope.get("method", "WEBSOCKET"), route, watched.status)

    async def _find(self, scope: Scope, context: RequestContext) -> Problem | None:
        """The same as `_resolve`, but in shadow mode nothing that goes wrong may reach the request."""
        try:
            return await self._resolve(scope, context)
        except Exception:
            if self._enforce:
                raise
            log.exception("in shadow mode a tenant could not be looked for")
            return None

    def _is_public(self, scope: Scope) -> bool:
        return scope.get("method") == "OPTIONS" or path_within(scope) in self._public

    async def _resolve(self, scope: Scope, context: RequestContext) -> Problem | None:
        """Finds the tenant, or what stands against it."""
        handed_over = [pair for pair in scope["headers"] if pair[0] in self._handed_over]
        if not any(value for _, value in handed_over):
            return context.refuse(NO_TENANT)
        try:
            resolved = context.resolved = await self._client.resolve(handed_over)
        except RequestRefusedError as error:
            if error.reason.startswith("CALLER_") or error.code == "INTERNAL":
                log.error("entitlementd refuses this service: %s %s: %s", error.code, error.reason, error)
            return context.refuse(of_refusal(error))
        except EntitlementsUnavailableError as error:
            return context.refuse(of_outage(error))
        tenant = resolved.tenant
        state = scope.setdefault("state", {})
        found = {"tenant": tenant, "tenant_id": tenant.id, "schema": tenant.database_schema}
        # In shadow mode what others have set counts.
        state.update(found if self._enforce else {name: found[name] for name in found.keys() - state.keys()})
        return None


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
