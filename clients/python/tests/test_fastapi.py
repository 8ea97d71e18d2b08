"""The middleware and the gates, in an application on the double."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi_app import ONE, TWO, browser, make_app

from entitlement_client import ClientMisuseError
from entitlement_client.fastapi import client_lifespan, require_module
from entitlement_client.testing import InMemoryEntitlements

SENTENCE = "Module 'hrms' is not enabled for your account. Please upgrade your subscription."


@pytest.fixture
async def erp(entitlements: InMemoryEntitlements) -> AsyncIterator[httpx.AsyncClient]:
    entitlements.add_tenant(ONE, subdomain="acme", database_schema="tenant_acme", token="acme-token")
    entitlements.add_tenant(TWO, subdomain="other")
    entitlements.allow(ONE, "finance")
    async with browser(make_app(entitlements), **{"X-Tenant-ID": ONE}) as client:
        yield client


async def test_a_module_that_is_enabled_is_let_through_with_the_tenant_in_the_state(erp: httpx.AsyncClient) -> None:
    response = await erp.get("/finance")
    assert (response.status_code, response.json()) == (200, {"tenant": ONE, "schema": "tenant_acme"})


@pytest.mark.parametrize("path", ["/employees", "/hrms/people"])
async def test_a_denied_module_is_403_with_the_sentence_as_decorator_and_as_dependency(
    erp: httpx.AsyncClient, path: str
) -> None:
    response = await erp.get(path)
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.json()["detail"], response.json()["reason"]) == (SENTENCE, "NOT_SUBSCRIBED")


async def test_the_endpoints_arguments_may_be_called_anything(erp: httpx.AsyncClient) -> None:
    response = await erp.post("/body?tenant=8", json={"a": 1})
    assert response.json() == {"request": {"a": 1}, "tenant": 8, "of": ONE}


async def test_an_endpoint_that_is_not_async_still_runs_in_a_thread(erp: httpx.AsyncClient) -> None:
    assert (await erp.get("/thread")).json() == {"is_main": False, "of": ONE}


async def test_one_of_several_modules_is_enough(erp: httpx.AsyncClient, entitlements: InMemoryEntitlements) -> None:
    assert (await erp.get("/any")).json() == "acme"
    entitlements.expire(ONE, "finance")
    assert (await erp.get("/any")).json()["reason"] == "NOT_SUBSCRIBED"


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"X-Tenant-ID": ""}, 401, "TENANT_NOT_FOUND"),
        ({"X-Tenant-ID": ONE.replace("1", "9")}, 401, "TENANT_NOT_FOUND"),
        ({"X-Tenant-ID": "acme"}, 400, "INVALID_FIELD"),
        ({"X-Tenant-ID": "{" + ONE + "}"}, 400, "INVALID_FIELD"),
        ({"Authorization": "Bearer forged"}, 401, "TOKEN_INVALID"),
        ({"X-Tenant-ID": "", "Authorization": "Basic eDp5"}, 401, "TENANT_NOT_FOUND"),
        ({"X-Tenant-ID": TWO, "Authorization": "Bearer acme-token"}, 403, "TENANT_CONFLICT"),
        ({"X-Tenant-ID": ONE, "Host": "other.erp.example"}, 403, "TENANT_CONFLICT"),
    ],
)
async def test_what_names_no_tenant_or_a_wrong_one_is_refused_as_the_server_says(
    erp: httpx.AsyncClient, headers: dict[str, str], status: int, reason: str
) -> None:
    response = await erp.get("/finance", headers=headers)
    assert (response.status_code, response.json()["reason"]) == (status, reason)
    assert response.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Tenant-ID", ONE), ("X-Tenant-ID", TWO)],
        [("X-Tenant-ID", ONE), ("Host", "erp.test"), ("Host", "other.erp.example")],
        [("X-Tenant-ID", ONE), ("Authorization", "Bearer acme-token"), ("Authorization", "Bearer other")],
        [("X-Tenant-ID", ONE.encode() + b"\xff")],
    ],
)
async def test_what_comes_twice_or_is_no_text_is_refused(erp: httpx.AsyncClient, headers: Any) -> None:
    response = await erp.send(httpx.Request("GET", "http://erp.test/finance", headers=headers))
    assert (response.status_code, response.json()["reason"]) == (400, "INVALID_FIELD")


async def test_another_scheme_than_bearer_stays_with_the_service(erp: httpx.AsyncClient) -> None:
    assert (await erp.get("/finance", headers={"Authorization": "Basic eDp5"})).status_code == 200


async def test_no_tenant_is_401_with_the_sentence_that_the_erp_knows(erp: httpx.AsyncClient) -> None:
    response = await erp.get("/finance", headers={"X-Tenant-ID": ""})
    assert response.json()["detail"] == "Tenant context not found. Please login."
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_suspended_tenant_is_403(erp: httpx.AsyncClient, entitlements: InMemoryEntitlements) -> None:
    assert (await erp.get("/finance")).status_code == 200
    entitlements.add_tenant(ONE, status="SUSPENDED")
    response = await erp.get("/finance")
    assert (response.status_code, response.json()["reason"]) == (403, "TENANT_SUSPENDED")


async def test_a_prefix_makes_its_segment_public_and_no_longer_word(erp: httpx.AsyncClient) -> None:
    nobody = {"X-Tenant-ID": ""}
    assert (await erp.get("/api/v1/admin/tenants", headers=nobody)).status_code == 200
    assert (await erp.get("/api/v1/adminfoo", headers=nobody)).status_code == 401
    assert (await erp.get("/api/v1/admin/%2e%2e/adminfoo", headers=nobody)).status_code == 401
    assert (await erp.options("/finance", headers=nobody)).status_code == 200


async def test_a_gate_on_a_public_path_is_401(erp: httpx.AsyncClient) -> None:
    assert (await erp.get("/api/v1/admin/gated")).status_code == 401


async def test_without_the_middleware_a_gate_is_401() -> None:
    app = FastAPI()

    @app.get("/dependency", dependencies=[Depends(require_module("finance"))])
    async def dependency() -> None: ...

    @app.get("/decorator")
    @require_module("finance")
    async def decorator() -> None: ...

    async with browser(app) as client:
        for path in ("/dependency", "/decorator"):
            response = await client.get(path)
            assert response.status_code == 401
            assert response.json()["detail"] == "Tenant context not found. Please login."


async def test_an_outage_is_503_with_retry_after_and_no_traceback(
    erp: httpx.AsyncClient, entitlements: InMemoryEntitlements
) -> None:
    assert (await erp.get("/finance")).status_code == 200
    entitlements.go_dark()
    assert (await erp.get("/finance")).status_code == 200, "what is held is good for its max_age"
    assert (await erp.get("/employees")).status_code == 503
    entitlements.advance(timedelta(seconds=31))
    response = await erp.get("/finance")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert set(response.json()) == {"type", "title", "status", "detail", "reason"}
    entitlements.come_back()
    assert (await erp.get("/finance")).status_code == 200


async def test_a_websocket_that_is_refused_is_closed(entitlements: InMemoryEntitlements) -> None:
    app = make_app(entitlements)

    async def opened() -> dict[str, Any]:
        """What the application answers to a browser that opens the socket."""
        told: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            told.append(message)

        headers = [(b"x-tenant-id", ONE.encode())]
        scope = {"type": "websocket", "path": "/socket", "headers": headers, "query_string": b"", "subprotocols": []}
        await app(scope, receive, send)
        return told[0]

    entitlements.allow(ONE, "hrms")
    assert (await opened())["type"] == "websocket.accept"
    entitlements.deny(ONE, "hrms")
    refused = await opened()
    assert (refused["type"], refused["code"], refused["reason"]) == ("websocket.close", 1008, "NOT_SUBSCRIBED")


@pytest.mark.parametrize("code", ["", "x" * 51, "a\nb"])
def test_what_cannot_be_a_modules_code_is_refused_where_it_is_written(code: str) -> None:
    with pytest.raises(ValueError, match="no module's code"):
        require_module(code)


async def test_the_lifespan_closes_the_client_around_another_lifespan(entitlements: InMemoryEntitlements) -> None:
    client, steps = entitlements.client(), []

    @asynccontextmanager
    async def own(_app: Any) -> AsyncIterator[dict[str, int]]:
        steps.append("begins")
        yield {"seven": 7}
        assert (await client.check(ONE, "finance")).reason == "TENANT_NOT_FOUND"
        steps.append("ends")

    async with client_lifespan(client, own)(FastAPI()) as state:
        assert state == {"seven": 7}
    assert steps == ["begins", "ends"]
    with pytest.raises(ClientMisuseError):
        await client.check(ONE, "finance")
    other = entitlements.client()
    async with client_lifespan(other)(FastAPI()):
        await other.check(ONE, "finance")
    with pytest.raises(ClientMisuseError):
        await other.check(ONE, "finance")
