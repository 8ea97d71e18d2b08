"""A gate that takes from a lease, in an application on the double."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi_app import ONE, TWO, browser

from entitlement_client.fastapi import TenantMiddleware, require_usage, taking
from entitlement_client.testing import InMemoryEntitlements

CALLS = "calls_monthly"


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """Two tenants with a hundred calls a month."""
    for tenant in (ONE, TWO):
        entitlements.allow(tenant, "finance")
        entitlements.set_limit(tenant, CALLS, 100)
    return entitlements


def make_app(double: InMemoryEntitlements, **settings: Any) -> tuple[FastAPI, Any]:
    client, app = double.client(), FastAPI()

    @app.get("/decorated")
    @require_usage(CALLS, size=40)
    async def decorated() -> None: ...

    @app.get("/threads")
    @require_usage(CALLS, 2)
    def threads() -> None: ...

    @app.get("/depends", dependencies=[Depends(require_usage(CALLS, 30))])
    async def depends() -> None: ...

    @app.get("/hrms", dependencies=[Depends(require_usage(CALLS, module="hrms"))])
    async def hrms() -> None: ...

    app.add_middleware(TenantMiddleware, client=client, **settings)
    return app, client


@pytest.fixture
async def erp(double: InMemoryEntitlements) -> AsyncIterator[httpx.AsyncClient]:
    app, client = make_app(double)
    async with client, browser(app, **{"X-Tenant-ID": ONE}) as browser_of_it:
        yield browser_of_it


async def test_each_tenant_takes_of_its_own_lease_until_nothing_is_left_which_is_403(
    erp: httpx.AsyncClient, double: InMemoryEntitlements
) -> None:
    answers = [await erp.get("/decorated") for _ in range(101)]
    assert [answer.status_code for answer in answers] == [200] * 100 + [403]
    body = answers[-1].json()
    assert (body["reason"], body["detail"]) == ("EXCEEDED", f"This would exceed the limit '{CALLS}' of 100.")
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert double.calls.count("ReserveUsage") < 50
    assert (await erp.get("/decorated", headers={"X-Tenant-ID": TWO})).status_code == 200


async def test_it_is_a_decorator_and_a_dependency_and_takes_the_amount_once(double: InMemoryEntitlements) -> None:
    app, client = make_app(double)
    double.set_limit(ONE, CALLS, 1000)
    async with client, browser(app, **{"X-Tenant-ID": ONE}) as erp:
        for path in ("/depends", "/threads", "/decorated"):
            assert [(await erp.get(path)).status_code for _ in range(3)] == [200] * 3
    async with double.client() as other:
        told = await other.reserve(ONE, CALLS, "nobody", 10_000)
        assert (told.used, told.held) == (90 + 6 + 3, 0)


async def test_a_denied_module_is_refused_as_the_module_is(erp: httpx.AsyncClient) -> None:
    answer = await erp.get("/hrms")
    assert (answer.status_code, answer.json()["reason"]) == (403, "NOT_SUBSCRIBED")


async def test_in_an_outage_what_is_held_is_spent_and_after_that_it_is_503(
    erp: httpx.AsyncClient, double: InMemoryEntitlements
) -> None:
    assert (await erp.get("/decorated")).status_code == 200
    double.go_dark()
    answers = [await erp.get("/decorated") for _ in range(60)]
    held = [answer.status_code for answer in answers].index(503)
    assert held >= 39
    assert answers[-1].headers["retry-after"] == "1"


async def test_in_shadow_mode_it_is_counted_and_refuses_nothing(double: InMemoryEntitlements) -> None:
    app, client = make_app(double, enforce=False)
    double.set_limit(ONE, CALLS, 0)
    async with client, browser(app, **{"X-Tenant-ID": ONE}) as erp:
        answer = await erp.get("/decorated")
        assert (answer.status_code, answer.headers["x-entitlement-would-deny"]) == (200, "EXCEEDED")


async def test_the_lease_that_was_not_used_for_longest_makes_room_and_is_settled(
    double: InMemoryEntitlements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "MOST_LEASES", 1)
    app, client = make_app(double)
    async with client, browser(app) as erp:
        for tenant in (ONE, TWO, ONE):
            assert (await erp.get("/decorated", headers={"X-Tenant-ID": tenant})).status_code == 200
    async with double.client() as other:
        for tenant, used in ((ONE, 2), (TWO, 1)):
            told = await other.reserve(tenant, CALLS, "nobody", 1000)
            assert (told.used, told.held) == (used, 0)


def test_what_cannot_be_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="size"):
        require_usage(CALLS, size=0)
    with pytest.raises(ValueError, match="amount"):
        require_usage(CALLS, 0)
