"""The outage rule of a meter, on the double: what it allows is marked, counted once afterwards, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from conftest import tenant_id, until

from entitlement_client import (
    EntitlementsUnavailableError,
    OnOutage,
    RequestRefusedError,
    SyncEntitlementClient,
    UsageRefusedError,
)
from entitlement_client._core import owed
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements

ONE = tenant_id(1)
CALLS = "calls_monthly"
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
RULES = {CALLS: OnOutage.allow(), "users": OnOutage.allow()}


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with ten calls and orders a month and three users. It is not the end of a month."""
    entitlements.allow(ONE, "finance")
    for meter in (CALLS, "orders_monthly"):
        entitlements.set_limit(ONE, meter, 10)
    entitlements.set_limit(ONE, "users", 3)
    if entitlements.now.day > 26:
        entitlements.advance(timedelta(days=8))
    return entitlements


def failing(double: InMemoryEntitlements, *failures: Failure | None, method: str = "ReserveUsage") -> list[Any]:
    """What is counted, and the answer is lost: one of these in its place, as long as there are any. What was asked."""
    real: Callable[[str, Any], Any] = double.answer
    left, asked = list(failures), []

    def answer(called: str, request: Any) -> Any:
        response = real(called, request)
        if called != method:
            return response
        asked.append(request)
        return (left.pop(0) if left else None) or response

    double.answer = answer  # type: ignore[method-assign]
    return asked


def used(client: SyncEntitlementClient, meter: str = CALLS) -> tuple[int, int]:
    """What is used and held."""
    asked = client.reserve(ONE, meter, "nobody", 10**9)
    return asked.used, asked.held


