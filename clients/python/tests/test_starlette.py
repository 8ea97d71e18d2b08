"""The middleware and the gates without FastAPI."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from entitlement_client.fastapi import TenantMiddleware, client_lifespan, current_tenant, require_module
from entitlement_client.testing import InMemoryEntitlements

ONE = "00000000-0000-4000-8000-000000000001"
HERS = {"X-Tenant-ID": ONE}


@require_module("finance")
async def finance(request: Request) -> JSONResponse:
    return JSONResponse([request.state.tenant_id, request.state.schema, current_tenant().subdomain])


@require_module("hrms")
def employees(request: Request) -> PlainTextResponse:
    return PlainTextResponse("not to be seen")


class Employees(HTTPEndpoint):
    @require_module("hrms")
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["number"])


async def whose(request: Request) -> PlainTextResponse:
    return PlainTextResponse(current_tenant().id)


def starlette(entitlements: InMemoryEntitlements, **settings: Any) -> Starlette:
    entitlements.add_tenant(ONE, subdomain="acme", database_schema="tenant_acme")
    entitlements.allow(ONE, "finance")
    client = entitlements.client()
    routes = [
        Route("/finance", finance),
        Route("/employees", employees),
        Mount("/hrms", routes=[Route("/employees/{number}", Employees)]),
        Route("/health", whose),
    ]
    middleware = [Middleware(TenantMiddleware, client=client, **settings)]
    return Starlette(routes=routes, middleware=middleware, lifespan=client_lifespan(client))


def browser(app: Starlette, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://erp.test", headers=headers)


async def test_who_may_is_let_in_with_the_tenant_in_the_state(entitlements: InMemoryEntitlements) -> None:
    async with browser(starlette(entitlements), **HERS) as client:
        response = await client.get("/finance")
    assert (response.status_code, response.json()) == (200, [ONE, "tenant_acme", "acme"])


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/finance", {}, 401, "TENANT_NOT_FOUND"),
        ("/finance", {"X-Tenant-ID": "acme"}, 400, "INVALID_FIELD"),
        ("/employees", HERS, 403, "NOT_SUBSCRIBED"),
        ("/hrms/employees/7", HERS, 403, "NOT_SUBSCRIBED"),
        ("/health", {}, 401, "TENANT_NOT_FOUND"),
    ],
)
async def test_who_may_not_is_told_so(
    entitlements: InMemoryEntitlements, path: str, headers: dict[str, str], status: int, reason: str
) -> None:
    async with browser(starlette(entitlements), **headers) as client:
        response = await client.get(path)
    assert (response.status_code, response.json()["reason"]) == (status, reason)
    assert response.headers["content-type"] == "application/problem+json"


async def test_in_shadow_mode_everything_passes(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    async with browser(starlette(entitlements, enforce=False), **HERS) as client:
        response = await client.get("/hrms/employees/7")
    assert (response.status_code, response.text) == (200, "7")
    assert response.headers["x-entitlement-would-deny"] == "NOT_SUBSCRIBED"
    [line] = caplog.messages
    assert line.startswith(
        f"would deny: GET /hrms/employees/{{number}}, tenant {ONE}: 403 NOT_SUBSCRIBED, was answered 200"
    )


def test_fastapi_is_not_needed() -> None:
    program = "import sys; sys.modules['fastapi'] = None; import entitlement_client.fastapi, entitlement_client.testing"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
