"""Features and limits of both clients, against the real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import PATIENCE, Postgres, Server, Sqlite, tenant_id, until

from entitlement_client import EntitlementClient, OnOutage, RequestRefusedError, SyncEntitlementClient

ONE = tenant_id(1)


@pytest.fixture(params=["sqlite", "postgres"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Limits are enforced; a tenant on the plan starter has finance, where multi_currency is for the plan growth."""
    database = Sqlite(tmp_path) if request.param == "sqlite" else Postgres(request.getfixturevalue("cluster"))
    server = Server(database, "--enforce-limits", "on")
    server.kill()
    server.subscribe(1, "finance")
    server.sql("""
        UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'starter');
        UPDATE plans SET max_users = 5 WHERE slug = 'starter';
        INSERT INTO entitlement_features (module_id, key, value_type, default_enabled, default_value)
        SELECT id, 'multi_currency', 'int64', false, '3' FROM modules WHERE code = 'finance';
        INSERT INTO entitlement_plan_features (plan_id, module_id, key, enabled, value)
        SELECT p.id, m.id, 'multi_currency', true, '8' FROM plans p, modules m
        WHERE p.slug = 'growth' AND m.code = 'finance'
    """)
    server.start()
    yield server
    server.kill()


def flag(server: Server, is_on: str, config: str = "'{}'") -> None:
    """As anybody switches it by hand."""
    server.sql(f"""
        DELETE FROM feature_flags;
        INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled, config)
        SELECT id, 'finance', 'multi_currency', {is_on}, {config} FROM tenants
    """)


def asked(client: SyncEntitlementClient) -> int:
    """How many questions."""
    return sum(count for name, count in client.stats().items() if name.startswith("calls_"))


def test_a_flag_a_plan_and_a_definition_flip_what_is_held(erp: Server) -> None:
    with SyncEntitlementClient(erp.address) as client:
        off = client.feature(ONE, "finance", "multi_currency")
        assert (off.enabled, off.reason, off.module_reason) == (False, "DEFAULT", "ENABLED")
        flag(erp, "true")
        until(lambda: client.feature(ONE, "finance", "multi_currency").enabled)
        on = client.feature(ONE, "finance", "multi_currency")
        assert (on.reason, on.value, type(on.value)) == ("TENANT", 3, int)
        flag(erp, "false")
        until(lambda: client.feature(ONE, "finance", "multi_currency").reason == "TENANT" and not on_now(client))
        erp.sql("DELETE FROM feature_flags")
        erp.sql("UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'growth')")
        until(lambda: client.feature(ONE, "finance", "multi_currency").reason == "PLAN")
        assert client.feature(ONE, "finance", "multi_currency").value == 8
        erp.sql("DELETE FROM entitlement_features")
        until(lambda: client.feature(ONE, "finance", "multi_currency").reason == "NOT_FOUND")


def on_now(client: SyncEntitlementClient) -> bool:
    return client.feature(ONE, "finance", "multi_currency").enabled


def test_what_is_held_says_what_the_server_says_and_nobody_is_asked(erp: Server) -> None:
    with SyncEntitlementClient(erp.address) as client:
        denied = client.feature(ONE, "hrms", "payroll")
        assert (denied.reason, denied.module_reason) == ("MODULE_DENIED", "NOT_SUBSCRIBED")
        assert denied.message == client.check(ONE, "hrms").message
        nobody = client.feature(tenant_id(9), "finance", "multi_currency")
        assert (nobody.reason, nobody.module_reason) == ("MODULE_DENIED", "TENANT_NOT_FOUND")
        client.check(ONE, "finance")
        until(lambda: client.stats()["watching"] == 1)
        client.within_limit(ONE, "users", 4)
        before = asked(client)
        assert client.feature(ONE, "finance", "none").message == "There is no feature 'none' in module 'finance'."
        within = client.within_limit(ONE, "users", 4)
        assert (within.allowed, within.limit, within.source, within.enforcement) == (True, 5, "PLAN", "ON")
        assert client.within_limit(ONE, "users", 5).reason == "EXCEEDED"
        assert client.limit(ONE, "transactions_monthly").kind == "MONTHLY"
        assert client.limit(ONE, "none").reason == "NOT_FOUND"
        assert asked(client) == before
        with pytest.raises(RequestRefusedError):
            client.feature("not an id", "finance", "multi_currency")


