"""Refusals and CORS: a browser must be able to read a 401, or it never signs in again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_app import ONE, TWO, browser, make_routes
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp

from entitlement_client import EntitlementClient
from entitlement_client.fastapi import TenantMiddleware
from entitlement_client.testing import InMemoryEntitlements

PAGE = "https://app.erp.example"
CORS: dict[str, Any] = {"allow_origins": [PAGE], "allow_headers": ["X-Tenant-ID"], "expose_headers": ["retry-after"]}


class OurCors(CORSMiddleware):
    """Some applications have one of their own."""


class Slotted:
    """Middleware that keeps what it wraps in a slot."""

    __slots__ = ("app",)

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, *arguments: Any) -> None:
        await self.app(*arguments)


Tenants = Callable[[ASGIApp], TenantMiddleware]


def added_last(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(tenants)
    app.add_middleware(CORSMiddleware, **CORS)
    return app


def listed(app: FastAPI, *middleware: Middleware) -> ASGIApp:
    outer = FastAPI(middleware=middleware)
    outer.include_router(app.router)
    return outer


def first_in_the_list(app: FastAPI, tenants: Tenants) -> ASGIApp:
    return listed(app, Middleware(CORSMiddleware, **CORS), Middleware(tenants))


def around_by_hand(app: FastAPI, tenants: Tenants) -> ASGIApp:
    return CORSMiddleware(tenants(app), **CORS)


def on_a_mounted_application(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(tenants)
    outer = FastAPI()
    outer.mount("", app)
    outer.add_middleware(CORSMiddleware, **CORS)
    return outer


def outside_and_on_a_mounted_application(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(CORSMiddleware, **CORS)
    outer = FastAPI()
    outer.mount("", app)
    return added_last(outer, tenants)


def outside_of_a_mount_that_is_wrapped(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(CORSMiddleware, **CORS)
    outer = FastAPI(middleware=[Middleware(CORSMiddleware, **CORS)])
    outer.mount("", tenants(app))
    return outer


def added_first(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(CORSMiddleware, **CORS)
    app.add_middleware(tenants)
    return app


def behind_others(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(OurCors, **CORS)
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    app.add_middleware(Slotted)
    app.add_middleware(tenants)
    return app


def last_in_the_list(app: FastAPI, tenants: Tenants) -> ASGIApp:
    return listed(app, Middleware(tenants), Middleware(CORSMiddleware, **CORS))


def within_by_hand(app: FastAPI, tenants: Tenants) -> ASGIApp:
    return tenants(CORSMiddleware(app, **CORS))


def added_to_what_is_wrapped_by_hand(app: FastAPI, tenants: Tenants) -> ASGIApp:
    wrapped = tenants(app)
    app.add_middleware(OurCors, **CORS)
    return wrapped


def on_an_application_that_is_mounted_twice(app: FastAPI, tenants: Tenants) -> ASGIApp:
    app.add_middleware(CORSMiddleware, **CORS)
    outer = FastAPI()
    outer.mount("", Starlette(routes=[Mount("", Slotted(app))]))
    outer.add_middleware(tenants)
    return outer


def on_a_mount(app: FastAPI, tenants: Tenants) -> ASGIApp:
    mount = Mount("", app, middleware=[Middleware(CORSMiddleware, **CORS)])
    return Starlette(routes=[mount], middleware=[Middleware(tenants)])


RIGHT = [
    added_last,
    first_in_the_list,
    around_by_hand,
    on_a_mounted_application,
    outside_and_on_a_mounted_application,
    outside_of_a_mount_that_is_wrapped,
]
WRONG = [
    added_first,
    behind_others,
    last_in_the_list,
    within_by_hand,
    added_to_what_is_wrapped_by_hand,
    on_an_application_that_is_mounted_twice,
    on_a_mount,
]
Order = Callable[[FastAPI, Tenants], ASGIApp]


def ordered(order: Order, client: EntitlementClient, **settings: Any) -> ASGIApp:
    """The routes of the usual application, with middleware in some order."""
    return order(make_routes(), lambda app: TenantMiddleware(app, client=client, **settings))


def page(app: ASGIApp, **headers: str) -> httpx.AsyncClient:
    """A page of another origin."""
    return browser(app, Origin=PAGE, **headers)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def started(app: ASGIApp) -> None:
    """As a server starts an application, and ends it."""
    told = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return told.pop(0)

    async def send(message: Any) -> None:
        assert message["type"].endswith(".complete"), message

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)


async def readable(page: httpx.AsyncClient, path: str, status: int, **headers: str) -> bool:
    """May a page read this refusal?"""
    response = await page.get(path, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    return response.headers.get("access-control-allow-origin") == PAGE


@pytest.mark.parametrize("order", RIGHT)
async def test_where_cors_stands_outside_a_page_can_read_every_refusal(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, order: Order
) -> None:
    entitlements.add_tenant(ONE)
    app = ordered(order, entitlements.client())
    await started(app)
    async with page(app) as client:
        assert await readable(client, "/finance", 401)
        assert await readable(client, "/finance", 400, **{"X-Tenant-ID": "acme"})
        assert await readable(client, "/employees", 403, **{"X-Tenant-ID": ONE})
        assert await readable(client, "/hrms/people", 403, **{"X-Tenant-ID": ONE})
        assert said(caplog) == []
        entitlements.go_dark()
        assert await readable(client, "/finance", 503, **{"X-Tenant-ID": TWO})


@pytest.mark.parametrize("order", WRONG)
async def test_where_cors_stands_inside_one_warning_says_so_when_the_application_starts(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, order: Order
) -> None:
    entitlements.add_tenant(ONE)
    app = ordered(order, entitlements.client())
    await started(app)
    [warning] = said(caplog)
    assert "CORSMiddleware stands inside of TenantMiddleware" in warning
    assert "add_middleware" in warning
    async with page(app) as client:
        assert not await readable(client, "/finance", 401)
        # Gates stand inside of both.
        assert await readable(client, "/employees", 403, **{"X-Tenant-ID": ONE})
        assert await readable(client, "/hrms/people", 403, **{"X-Tenant-ID": ONE})
    assert said(caplog) == [warning]


async def test_where_nobody_starts_the_application_its_first_request_does(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    async with page(ordered(added_first, entitlements.client(), enforce=False)) as client:
        await client.get("/api/v1/adminfoo")
        await client.get("/api/v1/adminfoo")
    assert sum("stands inside" in message for message in said(caplog)) == 1, "in shadow mode, too: it is not the end"


@pytest.mark.parametrize("order", RIGHT + WRONG)
async def test_the_question_before_a_request_needs_no_tenant(entitlements: InMemoryEntitlements, order: Order) -> None:
    asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-Tenant-ID"}
    async with page(ordered(order, entitlements.client()), **asks) as client:
        response = await client.options("/finance")
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, PAGE)


async def test_what_stands_inside_and_is_no_application_is_not_called(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange:
        """Has everything, without end, but for what fails."""

        def __getattr__(self, name: str) -> Strange:
            return Strange()

        @property
        def routes(self) -> Any:
            raise RuntimeError("not here")

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

    app = TenantMiddleware(Strange(), client=entitlements.client(), public_paths=["/"])
    async with page(app) as client:
        assert (await client.get("/")).status_code == 204
    assert said(caplog) == []
