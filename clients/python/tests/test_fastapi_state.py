"""What stands in `request.state`, and who has put it there."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from fastapi_app import ONE, browser

from entitlement_client.fastapi import TenantMiddleware
from entitlement_client.testing import InMemoryEntitlements

HERS = {"X-Tenant-ID": ONE}


class Row:
    """What the ERP keeps under the name: its own row, with more than the library knows."""

    id = UUID(ONE)
    status = "active"
    plan_id = 7


class OfTheErp:
    """Sets what the old middleware set."""

    def __init__(self, app: Any, **names: Any) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {}).update(self._names)
        await self._app(scope, receive, send)


async def state(app: FastAPI) -> dict[str, Any]:
    """Everything that an endpoint finds there."""
    seen: dict[str, Any] = {}

    @app.get("/")
    async def look(request: Request) -> None:
        seen.update(request.state._state)

    async with browser(app, **HERS) as client:
        assert (await client.get("/")).status_code == 200
    return seen


def tenants(app: FastAPI, entitlements: InMemoryEntitlements, **settings: Any) -> FastAPI:
    entitlements.add_tenant(ONE, subdomain="acme", database_schema="tenant_acme")
    app.add_middleware(TenantMiddleware, client=entitlements.client(), **settings)
    return app


@pytest.mark.parametrize("enforce", [True, False])
async def test_three_names_are_set_and_these_are_their_types(entitlements: InMemoryEntitlements, enforce: bool) -> None:
    found = await state(tenants(FastAPI(), entitlements, enforce=enforce))
    assert found.keys() == {"tenant", "tenant_id", "schema"}
    assert (found["tenant_id"], found["schema"]) == (ONE, "tenant_acme")
    tenant = found["tenant"]
    assert (tenant.id, tenant.status, tenant.subdomain, tenant.database_schema) == (ONE, "ACTIVE", "acme", "tenant_acme")


@pytest.mark.parametrize("enforce", [True, False])
@pytest.mark.parametrize("names", [["tenant_id", "schema"], ["tenant_id"], []])
async def test_only_the_names_that_are_wanted_are_set(
    entitlements: InMemoryEntitlements, names: list[str], enforce: bool
) -> None:
    found = await state(tenants(FastAPI(), entitlements, enforce=enforce, state_names=names))
    assert found.keys() == set(names)


@pytest.mark.parametrize("enforce", [True, False])
async def test_a_row_of_the_erp_stays_where_the_name_is_left_alone(
    entitlements: InMemoryEntitlements, enforce: bool
) -> None:
    app = tenants(FastAPI(), entitlements, enforce=enforce, state_names=["tenant_id", "schema"])
    app.add_middleware(OfTheErp, tenant=Row)
    found = await state(app)
    assert found == {"tenant": Row, "tenant_id": ONE, "schema": "tenant_acme"}


async def test_in_shadow_mode_nothing_is_replaced_and_what_is_missing_is_set(entitlements: InMemoryEntitlements) -> None:
    app = tenants(FastAPI(), entitlements, enforce=False)
    app.add_middleware(OfTheErp, tenant=Row, schema="schema_of_the_old")
    assert await state(app) == {"tenant": Row, "tenant_id": ONE, "schema": "schema_of_the_old"}


async def test_who_decides_replaces_what_others_have_set_before(entitlements: InMemoryEntitlements) -> None:
    app = tenants(FastAPI(), entitlements)
    app.add_middleware(OfTheErp, tenant_id="of another", schema="of another")
    found = await state(app)
    assert (found["tenant_id"], found["schema"]) == (ONE, "tenant_acme")


async def test_what_stands_inside_has_the_last_word(entitlements: InMemoryEntitlements) -> None:
    app = FastAPI()
    app.add_middleware(OfTheErp, tenant=Row)
    assert (await state(tenants(app, entitlements)))["tenant"] is Row


@pytest.mark.parametrize("names", ["tenant", ["tenant", "plan_id"], ["Tenant"]])
def test_a_name_that_is_never_set_is_refused_where_it_is_written(entitlements: InMemoryEntitlements, names: Any) -> None:
    with pytest.raises(ValueError, match="state_names"):
        TenantMiddleware(FastAPI(), client=entitlements.client(), state_names=names)


class Loaded:
    """What an application has put beside a request."""


@pytest.mark.parametrize("enforce", [True, False])
async def test_timers_that_are_set_while_a_request_is_answered_keep_nothing_of_it(
    entitlements: InMemoryEntitlements, enforce: bool
) -> None:
    app = tenants(FastAPI(), entitlements, enforce=enforce)
    timers, loaded = [], []

    @app.get("/")
    async def endpoint(request: Request) -> None:
        # As a server does before it waits for the next request on the connection.
        timers.append(asyncio.get_running_loop().call_later(3600, lambda: None))
        request.state.loaded = Loaded()
        loaded.append(weakref.ref(request.state.loaded))

    async with browser(app, **HERS) as client:
        await client.get("/")
        gc.disable()
        try:
            await client.get("/")
            assert loaded[-1]() is None
        finally:
            gc.enable()
            for timer in timers:
                timer.cancel()
