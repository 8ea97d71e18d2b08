"""Usage, on the double: what is counted, held, given back and put right."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from conftest import tenant_id

from entitlement_client import (
    EntitlementsUnavailableError,
    OnOutage,
    RequestRefusedError,
    Reservation,
    SyncEntitlementClient,
    UsageRefusedError,
)
from entitlement_client._core.usage import ranges
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements

ONE = tenant_id(1)
ORDERS = "transactions_monthly"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with ten orders a month and three users."""
    entitlements.allow(ONE, "finance")
    entitlements.set_limit(ONE, ORDERS, 10)
    entitlements.set_limit(ONE, "users", 3)
    return entitlements


def users(client: SyncEntitlementClient) -> tuple[int, int]:
    """What is used and held of them."""
    asked = client.reserve(ONE, "users", "nobody", 1000)
    assert not asked
    return asked.used, asked.held


def fail(holding: AbstractContextManager[Reservation], act: Callable[[Reservation], object]) -> None:
    """A block that does so, and then raises."""
    with holding as held:
        act(held)
        raise ZeroDivisionError


def failing(double: InMemoryEntitlements, *failures: Failure | None) -> list[str]:
    """What is counted, and the answer is lost: one of these in its place, as long as there are any. None: it comes.
    What was asked."""
    real: Callable[[str, Any], Any] = double.answer
    left, asked = list(failures), []

    def answer(method: str, request: Any) -> Any:
        response = real(method, request)
        asked.append(method)
        return (left.pop(0) if left else None) or response

    double.answer = answer  # type: ignore[method-assign]
    return asked