def test_a_plans_limit_and_an_override_flip_what_is_held(erp: Server) -> None:
    tenant = erp._database.uuid(ONE)
    with SyncEntitlementClient(erp.address) as client:
        assert client.within_limit(ONE, "users", 4)
        erp.sql("UPDATE plans SET max_users = 3 WHERE slug = 'starter'")
        until(lambda: client.within_limit(ONE, "users", 4).reason == "OVER_LIMIT")
        erp.sql(f"INSERT INTO entitlement_limit_overrides (tenant_id, key, value) VALUES ({tenant}, 'users', 50)")
        until(lambda: client.within_limit(ONE, "users", 4).source == "OVERRIDE")
        assert client.limit(ONE, "users").limit == 50
        erp.sql("UPDATE entitlement_limit_overrides SET value = NULL")
        until(lambda: client.within_limit(ONE, "users", 4).reason == "UNLIMITED")
        erp.sql("DELETE FROM entitlement_limit_overrides; UPDATE tenants SET plan_id = NULL")
        until(lambda: client.within_limit(ONE, "users", 4).reason == "NO_PLAN")


def test_with_its_revision_one_reads_ones_own_write(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        before = client.feature(ONE, "finance", "multi_currency").revision
        flag(erp, "true")
        assert client.feature(ONE, "finance", "multi_currency", min_revision=before + 1).enabled


def test_many_threads_that_want_anything_of_one_cold_tenant_ask_once(erp: Server) -> None:
    questions: list[Callable[[SyncEntitlementClient], object]] = [
        lambda client: client.check(ONE, "finance").allowed,
        lambda client: client.feature(ONE, "finance", "multi_currency").reason == "DEFAULT",
        lambda client: client.limit(ONE, "users").limit == 5,
        lambda client: client.within_limit(ONE, "users", 4).allowed,
    ]
    with SyncEntitlementClient(erp.address) as client, ThreadPoolExecutor(16) as pool:
        # It begins to listen with its first question; what opens the stream makes what was asked before worth less.
        client.check(tenant_id(2), "finance")
        until(lambda: client.stats()["stream_open"] == 1)
        before = asked(client)
        assert all(pool.map(lambda number: questions[number % 4](client), range(400)))
        assert asked(client) - before == 1


async def test_the_async_client_hears_of_flags_too(erp: Server) -> None:
    async with EntitlementClient(erp.address, on_outage=OnOutage.deny()) as client:
        assert not await client.feature(ONE, "finance", "multi_currency")
        assert (await client.within_limit(ONE, "users", 5)).reason == "EXCEEDED"
        await asyncio.to_thread(flag, erp, "true")
        deadline = time.monotonic() + PATIENCE
        while not (await client.feature(ONE, "finance", "multi_currency")).enabled:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)


def test_in_an_outage_features_and_limits_are_served_stale_and_marked(erp: Server) -> None:
    flag(erp, "true")
    with SyncEntitlementClient(erp.address, on_outage=OnOutage.serve_stale(timedelta(hours=1))) as client:
        until(lambda: on_now(client) and client.within_limit(ONE, "users", 4).allowed)
        erp.kill()
        until(lambda: client.feature(ONE, "finance", "multi_currency").by_outage_rule)
        stale = client.feature(ONE, "finance", "multi_currency")
        assert (stale.enabled, stale.value, stale.stale) == (True, 3, True)
        limit = client.within_limit(ONE, "users", 5)
        assert (limit.allowed, limit.reason, limit.by_outage_rule) == (False, "EXCEEDED", True)
