"""Gates of features, in an application on the double."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi_app import ONE, browser
from older import older

from entitlement_client.fastapi import TenantMiddleware, require_feature
from entitlement_client.testing import InMemoryEntitlements


def make_app(entitlements: InMemoryEntitlements, **settings: Any) -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/router", dependencies=[Depends(require_feature("finance", "multi_currency"))])

    @app.get("/decorator")
    @require_feature("finance", "multi_currency")
    async def decorator(amount: int = 3) -> int:
        return amount

    @app.get("/thread")
    @require_feature("finance", "multi_currency")
    def thread() -> str:
        return "done"

    @app.get("/dependency", dependencies=[Depends(require_feature("hrms", "payroll"))])
    async def dependency() -> str:
        return "done"

    @router.get("/rates")
    async def rates() -> list[int]:
        return []

    app.include_router(router)
    app.add_middleware(TenantMiddleware, client=entitlements.client(), **settings)
    return app


@pytest.fixture
async def erp(entitlements: InMemoryEntitlements) -> AsyncIterator[httpx.AsyncClient]:
    entitlements.allow(ONE, "finance")
    entitlements.set_feature(ONE, "finance", "multi_currency", False, reason="PLAN")
    async with browser(make_app(entitlements), **{"X-Tenant-ID": ONE}) as client:
        yield client


@pytest.mark.parametrize("path", ["/decorator?amount=8", "/thread", "/router/rates"])
async def test_a_feature_that_is_on_is_let_through_and_one_that_is_off_is_403_with_the_sentence(
    erp: httpx.AsyncClient, entitlements: InMemoryEntitlements, path: str
) -> None:
    response = await erp.get(path)
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reason"] == "PLAN"
    assert response.json()["detail"].startswith("Your plan does not include the feature 'multi_currency'")
    entitlements.set_feature(ONE, "finance", "multi_currency")
    response = await erp.get(path)
    assert (response.status_code, response.json()) == (200, {"d": 8, "t": "done", "r": []}[path[1]])


async def test_a_feature_of_a_denied_module_is_refused_as_the_module_is(erp: httpx.AsyncClient) -> None:
    response = await erp.get("/dependency")
    assert (response.status_code, response.json()["reason"]) == (403, "NOT_SUBSCRIBED")
    assert response.json()["detail"].startswith("Module 'hrms' is not enabled for your account.")


async def test_in_an_outage_it_is_503(erp: httpx.AsyncClient, entitlements: InMemoryEntitlements) -> None:
    await erp.get("/decorator")
    entitlements.go_dark()
    entitlements.advance(timedelta(seconds=31))
    assert (await erp.get("/decorator")).status_code == 503


async def test_in_shadow_mode_it_passes_and_says_what_it_would_have_said(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    async with browser(make_app(entitlements, enforce=False), **{"X-Tenant-ID": ONE}) as client:
        response = await client.get("/decorator")
        assert (response.status_code, response.headers["x-entitlement-would-deny"]) == (200, "NOT_FOUND")


async def test_a_server_that_is_older_than_features_is_500_and_no_traceback(
    erp: httpx.AsyncClient, entitlements: InMemoryEntitlements
) -> None:
    older(entitlements)
    response = await erp.get("/decorator")
    assert (response.status_code, response.json()["reason"]) == (500, "UNSPECIFIED")


@pytest.mark.parametrize(("module", "key"), [("", "a"), ("finance", ""), ("finance", "x" * 101), ("finance", "a\nb")])
def test_what_cannot_be_a_feature_is_refused_where_it_is_written(module: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"no (module's code|feature's key)"):
        require_feature(module, key)
