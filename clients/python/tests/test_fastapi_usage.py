"""What an endpoint's own question raises, in an application on the double."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi_app import ONE, browser

from entitlement_client import EntitlementClient, EntitlementError, SyncEntitlementClient
from entitlement_client.fastapi import TenantMiddleware, current_tenant
from entitlement_client.testing import InMemoryEntitlements


def make_routes(client: EntitlementClient, sync: SyncEntitlementClient) -> FastAPI:
    app = FastAPI()

    @app.post("/orders/{key}")
    async def order(key: str, amount: int = 1, module: str | None = None) -> int:
        async with client.reserving(current_tenant().id, "orders", key, amount, module=module) as held:
            if key == "broken":
                raise ZeroDivisionError
            return held.amount

    @app.post("/threads/{key}")
    def in_a_thread(key: str) -> int:
        with sync.reserving(current_tenant().id, "orders", key) as held:
            return held.amount

    @app.get("/limits")
    async def limits() -> None:
        await client.require_within_limit(current_tenant().id, "orders", 3)

    @app.get("/features")
    async def features() -> None:
        await client.require_feature(current_tenant().id, "finance", "none")

    @app.get("/modules")
    async def modules() -> None:
        await client.require(current_tenant().id, "hrms")

    return app


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with three orders."""
    entitlements.allow(ONE, "finance")
    entitlements.set_limit(ONE, "orders", 3)
    return entitlements


@pytest.fixture(params=["routes", "mounted"])
async def erp(request: pytest.FixtureRequest, double: InMemoryEntitlements) -> AsyncIterator[httpx.AsyncClient]:
    client, sync = double.client(), double.sync_client()
    app = make_routes(client, sync)
    if request.param == "mounted":
        inner, app = app, FastAPI()
        app.mount("/", inner)
    app.add_middleware(TenantMiddleware, client=client)
    async with browser(app, **{"X-Tenant-ID": ONE}) as client_of_it:
        yield client_of_it
    sync.close()


def said(response: httpx.Response) -> tuple[int, Any, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["reason"], response.json()["detail"]


@pytest.mark.parametrize("path", ["orders", "threads"])
async def test_what_is_not_to_be_had_is_403_with_the_sentence(erp: httpx.AsyncClient, path: str) -> None:
    for number in range(3):
        assert (await erp.post(f"/{path}/o-{number}")).json() == 1
    sentence = "This would exceed the limit 'orders' of 3."
    assert said(await erp.post(f"/{path}/o-3")) == (403, "EXCEEDED", sentence)
    # The same order again is counted already.
    assert (await erp.post(f"/{path}/o-2")).json() == 1


async def test_use_of_a_denied_module_is_refused_as_the_module_is(erp: httpx.AsyncClient) -> None:
    status, reason, detail = said(await erp.post("/orders/o-1?module=hrms"))
    assert (status, reason) == (403, "NOT_SUBSCRIBED")
    assert detail.startswith("Module 'hrms' is not enabled for your account.")


async def test_an_endpoint_that_fails_counts_nothing(erp: httpx.AsyncClient, double: InMemoryEntitlements) -> None:
    with pytest.raises(ZeroDivisionError):
        await erp.post("/orders/broken?amount=3")
    assert (await erp.post("/orders/whole?amount=3")).json() == 3


async def test_in_an_outage_it_is_503_by_every_rule(erp: httpx.AsyncClient, double: InMemoryEntitlements) -> None:
    await erp.post("/orders/o-1")
    double.go_dark()
    response = await erp.post("/orders/o-2")
    assert said(response)[:2] == (503, "UNSPECIFIED")
    assert response.headers["retry-after"] == "1"


async def test_limits_features_and_modules_that_an_endpoint_requires_are_403_too(erp: httpx.AsyncClient) -> None:
    assert said(await erp.get("/limits"))[:2] == (403, "EXCEEDED")
    assert said(await erp.get("/features"))[:2] == (403, "NOT_FOUND")
    assert said(await erp.get("/modules"))[:2] == (403, "NOT_SUBSCRIBED")


async def test_a_handler_of_the_applications_own_is_asked_first(double: InMemoryEntitlements) -> None:
    client, sync = double.client(), double.sync_client()
    app = make_routes(client, sync)

    @app.exception_handler(EntitlementError)
    async def own(request: Request, error: EntitlementError) -> JSONResponse:
        return JSONResponse({"own": str(error)}, 418)

    app.add_middleware(TenantMiddleware, client=client)
    async with browser(app, **{"X-Tenant-ID": ONE}) as erp:
        response = await erp.post("/orders/o-1?amount=4")
        assert (response.status_code, response.json()["own"]) == (418, "This would exceed the limit 'orders' of 3.")
    sync.close()
