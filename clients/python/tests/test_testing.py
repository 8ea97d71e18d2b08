"""The double, as the tests of a service use it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from entitlement_client import (
    EntitlementClient,
    EntitlementsUnavailableError,
    OnOutage,
    RequestRefusedError,
    SyncEntitlementClient,
)
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))


async def test_fixtures_are_there_without_a_word(
    entitlements: InMemoryEntitlements,
    entitlement_client: EntitlementClient,
    sync_entitlement_client: SyncEntitlementClient,
) -> None:
    entitlements.allow(ONE, "finance")
    assert (await entitlement_client.check(ONE, "finance")).allowed
    assert sync_entitlement_client.check(ONE, "finance").allowed


def test_it_allows_denies_and_expires(entitlements: InMemoryEntitlements) -> None:
    with entitlements.sync_client() as client:
        assert client.check(ONE, "finance").reason == "TENANT_NOT_FOUND"
        entitlements.allow(ONE, "finance")
        assert client.check(ONE, "finance").allowed
        assert client.check(ONE, "hrms").reason == "NOT_SUBSCRIBED"
        entitlements.expire(ONE, "finance")
        assert client.check(ONE, "finance").reason == "SUBSCRIPTION_EXPIRED"
        entitlements.deny(ONE, "finance", "SUBSCRIPTION_SUSPENDED")
        assert client.check(ONE, "finance").reason == "SUBSCRIPTION_SUSPENDED"
        entitlements.add_tenant(ONE, status="SUSPENDED")
        assert client.check(ONE, "finance").reason == "TENANT_SUSPENDED"


def test_its_time_passes_when_it_is_told_to(entitlements: InMemoryEntitlements) -> None:
    with entitlements.sync_client() as client:
        now = datetime.now(timezone.utc)
        entitlements.allow(ONE, "finance", until=now + timedelta(hours=1))
        entitlements.allow(ONE, "hrms", starts=now + timedelta(hours=1))
        assert [client.check(ONE, module).reason for module in ("finance", "hrms")] == [
            "ENABLED",
            "SUBSCRIPTION_NOT_STARTED",
        ]
        entitlements.advance(timedelta(hours=2))
        assert [client.check(ONE, module).reason for module in ("finance", "hrms")] == [
            "SUBSCRIPTION_EXPIRED",
            "ENABLED",
        ]


def test_it_goes_dark_and_comes_back(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(timedelta(minutes=5))) as client:
        assert client.check(ONE, "finance").allowed
        entitlements.go_dark()
        entitlements.advance(timedelta(minutes=4))
        stale = client.check(ONE, "finance")
        assert (stale.allowed, stale.stale, stale.by_outage_rule) == (True, True, True)
        entitlements.advance(timedelta(minutes=2))
        assert not client.check(ONE, "finance").allowed
        with pytest.raises(EntitlementsUnavailableError):
            client.resolve(tenant_id=ONE)
        entitlements.come_back()
        # Who did not answer a moment ago is asked again after a moment.
        entitlements.advance(timedelta(seconds=1))
        assert client.check(ONE, "finance").reason == "ENABLED"


def test_it_resolves_as_the_server_does(entitlements: InMemoryEntitlements) -> None:
    entitlements.add_tenant(ONE, subdomain="acme", database_schema="tenant_acme", token="secret")
    entitlements.add_tenant(TWO, subdomain="other")
    with entitlements.sync_client() as client:
        assert client.resolve(host="acme.erp.example:8000").tenant.database_schema == "tenant_acme"
        by_token = client.resolve({"Authorization": "Bearer secret"})
        assert (by_token.tenant.id, by_token.source, by_token.verified) == (ONE, "BEARER_TOKEN", True)
        with pytest.raises(RequestRefusedError) as conflict:
            client.resolve(tenant_id=TWO, bearer_token="secret")
        assert conflict.value.reason == "TENANT_CONFLICT"
