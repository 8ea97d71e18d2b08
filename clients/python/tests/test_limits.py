"""Limits, on the double."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import tenant_id

from entitlement_client import EntitlementsUnavailableError, FeatureOffError, LimitExceededError, OnOutage
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = tenant_id(1), tenant_id(2)
HOUR = timedelta(hours=1)


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with five users at most."""
    entitlements.set_limit(ONE, "users", 5)
    return entitlements


def test_a_held_limit_needs_no_question(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        limit = client.limit(ONE, "users")
        assert (limit.limit, limit.reason, limit.source, limit.kind) == (5, "WITHIN", "PLAN", "LEVEL")
        assert (limit.enforcement, limit.valid_until) == ("ON", None)
        before = len(double.calls)
        within = client.within_limit(ONE, "users", 4)
        assert (within.allowed, within.reason, within.used, within.remaining) == (True, "WITHIN", 4, 1)
        exceeded = client.within_limit(ONE, "users", 4, 2)
        assert (exceeded.allowed, exceeded.reason) == (False, "EXCEEDED")
        assert exceeded.message == "This would exceed the limit 'users' of 5."
        assert (client.limit(ONE, "orders").reason, client.limit(ONE, "orders").limit) == ("NOT_FOUND", None)
        assert client.within_limit(ONE, "orders", 0).message == "There is no limit 'orders'."
        assert client.limit(ONE, "transactions_monthly").kind == "MONTHLY"
        assert len(double.calls) == before


def test_a_limit_that_is_lowered_takes_nothing_away_and_gives_no_more(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.within_limit(ONE, "users", 5, 0)
        double.set_limit(ONE, "users", 3)
        over = client.within_limit(ONE, "users", 5, 0)
        assert (over.allowed, over.reason, over.remaining) == (False, "OVER_LIMIT", -2)


def test_an_override_wins_until_it_ends(double: InMemoryEntitlements) -> None:
    end = double.now + timedelta(seconds=20)
    double.override_limit(ONE, "users", 50, until=end)
    with double.sync_client(OnOutage.serve_stale(HOUR)) as client:
        own = client.within_limit(ONE, "users", 10)
        assert (own.allowed, own.limit, own.source, own.valid_until) == (True, 50, "OVERRIDE", end)
        double.advance(timedelta(seconds=20))
        over = client.within_limit(ONE, "users", 10)
        assert (over.reason, over.limit, over.source, over.valid_until) == ("OVER_LIMIT", 5, "PLAN", None)


def test_no_rule_uses_an_override_that_has_ended(double: InMemoryEntitlements) -> None:
    double.override_limit(ONE, "users", 50, until=double.now + timedelta(seconds=20))
    with double.sync_client(OnOutage.serve_stale(HOUR)) as client:
        assert client.within_limit(ONE, "users", 10)
        double.go_dark()
        double.advance(timedelta(seconds=20))
        ended = client.within_limit(ONE, "users", 10)
        assert (ended.allowed, ended.reason, ended.by_outage_rule) == (False, "UNSPECIFIED", True)


def test_limits_that_are_not_enforced_allow_and_say_what_would_be(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        for enforcement in ("SHADOW", "OFF"):
            double.enforce_limits(enforcement)
            would = client.within_limit(ONE, "users", 5)
            assert (would.allowed, would.reason, would.enforcement) == (True, "EXCEEDED", enforcement)
            assert would.message
            assert client.within_limit(ONE, "none", 5).allowed
        double.add_tenant(ONE, status="SUSPENDED")
        assert not client.within_limit(ONE, "users", 0).allowed
    with pytest.raises(ValueError, match="SHADOW"):
        double.enforce_limits("SOFT")


def test_a_tenant_that_is_not_served_has_no_limit_and_may_have_nothing(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        double.add_tenant(ONE, status="SUSPENDED")
        denied = client.within_limit(ONE, "users", 0)
        assert (denied.allowed, denied.reason, denied.tenant_reason) == (False, "TENANT_DENIED", "TENANT_SUSPENDED")
        assert denied.message == "Your account is suspended. Please contact support."
        assert (client.limit(ONE, "users").limit, client.limit(ONE, "users").reason) == (None, "TENANT_DENIED")
        nobody = client.within_limit(TWO, "users", 0)
        assert (nobody.reason, nobody.tenant_reason) == ("TENANT_DENIED", "TENANT_NOT_FOUND")
        assert nobody.message.startswith("This account does not exist.")


def test_to_require_what_is_not_within_the_limit_is_an_error_with_the_sentence(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.require_within_limit(ONE, "users", 4).remaining == 1
        with pytest.raises(LimitExceededError, match="would exceed the limit 'users' of 5") as exceeded:
            client.require_within_limit(ONE, "users", 5)
        assert exceeded.value.decision.reason == "EXCEEDED"
        double.go_dark()
        double.advance(timedelta(seconds=31))
        with pytest.raises(EntitlementsUnavailableError):
            client.require_within_limit(ONE, "users", 4)


def test_what_a_stale_list_says_is_known(double: InMemoryEntitlements) -> None:
    double.allow(ONE, "finance")
    double.set_feature(ONE, "finance", "exports", False)
    with double.sync_client(OnOutage.serve_stale(HOUR)) as client:
        client.limit(ONE, "users")
        double.go_dark()
        double.advance(timedelta(seconds=31))
        with pytest.raises(LimitExceededError):
            client.require_within_limit(ONE, "users", 5)
        with pytest.raises(FeatureOffError):
            client.require_feature(ONE, "finance", "exports")


def test_in_an_outage_the_chosen_rule_decides_and_no_limit_is_made_up(double: InMemoryEntitlements) -> None:
    rules = [OnOutage.deny(), OnOutage.allow(), OnOutage.serve_stale(HOUR)]
    clients = [double.sync_client(rule) for rule in rules]
    for client in clients:
        client.limit(ONE, "users")
    double.go_dark()
    double.advance(timedelta(seconds=31))
    decided = [client.within_limit(ONE, "users", 5) for client in clients]
    assert [(one.allowed, one.reason) for one in decided] == [
        (False, "UNSPECIFIED"),
        (True, "UNSPECIFIED"),
        (False, "EXCEEDED"),
    ]
    assert all(one.stale and one.by_outage_rule and one.used == 5 for one in decided)
    with pytest.raises(EntitlementsUnavailableError):
        clients[0].limit(ONE, "users")
    allowed = clients[1].limit(ONE, "users")
    assert (allowed.limit, allowed.reason, allowed.by_outage_rule) == (None, "UNSPECIFIED", True)
    stale = clients[2].limit(ONE, "users")
    assert (stale.limit, stale.stale, stale.by_outage_rule) == (5, True, True)
    for client in clients:
        client.close()


@pytest.mark.parametrize("enforcement", ["OFF", "SHADOW"])
def test_no_outage_refuses_what_the_server_did_not_refuse(double: InMemoryEntitlements, enforcement: str) -> None:
    double.enforce_limits(enforcement)
    for rule in (OnOutage.deny(), OnOutage.serve_stale(timedelta(seconds=1))):
        double.come_back()
        client = double.sync_client(rule)
        client.limit(ONE, "users")
        double.go_dark()
        double.advance(timedelta(seconds=31))
        for tenant in (ONE, TWO):
            decided = client.within_limit(tenant, "users", 5)
            assert (decided.allowed, decided.reason, decided.enforcement) == (True, "UNSPECIFIED", enforcement)
            assert decided.by_outage_rule
        client.close()


def test_who_is_not_served_is_refused_in_an_outage_whatever_is_enforced(double: InMemoryEntitlements) -> None:
    double.enforce_limits("OFF")
    double.add_tenant(ONE, status="SUSPENDED")
    for rule in (OnOutage.deny(), OnOutage.serve_stale(timedelta(seconds=1))):
        double.come_back()
        client = double.sync_client(rule)
        assert client.within_limit(ONE, "users", 1).reason == "TENANT_DENIED"
        double.go_dark()
        double.advance(timedelta(seconds=31))
        decided = client.within_limit(ONE, "users", 1)
        assert (decided.allowed, decided.reason) == (False, "UNSPECIFIED")
        client.close()
