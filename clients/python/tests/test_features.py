"""Features and limits, on the double: what is answered from what is held, and what is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from conftest import tenant_id
from older import older

from entitlement_client import (
    EntitlementClient,
    EntitlementsUnavailableError,
    FeatureOffError,
    OnOutage,
    RequestRefusedError,
    SyncEntitlementClient,
)
from entitlement_client._core import terms
from entitlement_client._wire import pb
from entitlement_client._wire_terms import take_terms
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = tenant_id(1), tenant_id(2)
HOUR = timedelta(hours=1)


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with finance, and something on and off in it."""
    entitlements.allow(ONE, "finance")
    entitlements.set_feature(ONE, "finance", "multi_currency", value=7)
    entitlements.set_feature(ONE, "finance", "exports", False, reason="PLAN", plan_slugs=["growth"])
    return entitlements


def asked(double: InMemoryEntitlements, act: Callable[[], object]) -> list[str]:
    """What the server was asked for it."""
    before = len(double.calls)
    act()
    return double.calls[before:]


def test_a_held_list_says_on_and_off_and_that_there_is_no_such_feature(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.feature_held(ONE, "finance", "multi_currency") is None
        assert client.check(ONE, "finance")

        def ask() -> None:
            on = client.feature(ONE, "finance", "multi_currency")
            assert (on.enabled, on.reason, on.value, on.message, on.module_reason) == (True, "TENANT", 7, "", "ENABLED")
            off = client.feature(ONE, "finance", "exports")
            sentence = "Your plan does not include the feature 'exports' of module 'finance'. Please upgrade your plan."
            assert (off.enabled, off.reason, off.value, off.message) == (False, "PLAN", None, sentence)
            unknown = client.feature(ONE, "finance", "none")
            assert (unknown.enabled, unknown.reason) == (False, "NOT_FOUND")
            assert unknown.message == "There is no feature 'none' in module 'finance'."
            assert unknown.revision == on.revision == 3
            assert client.feature_held(ONE.upper(), "finance", "none") == unknown

        assert asked(double, ask) == []


def test_why_a_module_is_denied_is_asked_for_once_and_held_until_news(double: InMemoryEntitlements) -> None:
    double.set_feature(ONE, "hrms", "payroll")
    with double.sync_client() as client:

        def ask() -> None:
            denied = client.feature(ONE, "hrms", "payroll")
            assert (denied.enabled, denied.reason, denied.module_reason) == (False, "MODULE_DENIED", "NOT_SUBSCRIBED")
            assert denied.message.startswith("Module 'hrms' is not enabled")

        assert asked(double, ask) == ["ListEnabledModules", "CheckFeature"]
        assert asked(double, ask) == []
        assert client.feature_held(ONE, "hrms", "payroll") is not None
        # It is what became of the module, whatever is asked of that.
        assert asked(double, lambda: client.feature(ONE, "hrms", "leave")) == []
        assert asked(double, lambda: client.check(ONE, "hrms")) == []
        assert client.check(ONE, "hrms").reason == "NOT_SUBSCRIBED"
        double.allow(ONE, "hrms")
        assert client.feature(ONE, "hrms", "payroll").enabled


def test_denials_of_features_are_bounded_with_those_of_modules(double: InMemoryEntitlements) -> None:
    with double.sync_client(max_denials=3) as client:
        for number in range(10):
            client.feature(ONE, f"f{number}", "payroll")
            client.check(ONE, f"m{number}")
        assert len(client._core._tenants[ONE].denials) == 3


def test_a_flag_that_changes_flips_the_answer(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.feature(ONE, "finance", "multi_currency")
        double.set_feature(ONE, "finance", "multi_currency", False)
        assert not client.feature(ONE, "finance", "multi_currency")
        double.unset_feature(ONE, "finance", "multi_currency")
        assert client.feature(ONE, "finance", "multi_currency").reason == "NOT_FOUND"


def test_a_feature_ends_with_its_module(double: InMemoryEntitlements) -> None:
    double.allow(ONE, "finance", until=double.now + timedelta(seconds=20))
    with double.sync_client() as client:
        on = client.feature(ONE, "finance", "multi_currency")
        assert on.valid_until == double.now + timedelta(seconds=20)
        double.advance(timedelta(seconds=20))
        assert client.feature(ONE, "finance", "multi_currency").module_reason == "SUBSCRIPTION_EXPIRED"


def test_nobody_can_change_what_others_are_given(double: InMemoryEntitlements) -> None:
    double.set_feature(ONE, "finance", "formats", value={"formats": ["csv", 1.5, None, True]})
    with double.sync_client() as client:
        value: Any = client.feature(ONE, "finance", "formats").value
        value["formats"].append("pdf")
        assert client.feature(ONE, "finance", "formats").value == {"formats": ["csv", 1.5, None, True]}


def test_to_require_a_feature_that_is_off_is_an_error_with_the_sentence(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.require_feature(ONE, "finance", "multi_currency").value == 7
        with pytest.raises(FeatureOffError, match="Your plan does not include") as off:
            client.require_feature(ONE, "finance", "exports")
        assert off.value.answer.reason == "PLAN"
        double.go_dark()
        with pytest.raises(EntitlementsUnavailableError):
            client.require_feature(TWO, "finance", "exports")


async def test_the_async_client_does_the_same(double: InMemoryEntitlements) -> None:
    double.set_limit(ONE, "users", 5)
    async with double.client() as client:
        assert (await client.feature(ONE, "finance", "multi_currency")).value == 7
        assert (await client.feature(ONE, "hrms", "payroll")).reason == "MODULE_DENIED"
        assert (await client.require_feature(ONE, "finance", "multi_currency")).enabled
        assert client.feature_held(ONE, "finance", "exports") is not None
        assert (await client.limit(ONE, "users")).limit == 5
        assert (await client.within_limit(ONE, "users", 5)).reason == "EXCEEDED"
        assert await client.require_within_limit(ONE, "users", 4)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (OnOutage.deny(), [(False, "UNSPECIFIED", None), (False, "UNSPECIFIED", None), (False, "UNSPECIFIED", None)]),
        (OnOutage.allow(), [(True, "UNSPECIFIED", None), (True, "UNSPECIFIED", None), (True, "UNSPECIFIED", None)]),
        (OnOutage.serve_stale(HOUR), [(True, "TENANT", 7), (False, "PLAN", None), (False, "UNSPECIFIED", None)]),
    ],
    ids=["deny", "allow", "serve_stale"],
)
def test_in_an_outage_the_chosen_rule_answers(
    double: InMemoryEntitlements, rule: OnOutage, expected: list[tuple[bool, str, object]]
) -> None:
    with double.sync_client(rule) as client:
        client.check(ONE, "finance")
        double.go_dark()
        assert client.feature(ONE, "finance", "multi_currency").reason == "TENANT", "it is good for its max_age"
        double.advance(timedelta(seconds=31))
        answers = [
            client.feature(ONE, "finance", "multi_currency"),
            client.feature(ONE, "finance", "exports"),
            client.feature(ONE, "hrms", "payroll"),
        ]
        assert [(answer.enabled, answer.reason, answer.value) for answer in answers] == expected
        assert all(answer.stale and answer.by_outage_rule for answer in answers)
        double.come_back()
        double.advance(timedelta(seconds=1))
        assert not client.feature(ONE, "finance", "multi_currency").by_outage_rule


def test_no_rule_uses_what_a_change_has_replaced(double: InMemoryEntitlements) -> None:
    with double.sync_client(OnOutage.serve_stale(HOUR)) as client:
        assert client.feature(ONE, "finance", "multi_currency")
        revision = client.feature(ONE, "finance", "multi_currency").revision
        assert client.feature(ONE, "finance", "multi_currency", min_revision=revision).revision == revision
        double.set_feature(ONE, "finance", "multi_currency", False)
        double.go_dark()
        assert client.feature(ONE, "finance", "multi_currency").reason == "UNSPECIFIED"


def test_who_asks_for_a_later_revision_asks_the_server(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        client.check(ONE, "finance")
        assert client.feature_held(ONE, "finance", "exports", min_revision=4) is None
        assert asked(double, lambda: client.feature(ONE, "finance", "exports", min_revision=4)) != []


def test_a_server_that_is_older_than_features_is_neither_an_outage_nor_off(double: InMemoryEntitlements) -> None:
    older(double)
    with double.sync_client(OnOutage.allow()) as client:
        for ask in (
            lambda: client.feature(ONE, "finance", "multi_currency"),
            lambda: client.limit(ONE, "users"),
            lambda: client.within_limit(ONE, "users", 1),
        ):
            with pytest.raises(RequestRefusedError, match="older than features") as refused:
                ask()
            assert refused.value.code == "UNIMPLEMENTED"
        assert client.check(ONE, "finance")
        assert client.stats().get("outage_answers", 0) == client.stats()["outage"] == 0


def test_what_cannot_be_read_of_a_newer_server_is_asked_for() -> None:
    response = pb.ListEnabledModulesResponse()
    response.limit_enforcement = 9  # type: ignore[assignment]
    assert take_terms(response) is None


def test_tenants_of_whom_the_same_is_said_share_it() -> None:
    def listed(*keys: str) -> pb.ListEnabledModulesResponse:
        response = pb.ListEnabledModulesResponse(limit_enforcement=3)  # type: ignore[arg-type]
        response.limits.add(key="users", limit=5)
        module = response.modules.add(code="finance")
        for key in keys:
            module.features.add(key=key, enabled=True)
        return response

    one, same, other = take_terms(listed("a")), take_terms(listed("a")), take_terms(listed("a", "b"))
    assert one is same
    assert one is not other
    response = listed("a")
    take_terms(response)
    assert not response.modules[0].features, "the rest is held as it came, and need not have them twice"


def test_what_is_counted_is_a_number_from_nothing_up(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        for observed, amount in ((-1, 1), (1, -1), (terms.MOST + 1, 0), (0, terms.MOST + 1)):
            with pytest.raises(ValueError, match="has to be a number from 0"):
                client.within_limit(ONE, "users", observed, amount)
        assert double.calls == []
        assert client.within_limit(ONE, "users", terms.MOST, terms.MOST).reason == "UNLIMITED"


def test_an_asynchronous_and_a_synchronous_client_have_the_same_operations() -> None:
    operations = {name for name in dir(SyncEntitlementClient) if not name.startswith("_")}
    assert operations == {name for name in dir(EntitlementClient) if not name.startswith("_")}
