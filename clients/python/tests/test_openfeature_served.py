"""The provider against the real server, which comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
from conftest import Server, tenant_id, until
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from entitlement_client import EntitlementClient, OnOutage, SyncEntitlementClient
from entitlement_client.openfeature import EntitlementProvider

TENANT = EvaluationContext(targeting_key=tenant_id(1))
STALE = OnOutage.serve_stale(timedelta(hours=1))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    api.shutdown()


def flag(server: Server) -> None:
    server.kill()
    server.subscribe(1, "finance")
    server.sql("""
        INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled, config)
        SELECT id, 'finance', 'multi_currency', true, '{"currencies": ["INR", "USD"]}' FROM tenants
    """)
    server.start()


def test_it_is_ready_stale_while_the_server_is_gone_and_ready_again(either: Server) -> None:
    flag(either)
    client = api.get_client()
    with SyncEntitlementClient(either.address, on_outage=STALE, deadline=10.0) as mine:
        api.set_provider_and_wait(EntitlementProvider(mine))
        assert client.get_provider_status() is ProviderStatus.READY
        on = client.get_boolean_details("finance/multi_currency", False, TENANT)
        assert (on.value, on.reason) == (True, Reason.TARGETING_MATCH)
        assert client.get_object_value("finance/multi_currency", {}, TENANT) == {"currencies": ["INR", "USD"]}
        either.sql("UPDATE feature_flags SET is_enabled = false")
        until(lambda: not client.get_boolean_value("finance/multi_currency", True, TENANT))
        either.kill()
        until(lambda: client.get_provider_status() is ProviderStatus.STALE)
        until(lambda: client.get_boolean_details("finance/multi_currency", True, TENANT).reason == Reason.STALE)
        assert client.get_boolean_value("finance/multi_currency", True, TENANT) is False
        either.start()
        until(lambda: client.get_provider_status() is ProviderStatus.READY)


async def test_an_async_client_is_ready_once_its_loop_has_heard_of_the_server(server: Server) -> None:
    flag(server)
    client = api.get_client()
    async with EntitlementClient(server.address, deadline=10.0) as mine:
        api.set_provider(EntitlementProvider(mine))
        while client.get_provider_status() is not ProviderStatus.READY:
            await asyncio.sleep(0.002)
        on = await client.get_boolean_details_async("finance/multi_currency", False, TENANT)
        assert (on.value, on.reason) == (True, Reason.TARGETING_MATCH)


def test_a_server_that_hangs_makes_it_stale_by_its_silence(server: Server) -> None:
    flag(server)
    client = api.get_client()
    with SyncEntitlementClient(server.address, on_outage=STALE, deadline=10.0) as mine:
        api.set_provider_and_wait(EntitlementProvider(mine))
        server.hang()
        until(lambda: client.get_provider_status() is ProviderStatus.STALE)
        server.go_on()
        until(lambda: client.get_provider_status() is ProviderStatus.READY)
