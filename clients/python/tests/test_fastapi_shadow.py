"""Shadow mode: everything passes, and the log says what would not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi_app import ONE, browser, make_app
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

from entitlement_client.fastapi import TenantMiddleware, require_module
from entitlement_client.testing import InMemoryEntitlements


async def test_in_shadow_mode_everything_passes_and_is_marked_and_counted(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    entitlements.allow(ONE, "finance")
    app = make_app(entitlements, enforce=False)
    async with browser(app, **{"X-Tenant-ID": ONE}) as client:
        denied = await client.get("/employees")
        assert (denied.status_code, denied.headers["x-entitlement-would-deny"]) == (200, "NOT_SUBSCRIBED")
        assert "x-entitlement-would-deny" not in (await client.get("/finance")).headers
        unreadable = await client.get("/employees", headers={"X-Tenant-ID": "acme"})
        assert (unreadable.status_code, unreadable.headers["x-entitlement-would-deny"]) == (200, "INVALID_FIELD")
    middleware = app.user_middleware[0].kwargs["client"]
    assert middleware.stats()["would_deny"] == 2
    assert sum("would deny" in record.message for record in caplog.records) == 2


async def test_in_shadow_mode_who_needs_a_tenant_and_has_none_is_still_answered_401(
    entitlements: InMemoryEntitlements,
) -> None:
    async with browser(make_app(entitlements, enforce=False)) as client:
        response = await client.get("/any")
        assert response.status_code == 401
        assert response.json()["reason"] == "TENANT_NOT_FOUND"


async def test_in_shadow_mode_a_client_that_is_of_no_use_lets_requests_pass(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(entitlements, enforce=False)
    await app.user_middleware[0].kwargs["client"].close()
    async with browser(app, **{"X-Tenant-ID": ONE}) as client:
        assert (await client.get("/employees")).status_code == 200
    assert "could not be looked for" in caplog.text


def routed(entitlements: InMemoryEntitlements) -> FastAPI:
    """Routes in routers in routers, below prefixes with names in them, and in an application that is mounted."""
    app, mounted = FastAPI(), FastAPI()
    inner, outer = APIRouter(prefix="/invoices"), APIRouter(prefix="/{office}")

    @require_module("finance")
    async def refuse() -> None:
        raise HTTPException(403)

    inner.get("/{number}")(refuse)
    inner.get("")(refuse)
    outer.include_router(inner, prefix="/finance")
    app.include_router(outer, prefix="/api")
    mounted.get("/invoices/{number:int}")(refuse)
    mounted.get("/files/{name:path}")(refuse)
    app.mount("/old/{version}", mounted)
    app.add_middleware(TenantMiddleware, client=entitlements.client(), enforce=False)
    return app


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/7/finance/invoices/8", "/api/{office}/finance/invoices/{number}"),
        ("/api/7/finance/invoices/7", "/api/{office}/finance/invoices/{number}"),
        ("/api/finance/finance/invoices", "/api/{office}/finance/invoices"),
        ("/old/2/invoices/3", "/old/{version}/invoices/{number:int}"),
        ("/old/2/files/a/2/c", "/old/{version}/files/{name:path}"),
    ],
)
async def test_a_route_is_named_whole_however_it_was_put_together(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, path: str, route: str
) -> None:
    entitlements.allow(ONE, "finance")
    async with browser(routed(entitlements), **{"X-Tenant-ID": ONE}) as client:
        assert (await client.get(path)).status_code == 403
    assert caplog.messages == [f"would allow: GET {route}, tenant {ONE}, was answered 403"]


async def test_what_no_route_answers_is_named_by_its_path(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    async with browser(routed(entitlements)) as client:
        assert (await client.get("/nowhere/7")).status_code == 404
    assert caplog.messages[0].startswith(
        "would deny: GET /nowhere/7, tenant none: 401 TENANT_NOT_FOUND, was answered 404"
    )


def old_decorator(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Grants nothing to who says so."""

    @wraps(endpoint)
    async def guarded(request: Request, **named: Any) -> Any:
        if "refuse" in request.query_params:
            raise HTTPException(403, "not in your plan")
        result = endpoint(request=request, **named)
        return await result if inspect.isawaitable(result) else result

    return guarded


def user(request: Request) -> None:
    if "stranger" in request.query_params:
        raise HTTPException(401, "who are you?")


class OldMiddleware(BaseHTTPMiddleware):
    """Refuses who names no tenant, or one that it has not heard of, as an ERP does: with 404."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if "raise" in request.query_params:
            raise HTTPException(404, "Tenant not found.")
        if "answer" in request.query_params or "x-tenant-id" not in request.headers:
            return JSONResponse({"detail": "Tenant not found."}, 404)
        return await call_next(request)


def beside_the_old(entitlements: InMemoryEntitlements) -> FastAPI:
    app = FastAPI()

    @app.get("/ledger", dependencies=[Depends(user)])
    @require_module("finance").beside(old_decorator)
    async def ledger(request: Request, forbid: bool = False) -> str:
        if forbid:
            raise HTTPException(403, "not for you")
        return "ledger"

    @app.get("/journal")
    @require_module("finance").beside(old_decorator)
    def journal(request: Request) -> None:
        raise HTTPException(403, "not for you")

    @app.get("/login")
    async def login() -> None:
        raise HTTPException(401, "wrong password")

    app.add_middleware(OldMiddleware)
    app.add_middleware(TenantMiddleware, client=entitlements.client(), enforce=False)

    @app.exception_handler(Exception)
    async def answer(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status_code)

    return app


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/ledger", 200, None),
        ("/ledger?refuse=1", 403, "would allow: GET /ledger"),
        ("/ledger?answer=1", 404, "would allow: GET /ledger"),
        ("/ledger?raise=1", 404, "would allow: GET /ledger"),
        ("/ledger?stranger=1", 401, None),
        ("/ledger?forbid=1", 403, None),
        ("/journal", 403, None),
        ("/journal?refuse=1", 403, "would allow: GET /journal"),
        ("/login", 401, None),
        ("/nowhere", 404, None),
    ],
)
async def test_what_is_refused_by_what_the_library_replaces_is_told_and_nothing_else(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, path: str, status: int, said: str | None
) -> None:
    entitlements.allow(ONE, "finance")
    async with browser(beside_the_old(entitlements), raises=False, **{"X-Tenant-ID": ONE}) as client:
        assert (await client.get(path)).status_code == status
    assert caplog.messages == ([f"{said}, tenant {ONE}, was answered {status}"] if said else [])


async def test_where_both_refuse_nothing_is_told_although_their_statuses_differ(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    async with browser(beside_the_old(entitlements), raises=False) as client:
        for path in ("/ledger", "/ledger?raise=1", "/nowhere"):
            assert (await client.get(path)).status_code == 404
    assert caplog.messages == []
