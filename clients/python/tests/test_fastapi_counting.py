"""Requests that are counted, in an application on the double."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi_app import ONE, browser

from entitlement_client import EntitlementClient, EntitlementsUnavailableError
from entitlement_client.fastapi import CountingMiddleware, TenantMiddleware, counted, require_module
from entitlement_client.testing import InMemoryEntitlements

CALLS = "calls_monthly"


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant whose calls are counted."""
    entitlements.allow(ONE, "finance")
    entitlements.set_limit(ONE, CALLS, None)
    return entitlements


def routes(*dependencies: Any) -> APIRouter:
    router = APIRouter(dependencies=[Depends(one) for one in dependencies])

    @router.get("/fine")
    async def fine() -> None: ...

    @router.get("/gated")
    @require_module("hrms")
    async def gated() -> None: ...

    @router.get("/forbidden")
    async def forbidden() -> None:
        raise HTTPException(403)

    @router.get("/away")
    async def away() -> None:
        raise EntitlementsUnavailableError("away")

    @router.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    @router.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @router.get("/health")
    async def health() -> None: ...

    return router


async def used(client: EntitlementClient, double: InMemoryEntitlements) -> dict[str, int]:
    hour = timedelta(hours=1)
    spans = await client.query_usage(ONE, CALLS, double.now - hour, double.now + hour, by_module=True)
    return {span.module: span.amount for span in spans}


async def ask_all(erp: httpx.AsyncClient) -> list[int]:
    paths = ("/fine", "/gated", "/forbidden", "/teapot", "/broken", "/health")
    return [(await erp.get(path)).status_code for path in paths]


@pytest.mark.parametrize(("refused", "expected"), [(False, 3), (True, 5)])
async def test_the_middleware_counts_what_has_a_tenant_and_is_not_refused(
    double: InMemoryEntitlements, refused: bool, expected: int
) -> None:
    async with double.client() as client:
        app, counters = FastAPI(), client.counters()
        app.include_router(routes())
        app.add_middleware(CountingMiddleware, counters=counters, meter=CALLS, module="finance", refused=refused)
        app.add_middleware(TenantMiddleware, client=client, public_paths=["/health"])
        async with browser(app, raises=False, **{"X-Tenant-ID": ONE}) as erp:
            assert await ask_all(erp) == [200, 403, 403, 418, 500, 200]
            assert (await erp.get("/fine", headers={"X-Tenant-ID": "nonsense"})).status_code == 400
        assert await counters.flush()
        assert await used(client, double) == {"finance": expected}


@pytest.mark.parametrize(("refused", "expected"), [(False, 3), (True, 5)])
async def test_the_dependency_counts_likewise(double: InMemoryEntitlements, refused: bool, expected: int) -> None:
    async with double.client() as client:
        app, counters = FastAPI(), client.counters()
        app.include_router(routes(counted(counters, CALLS, 2, refused=refused)))
        app.include_router(routes(require_module("hrms"), counted(counters, CALLS, 100, refused=True)), prefix="/hrms")
        app.add_middleware(TenantMiddleware, client=client, public_paths=["/health"])
        async with browser(app, raises=False, **{"X-Tenant-ID": ONE}) as erp:
            assert await ask_all(erp) == [200, 403, 403, 418, 500, 200]
            assert (await erp.get("/hrms/fine")).status_code == 403
        assert await counters.flush()
        assert await used(client, double) == {"": 2 * expected}


async def test_an_outage_changes_nothing_for_requests_and_what_waits_is_counted_afterwards(
    double: InMemoryEntitlements,
) -> None:
    async with double.client() as client:
        app, counters = FastAPI(), client.counters()
        app.include_router(routes(counted(counters, CALLS)))
        app.add_middleware(TenantMiddleware, client=client)
        async with browser(app, **{"X-Tenant-ID": ONE}) as erp:
            assert (await erp.get("/fine")).status_code == 200
            double.go_dark()
            assert not await counters.flush()
            double.come_back()
            assert (await erp.get("/fine")).status_code == 200
            assert (await erp.get("/away")).status_code == 503
        assert await counters.flush()
        assert await used(client, double) == {"": 3}


async def test_counters_that_are_closed_fail_no_request(double: InMemoryEntitlements) -> None:
    async with double.client() as client:
        app, counters = FastAPI(), client.counters()
        app.include_router(routes(counted(counters, CALLS)))
        app.add_middleware(TenantMiddleware, client=client)
        await counters.close()
        async with browser(app, **{"X-Tenant-ID": ONE}) as erp:
            assert (await erp.get("/fine")).status_code == 200


async def test_one_that_stands_outside_of_the_tenant_middleware_says_once_that_it_counts_nothing(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    async with double.client() as client:
        app, counters = FastAPI(), client.counters()
        app.include_router(routes())
        app.add_middleware(TenantMiddleware, client=client)
        app.add_middleware(CountingMiddleware, counters=counters, meter=CALLS)
        async with browser(app, **{"X-Tenant-ID": ONE}) as erp:
            assert [(await erp.get("/fine")).status_code for _ in range(2)] == [200, 200]
        assert counters.waiting == 0
        assert len(caplog.records) == 1
        assert "outside of TenantMiddleware" in caplog.text