def test_a_key_is_counted_once_and_the_limit_holds(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        first = client.reserve(ONE, ORDERS, "o-1", 7)
        assert (first.granted, first.amount, first.repeated, first.reason) == (True, 7, False, "WITHIN")
        assert (first.used, first.held, first.limit, first.remaining) == (7, 0, 10, 3)
        assert (first.kind, first.enforcement, first.message) == ("MONTHLY", "ON", "")
        assert first.resets_at is not None
        assert first.resets_at > double.now
        assert (first.resets_at.day, first.resets_at.hour) == (1, 0)
        again = client.reserve(ONE, ORDERS, "o-1", 7)
        assert (again.granted, again.repeated, again.used) == (True, True, 7)
        with pytest.raises(RequestRefusedError) as conflict:
            client.reserve(ONE, ORDERS, "o-1", 8)
        assert (conflict.value.code, conflict.value.reason) == ("ALREADY_EXISTS", "USAGE_KEY_CONFLICT")
        refused = client.reserve(ONE, ORDERS, "o-2", 4)
        assert (refused.granted, refused.amount, refused.reason, refused.used) == (False, 0, "EXCEEDED", 7)
        assert refused.message == "This would exceed the limit 'transactions_monthly' of 10."
        part = client.reserve(ONE, ORDERS, "o-3", 4, partial=True)
        assert (part.granted, part.amount, part.remaining) == (True, 3, 0)
        assert [client.release(ONE, ORDERS, "o-1") for _ in range(2)] == [7, 0]
        assert client.reserve(ONE, ORDERS, "o-1", 2).granted
        with pytest.raises(FrozenInstanceError):
            part.granted = False  # type: ignore[misc]


def test_another_month_is_another_counter_and_what_this_one_took_returns_to_it(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        ends = client.reserve(ONE, ORDERS, "before", 10).resets_at
        assert ends is not None
        assert not client.reserve(ONE, ORDERS, "more")
        double.advance(ends - double.now)
        after = client.reserve(ONE, ORDERS, "after", 3)
        assert (after.granted, after.used) == (True, 3)
        assert client.reserve(ONE, ORDERS, "before", 10).repeated
        assert client.release(ONE, ORDERS, "before") == 10
        assert client.reserve(ONE, ORDERS, "after", 3).used == 3


def test_a_hold_returns_by_itself_by_the_doubles_clock(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.reserve(ONE, "users", "ann", hold_for=MINUTE).held == 1
        assert client.reserve(ONE, "users", "bob", hold_for=MINUTE).held == 2
        kept = client.reserve(ONE, "users", "bob")
        assert (kept.repeated, kept.used, kept.held) == (True, 1, 1)
        double.advance(MINUTE - timedelta(milliseconds=1))
        assert users(client) == (1, 1)
        double.advance(timedelta(milliseconds=1))
        assert users(client) == (1, 0)


def test_who_is_denied_counts_nothing(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        denied = client.reserve(ONE, "users", "ann", module="hrms")
        assert (denied.granted, denied.reason, denied.denial_reason) == (False, "MODULE_DENIED", "NOT_SUBSCRIBED")
        assert denied.message.startswith("Module 'hrms' is not enabled for your account.")
        assert client.reserve(ONE, "users", "ann", module="finance")
        unknown = client.reserve(tenant_id(9), "users", "ann")
        assert (unknown.reason, unknown.denial_reason) == ("TENANT_DENIED", "TENANT_NOT_FOUND")
        nothing = client.reserve(ONE, "spoons", "a")
        assert (nothing.granted, nothing.reason) == (False, "NOT_FOUND")
        double.enforce_limits("SHADOW")
        beyond = client.reserve(ONE, "users", "bob", 50)
        assert (beyond.granted, beyond.reason, beyond.enforcement) == (True, "EXCEEDED", "SHADOW")
        for bad in ({"key": "a b"}, {"amount": 0}, {"hold_for": timedelta(0)}):
            with pytest.raises(RequestRefusedError):
                client.reserve(ONE, **{"meter": "users", "key": "a", **bad})  # type: ignore[arg-type]


def test_a_block_takes_for_good_what_it_holds_and_one_that_raises_gives_it_back(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        with client.reserving(ONE, "users", "ann") as held:
            assert (held.granted, held.held) == (True, 1)
            assert users(client) == (0, 1)
        assert users(client) == (1, 0)
        inside: list[tuple[int, int]] = []
        with pytest.raises(ZeroDivisionError):
            fail(client.reserving(ONE, "users", "bob", 2), lambda held: inside.append(users(client)))
        assert (inside, users(client)) == ([(1, 2)], (1, 0))
        sentence = "would exceed the limit 'users' of 3"
        with pytest.raises(UsageRefusedError, match=sentence) as refused, client.reserving(ONE, "users", "cid", 3):
            pytest.fail("it was not granted")
        assert refused.value.reservation.reason == "EXCEEDED"


def test_a_block_that_raises_gives_nothing_back_that_was_here_before(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.reserve(ONE, "users", "ann")
        # Another attempt at the same user, who is there already.
        was_here: list[bool] = []
        with pytest.raises(ZeroDivisionError):
            fail(client.reserving(ONE, "users", "ann"), lambda held: was_here.append(held.repeated))
        assert was_here == [True]
        assert users(client) == (1, 0)


def test_a_hold_that_has_run_out_is_kept_only_if_there_is_enough_left(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        holding = client.reserving(ONE, "users", "ann", 3)
        assert holding.__enter__()
        double.advance(MINUTE)
        assert client.reserve(ONE, "users", "bob")
        with pytest.raises(UsageRefusedError):
            holding.__exit__(None, None, None)
        assert users(client) == (1, 0)


async def test_the_async_client_does_the_same(double: InMemoryEntitlements) -> None:
    async with double.client() as client:
        async with client.reserving(ONE, "users", "ann") as held:
            assert (held.granted, held.held) == (True, 1)
        with pytest.raises(ZeroDivisionError):
            async with client.reserving(ONE, "users", "bob"):
                raise ZeroDivisionError
        told = await client.reserve(ONE, "users", "cid")
        assert (told.used, told.held) == (2, 0)
        assert await client.release(ONE, "users", "cid") == 1
        with pytest.raises(UsageRefusedError):
            async with client.reserving(ONE, "users", "dan", 9):
                pytest.fail("it was not granted")
        right = await client.reconcile(ONE, "users", ["ann", "eve"], double.now)
        assert (right.counted, right.released, right.used) == (1, 0, 2)


async def test_a_block_whose_task_is_cancelled_gives_back(double: InMemoryEntitlements) -> None:
    async with double.client() as client:
        is_inside = asyncio.Event()

        async def work() -> None:
            async with client.reserving(ONE, "users", "ann"):
                is_inside.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(work())
        await is_inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        told = await client.reserve(ONE, "users", "bob")
        assert (told.used, told.held) == (1, 0)


def test_many_threads_never_count_beyond_the_limit(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        granted: list[bool] = []

        def ask(first: int) -> None:
            granted.extend(client.reserve(ONE, ORDERS, f"o-{first}-{number}").granted for number in range(10))

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(granted) == 10


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_an_answer_that_was_lost_is_asked_for_again_and_counted_once(double: InMemoryEntitlements, code: str) -> None:
    with double.sync_client() as client:
        asked = failing(double, Failure(code, "lost"), Failure(code, "lost"))
        told = client.reserve(ONE, "users", "ann")
        assert (told.granted, told.repeated, told.used) == (True, True, 1)
        assert asked == ["ReserveUsage"] * 3


def test_it_is_asked_twice_more_and_no_more(double: InMemoryEntitlements) -> None:
    with double.sync_client(OnOutage.allow()) as client:
        asked = failing(double, *[Failure("UNAVAILABLE", "lost")] * 9)
        with pytest.raises(EntitlementsUnavailableError):
            client.reserve(ONE, "users", "ann")
        assert asked == ["ReserveUsage"] * 3


def test_a_counter_that_is_locked_is_an_error_and_asked_once(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        asked = failing(double, Failure("RESOURCE_EXHAUSTED", "locked", "COUNTER_LOCKED", 0.25))
        with pytest.raises(EntitlementsUnavailableError) as locked:
            client.reserve(ONE, "users", "ann")
        assert (locked.value.code, locked.value.retry_after, len(asked)) == ("RESOURCE_EXHAUSTED", 0.25, 1)


def test_no_rule_for_outages_grants_and_what_is_slow_to_count_is_no_outage_for_modules(
    double: InMemoryEntitlements,
) -> None:
    with double.sync_client(OnOutage.allow()) as client:
        failing(double, *[Failure("DEADLINE_EXCEEDED", "slow")] * 3)
        with pytest.raises(EntitlementsUnavailableError):
            client.reserve(ONE, "users", "ann")
        assert not client.check(ONE, "finance").by_outage_rule
        double.go_dark()
        double.advance(MINUTE)
        assert client.check(tenant_id(7), "finance").by_outage_rule
        with pytest.raises(EntitlementsUnavailableError), client.reserving(ONE, "users", "bob"):
            pytest.fail("nobody has granted it")


def test_a_block_that_raises_in_an_outage_raises_what_it_raised_and_the_hold_returns_by_itself(
    double: InMemoryEntitlements,
) -> None:
    with double.sync_client() as client:
        with pytest.raises(ZeroDivisionError):
            fail(client.reserving(ONE, "users", "ann", hold_for=MINUTE), lambda held: double.go_dark())
        double.come_back()
        assert users(client) == (0, 1)
        double.advance(MINUTE)
        assert users(client) == (0, 0)


def test_a_server_that_is_older_than_usage_says_so(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        failing(double, Failure("UNIMPLEMENTED", ""))
        with pytest.raises(RequestRefusedError, match="older than usage") as older:
            client.reserve(ONE, "users", "ann")
        assert older.value.code == "UNIMPLEMENTED"


def test_reconciling_thousands_of_keys_puts_right_what_is_there_and_what_is_not(double: InMemoryEntitlements) -> None:
    there = [f"user-{number}" for number in range(4000)]
    with double.sync_client() as client:
        for key in ("ann", "user-1"):
            assert client.reserve(ONE, "users", key)
        before = len(double.calls)
        right = client.reconcile(ONE, "users", there, double.now)
        assert (right.counted, right.released, right.used, right.reason) == (3999, 1, 4000, "OVER_LIMIT")
        assert double.calls[before:] == ["ReconcileUsage"] * 3
        again = client.reconcile(ONE, "users", there, double.now)
        assert (again.counted, again.released) == (0, 0)
        none = client.reconcile(ONE, "users", [], double.now)
        assert (none.released, none.used) == (4000, 0)
        with pytest.raises(RequestRefusedError) as monthly:
            client.reconcile(ONE, ORDERS, ["a"], double.now)
        assert monthly.value.code == "FAILED_PRECONDITION"


def test_what_came_after_the_list_was_read_stays_as_it_is(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.reserve(ONE, "users", "gone")
        as_of = double.now
        double.advance(timedelta(seconds=1))
        assert client.release(ONE, "users", "gone") == 1
        assert client.reserve(ONE, "users", "new")
        right = client.reconcile(ONE, "users", ["gone"], as_of)
        assert (right.counted, right.released, right.used) == (0, 0, 1)


def test_what_cannot_be_reconciled_stops_it_before_anything_is_sent(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        for keys, as_of in [
            (["ann", ""], double.now),
            (["a b"], double.now),
            ("ann", double.now),
            (["ann"], datetime(2026, 1, 1)),  # noqa: DTZ001 - that is what is refused
        ]:
            with pytest.raises(ValueError, match=r"key|as_of"):
                client.reconcile(ONE, "users", keys, as_of)
        assert "ReconcileUsage" not in double.calls


@pytest.mark.parametrize(("count", "width"), [(0, 4), (1, 4), (1500, 4), (1501, 4), (4000, 9), (1000, 128)])
def test_ranges_hold_each_key_once_and_mean_all_that_there_can_be(count: int, width: int) -> None:
    keys = [f"{number:0{width}}" for number in reversed(range(count))]
    made = list(ranges(keys * 2))
    assert [key for _, _, some in made for key in some] == sorted(keys)
    assert (made[0][0], made[-1][1]) == ("", "")
    assert all(one[1] == next_one[0] != "" for one, next_one in pairwise(made))
    for after, up_to, some in made:
        assert all(after < key and (not up_to or key <= up_to) for key in some)
        assert len(some) <= 1500
        assert sum(len(key) + 3 for key in some) <= 48 * 1024
    assert len(made) == max(1, -(-count // 1500)) or width == 128


def test_an_instant_of_another_zone_is_the_same_instant(double: InMemoryEntitlements) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    with double.sync_client() as client:
        assert client.reserve(ONE, "users", "gone")
        assert client.reconcile(ONE, "users", [], double.now.astimezone(zone)).released == 1
