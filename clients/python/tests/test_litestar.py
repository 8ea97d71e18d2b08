"""The middleware and the gates in Litestar, which is no Starlette."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, Response, get
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath
from litestar.types import ASGIApp

from entitlement_client import ClientMisuseError
from entitlement_client.fastapi import (
    GateRefusedError,
    TenantMiddleware,
    client_lifespan,
    current_tenant,
    require_module,
)
from entitlement_client.testing import InMemoryEntitlements

ONE = "00000000-0000-4000-8000-000000000001"
HERS = {"X-Tenant-ID": ONE}
PAGE = "https://app.erp.example"


@get("/finance")
@require_module("finance")
async def finance(request: Request[Any, Any, Any]) -> list[str]:
    return [request.state.tenant_id, request.state.schema, request.state.tenant.subdomain]


@get("/employees/{number:int}")
@require_module("hrms")
async def employees(number: FromPath[int]) -> int:
    return number


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    await require_module("hrms")()


@get("/guarded", guards=[guard])
async def guarded() -> None: ...


@get("/health", sync_to_thread=False)
def whose() -> str:
    return current_tenant().id


def litestar(entitlements: InMemoryEntitlements, *, by_hand: bool = False, enforce: bool = True, **more: Any) -> ASGIApp:
    entitlements.add_tenant(ONE, subdomain="acme", database_schema="tenant_acme")
    entitlements.allow(ONE, "finance")
    settings: dict[str, Any] = {"client": entitlements.client(), "enforce": enforce}
    middleware = [] if by_hand else [DefineMiddleware(TenantMiddleware, **settings)]
    # Its own settings would take the log away from pytest.
    more = {"openapi_config": None, "logging_config": None} | more
    app = Litestar([finance, employees, guarded, whose], middleware=middleware, **more)
    return TenantMiddleware(app, **settings) if by_hand else app


def browser(app: Any, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://erp.test", headers=headers)


BOTH_WAYS = pytest.mark.parametrize("by_hand", [True, False])


@BOTH_WAYS
async def test_who_may_is_let_in_with_the_tenant_in_the_state(entitlements: InMemoryEntitlements, by_hand: bool) -> None:
    async with browser(litestar(entitlements, by_hand=by_hand), **HERS) as client:
        response = await client.get("/finance")
    assert (response.status_code, response.json()) == (200, [ONE, "tenant_acme", "acme"])


@BOTH_WAYS
async def test_who_names_no_tenant_is_refused_with_a_problem(entitlements: InMemoryEntitlements, by_hand: bool) -> None:
    async with browser(litestar(entitlements, by_hand=by_hand)) as client:
        response = await client.get("/finance")
    assert (response.status_code, response.json()["reason"]) == (401, "TENANT_NOT_FOUND")
    assert response.headers["content-type"] == "application/problem+json"


@BOTH_WAYS
@pytest.mark.parametrize("path", ["/employees/7", "/guarded"])
async def test_a_gates_refusal_has_its_status_and_its_sentence(
    entitlements: InMemoryEntitlements, path: str, by_hand: bool
) -> None:
    async with browser(litestar(entitlements, by_hand=by_hand), **HERS) as client:
        response = await client.get(path)
    assert response.status_code == 403
    assert response.json()["detail"].startswith("Module 'hrms' is not enabled for your account.")


async def test_it_closes_the_client_when_it_ends() -> None:
    client = InMemoryEntitlements().client()
    async with Litestar([], lifespan=[client_lifespan(client)], logging_config=None).lifespan():
        assert (await client.check(ONE, "finance")).reason == "TENANT_NOT_FOUND"
    with pytest.raises(ClientMisuseError):
        await client.check(ONE, "finance")


async def test_on_a_public_path_whoever_needs_a_tenant_is_401(entitlements: InMemoryEntitlements) -> None:
    async with browser(litestar(entitlements)) as client:
        response = await client.get("/health")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_handler_makes_it_a_problem(entitlements: InMemoryEntitlements) -> None:
    def answer(request: Request[Any, Any, Any], error: GateRefusedError) -> Response[Any]:
        problem = error.problem
        return Response(problem.body(), media_type="application/problem+json", status_code=problem.status)

    app = litestar(entitlements, exception_handlers={GateRefusedError: answer})
    async with browser(app, **HERS) as client:
        response = await client.get("/employees/7")
    assert (response.status_code, response.json()["reason"]) == (403, "NOT_SUBSCRIBED")
    assert response.headers["content-type"] == "application/problem+json"


@BOTH_WAYS
async def test_in_shadow_mode_everything_passes_and_routes_are_named(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, by_hand: bool
) -> None:
    async with browser(litestar(entitlements, enforce=False, by_hand=by_hand), **HERS) as client:
        response = await client.get("/employees/7")
    assert (response.status_code, response.json()) == (200, 7)
    assert response.headers["x-entitlement-would-deny"] == "NOT_SUBSCRIBED"
    [line] = [message for message in caplog.messages if message.startswith("would")]
    assert line.startswith(f"would deny: GET /employees/{{number}}, tenant {ONE}: 403 NOT_SUBSCRIBED, was answered 200")


@BOTH_WAYS
async def test_its_own_cors_stands_outside_unless_the_middleware_is_wrapped_around(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, by_hand: bool
) -> None:
    app = litestar(entitlements, by_hand=by_hand, cors_config=CORSConfig(allow_origins=[PAGE]))
    async with browser(app, Origin=PAGE) as client:
        response = await client.get("/finance")
    assert response.status_code == 401
    assert response.headers.get("access-control-allow-origin") == (None if by_hand else PAGE)
    assert any("stands inside" in message for message in caplog.messages) == by_hand
