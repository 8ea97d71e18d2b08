"""Who it is, while it is watched and in an outage."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

import httpx
import pytest
from conftest import Server, tenant_id, until, until_held
from fastapi import FastAPI

from entitlement_client import (
    Clock,
    EntitlementClient,
    OnOutage,
    SyncEntitlementClient,
)
from entitlement_client.fastapi import TenantMiddleware, current_resolved, require_module
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = tenant_id(1), tenant_id(2)
HOUR = timedelta(hours=1)


async def test_the_async_client_names_them_too(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    async with entitlements.client(OnOutage.serve_stale(HOUR)) as client:
        await client.resolve(tenant_id=ONE)
        assert await client.check(ONE, "finance")
        entitlements.go_dark()
        entitlements.advance(timedelta(minutes=59))
        for _ in range(3):
            authorized = await client.authorize({"X-Tenant-ID": ONE}, ["finance"])
            assert authorized.resolved.by_outage_rule
            assert authorized.answer.by_outage_rule
            assert authorized.answer.allowed
            assert (await client.enabled_modules(ONE)).by_outage_rule


def test_an_outage_is_said_once_and_so_is_its_end(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "entitlement_client")
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(HOUR)) as client:
        client.resolve(tenant_id=ONE)
        client.check(ONE, "finance")
        assert caplog.messages == []
        entitlements.go_dark()
        entitlements.advance(timedelta(minutes=1))
        for _ in range(20):
            assert client.resolve(tenant_id=ONE).by_outage_rule
            assert client.check(ONE, "finance").by_outage_rule
        assert client.stats()["outage"] == 1
        assert len(caplog.messages) == 1
        assert "the double is lost" in caplog.messages[0]
        assert "for up to 1:00:00" in caplog.messages[0]
        entitlements.come_back()
        assert len(caplog.messages) == 2
        assert "is back after 60 s. By the outage rule, 40 answers" in caplog.messages[1]
        assert client.stats()["outage"] == 0


def until_resolved(client: SyncEntitlementClient, tenant: str) -> None:
    """Asks until it is held: an answer that news overtook is not."""

    def is_held() -> bool:
        before = client.stats().get("resolve_misses", 0)
        client.resolve(tenant_id=tenant)
        return client.stats().get("resolve_misses", 0) == before

    until(is_held)


def test_a_frozen_server_keeps_no_thread_waiting_that_holds_an_answer(server: Server) -> None:
    server.subscribe(1, "finance")
    ahead = [0]
    clock = Clock(mono=lambda: time.monotonic_ns() + ahead[0])
    with SyncEntitlementClient(server.address, on_outage=OnOutage.serve_stale(HOUR), clock=clock) as client:
        until_held(client, ONE, "finance")
        until_resolved(client, ONE)
        server.hang()
        # Its stream is silent for too long.
        ahead[0] = 4_000_000_000
        longest = 0.0
        deadline = time.monotonic() + 6.0
        while time.monotonic() < deadline:
            began = time.monotonic()
            assert client.check(ONE, "finance").by_outage_rule
            assert client.resolve(tenant_id=ONE).by_outage_rule
            longest = max(longest, time.monotonic() - began)
            # It has to last for longer than a question to the frozen server does.
            time.sleep(0.005)
        # The deadline of a question is 2 s.
        assert longest < 1.0, f"somebody waited for {longest:.3f} s"
        # Who holds nothing waits at most once, and not each time that somebody finds out.
        began = time.monotonic()
        for _ in range(100):
            assert not client.check(TWO, "finance").allowed
        assert time.monotonic() - began < 3.0
        server.go_on()


async def test_behind_the_middleware_known_tenants_pass_for_an_hour_after_the_server_was_killed(either: Server) -> None:
    for number in (1, 2, 3):
        either.subscribe(number, "finance")
    ahead = [0]
    clock = Clock(lambda: time.time_ns() + ahead[0], lambda: time.monotonic_ns() + ahead[0])
    app = FastAPI()
    async with EntitlementClient(either.address, on_outage=OnOutage.serve_stale(HOUR), clock=clock) as client:
        app.add_middleware(TenantMiddleware, client=client)

        @app.get("/ledger")
        @require_module("finance")
        async def ledger() -> bool:
            return current_resolved().by_outage_rule

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://erp") as browser:

            async def get(number: int) -> httpx.Response:
                return await browser.get("/ledger", headers={"X-Tenant-ID": tenant_id(number)})

            async def until_it_is(number: int, status: int) -> None:
                deadline = time.monotonic() + 10
                while (await get(number)).status_code != status:
                    assert time.monotonic() < deadline, "it never was so"
                    await asyncio.sleep(0.01)

            for number in (1, 2):
                await until_it_is(number, 200)
            either.sql(f"UPDATE tenants SET status = 'suspended' WHERE subdomain = 't{2}'")
            await until_it_is(2, 403)
            # Nothing on its way makes outdated what is held of the first.
            held = -1
            while held != client.stats()["calls_ResolveTenant"]:
                held = client.stats()["calls_ResolveTenant"]
                assert (await get(1)).json() is False
            either.kill()
            for minutes in (1, 30, 59):
                ahead[0] = minutes * 60_000_000_000
                known = await get(1)
                assert (known.status_code, known.json()) == (200, True)
                assert (await get(2)).status_code == 503
                unknown = await get(3)
                assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "1")
            ahead[0] = 61 * 60_000_000_000
            assert (await get(1)).status_code == 503