def test_what_is_allowed_is_marked_and_counted_once_when_the_server_is_back(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        assert client.reserve(ONE, CALLS, "before", 3)
        double.go_dark()
        went = double.now
        told = [client.reserve(ONE, CALLS, f"o-{number}", 2, module="finance") for number in range(10)]
        assert all(one.granted and one.by_outage_rule and not one.repeated and one.amount == 2 for one in told)
        assert (told[0].reason, told[0].limit) == ("UNSPECIFIED", None)
        assert client.reserve(ONE, CALLS, "o-1", 2, module="finance").repeated
        assert (client.stats()["usage_allowed"], client.stats()["usage_owed"]) == (11, 10)
        assert client.stats()["outage_answers"] == 11
        assert sum("by the outage rule usage was granted" in record.getMessage() for record in caplog.records) == 1
        double.advance(HOUR)
        double.come_back()
        until(lambda: client.stats()["usage_owed"] == 0)
        assert used(client) == (23, 0)
        again = client.reserve(ONE, CALLS, "o-1", 2)
        assert (again.repeated, again.by_outage_rule) == (True, False)
        spans = client.query_usage(ONE, CALLS, went, went + SECOND, granularity="HOUR", module="finance")
        assert spans.total == 20, "it is counted when it was used"


def test_where_nothing_is_said_and_where_it_is_denied_it_is_the_error_of_always(double: InMemoryEntitlements) -> None:
    with double.sync_client(OnOutage.allow(), usage_outage={CALLS: OnOutage.deny()}) as client:
        double.go_dark()
        for meter in (CALLS, "orders_monthly"):
            with pytest.raises(EntitlementsUnavailableError):
                client.reserve(ONE, meter, "o-1")
    with pytest.raises(ValueError, match="calls_monthly"):
        double.sync_client(usage_outage={CALLS: OnOutage.serve_stale(HOUR)})


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_what_had_been_counted_before_its_answer_was_lost_is_counted_once(
    double: InMemoryEntitlements, code: str
) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        failing(double, *[Failure(code, "lost")] * 3)
        assert client.reserve(ONE, CALLS, "o-1", 4).by_outage_rule
        until(lambda: client.stats()["usage_owed"] == 0)
        assert used(client) == (4, 0)


def test_a_counter_that_is_locked_and_a_refusal_are_no_outage(double: InMemoryEntitlements) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        failing(double, Failure("RESOURCE_EXHAUSTED", "locked", "COUNTER_LOCKED", 0.1), Failure("INTERNAL", "no"))
        with pytest.raises(EntitlementsUnavailableError):
            client.reserve(ONE, CALLS, "o-1")
        with pytest.raises(RequestRefusedError):
            client.reserve(ONE, CALLS, "o-1")
        assert not client.reserve(ONE, CALLS, "o-2", 100).granted
        assert client.stats()["usage_owed"] == 0


def test_nothing_is_allowed_to_whom_what_is_held_denies(double: InMemoryEntitlements) -> None:
    double.add_tenant(tenant_id(2), status="SUSPENDED")
    double.deny(ONE, "hrms")
    with double.sync_client(usage_outage=RULES) as client:
        client.check(ONE, "finance")
        client.check(tenant_id(2), "finance")
        client.check(tenant_id(3), "finance")
        double.go_dark()
        for tenant, module in ((ONE, "hrms"), (tenant_id(2), None), (tenant_id(2), "finance"), (tenant_id(3), None)):
            with pytest.raises(EntitlementsUnavailableError):
                client.reserve(tenant, CALLS, "o-1", module=module)
        assert client.reserve(ONE, CALLS, "o-1", module="finance").by_outage_rule
        assert client.reserve(ONE, CALLS, "o-2").by_outage_rule
        assert client.reserve(tenant_id(4), CALLS, "o-1", module="hrms").by_outage_rule, "of whom nothing is held"


def test_a_block_is_kept_by_the_rule_and_one_that_raises_owes_nothing(double: InMemoryEntitlements) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        with client.reserving(ONE, CALLS, "before") as held:
            assert not held.by_outage_rule
            double.go_dark()
        with client.reserving(ONE, CALLS, "within", 2) as held:
            assert held.by_outage_rule
        assert client.stats()["usage_owed"] == 2

        def fail() -> None:
            with client.reserving(ONE, CALLS, "broken"):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with client.reserving(ONE, CALLS, "back", 50) as held:
            double.come_back()
        until(lambda: client.stats()["usage_owed"] == 0)
        assert used(client) == (53, 0), "what was allowed is counted, beyond the limit too"


def test_what_is_given_back_before_it_was_recorded_is_not_counted(double: InMemoryEntitlements) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        real = double.answer

        def answer(method: str, request: Any) -> Any:
            is_away = method in ("ReserveUsage", "RecordUsage")
            return Failure("UNAVAILABLE", "away") if is_away else real(method, request)

        double.answer = answer  # type: ignore[method-assign]
        client.reserve(ONE, CALLS, "o-1", 4)
        client.reserve(ONE, CALLS, "o-2", 2)
        until(lambda: not client._core.schedule._running and client.stats().get("calls_RecordUsage", 0) > 2)
        assert client.release(ONE, CALLS, "o-1") == 4
        double.answer = real  # type: ignore[method-assign]
        double.advance(6 * SECOND)
        until(lambda: client.stats()["usage_owed"] == 0)
        assert used(client) == (2, 0)


def test_of_a_level_it_is_reserved_afterwards_as_far_as_the_limit_allows(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        double.go_dark()
        for name in ("ann", "bob", "cid", "dan"):
            assert client.reserve(ONE, "users", name).by_outage_rule
        double.come_back()
        until(lambda: client.stats()["usage_owed"] == 0)
        assert used(client, "users") == (3, 0)
        assert client.stats()["usage_refused"] == 1
        assert "reconcile" in caplog.text


def test_beyond_the_bound_it_is_denied(double: InMemoryEntitlements, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed, "MOST", 3)
    with double.sync_client(usage_outage=RULES) as client:
        double.go_dark()
        for number in range(3):
            assert client.reserve(ONE, CALLS, f"o-{number}")
        for key, amount in (("o-3", 1), ("o-1", 2)):
            with pytest.raises(EntitlementsUnavailableError):
                client.reserve(ONE, CALLS, key, amount)
        assert client.reserve(ONE, CALLS, "o-1").repeated


def test_once_recording_has_failed_too_nobody_waits_for_the_server(double: InMemoryEntitlements) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        double.go_dark()
        assert client.reserve(ONE, CALLS, "o-1")
        until(lambda: client._core.owed is not None and client._core.owed._away_until > double._mono)
        before = client.stats()["calls_ReserveUsage"]
        assert client.reserve(ONE, CALLS, "o-2").by_outage_rule
        assert client.stats()["calls_ReserveUsage"] == before
        with pytest.raises(EntitlementsUnavailableError):
            client.reserve(ONE, "orders_monthly", "o-1")


def test_closing_records_what_is_owed_or_says_what_is_lost(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    client = double.sync_client(usage_outage=RULES)
    failing(double, *[Failure("UNAVAILABLE", "lost")] * 3)
    failing(double, *[Failure("UNAVAILABLE", "lost")] * 3, method="RecordUsage")
    assert client.reserve(ONE, CALLS, "o-1", 4).by_outage_rule
    client.close()
    with double.sync_client() as other:
        assert used(other) == (4, 0)
    lost = double.sync_client(usage_outage=RULES)
    double.go_dark()
    assert lost.reserve(ONE, CALLS, "o-2", 5)
    lost.close()
    assert lost.stats()["usage_dropped"] == 5
    assert "5 in all cannot be recorded" in caplog.text


def test_what_is_leased_is_spent_first_and_then_the_rule_answers(double: InMemoryEntitlements) -> None:
    double.set_limit(ONE, CALLS, 1000)
    with double.sync_client(usage_outage=RULES) as client:
        leased = client.leased(ONE, CALLS, size=20)
        assert leased.take().reservation is None
        double.go_dark()
        assert all(leased.take().reservation is None for _ in range(19))
        taken = leased.take()
        assert taken.reservation is not None
        assert (taken.granted, taken.reservation.by_outage_rule) == (True, True)
        assert leased.take(5)
        double.come_back()
        until(lambda: client.stats()["usage_owed"] == 0 and used(client) == (26, 0))


async def test_the_async_client_does_the_same(double: InMemoryEntitlements) -> None:
    async with double.client(usage_outage=RULES) as client:
        double.go_dark()
        assert (await client.reserve(ONE, CALLS, "o-1", 3)).by_outage_rule
        async with client.reserving(ONE, CALLS, "o-2", 4) as held:
            assert held.by_outage_rule
        with pytest.raises(EntitlementsUnavailableError):
            await client.reserve(ONE, "orders_monthly", "o-1")
        double.come_back()
    with double.sync_client() as other:
        assert used(other) == (7, 0)


def test_a_rule_changes_nothing_while_the_server_answers(double: InMemoryEntitlements) -> None:
    with double.sync_client(usage_outage=RULES) as client:
        with pytest.raises(UsageRefusedError), client.reserving(ONE, CALLS, "o-1", 11):
            pytest.fail("it was not granted")
        assert not client.reserve(ONE, CALLS, "o-1", 10).by_outage_rule
        assert client.stats()["usage_owed"] == 0
