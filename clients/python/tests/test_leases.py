"""Slices of a limit that are spent in the process, on the double: never more than was granted, and all of it settled."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from conftest import tenant_id, until

from entitlement_client import (
    ClientMisuseError,
    EntitlementsUnavailableError,
    SyncEntitlementClient,
    SyncLeased,
    UsageRefusedError,
)
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements

ONE = tenant_id(1)
CALLS = "calls_monthly"
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with a thousand calls a month. It is not the end of one."""
    entitlements.allow(ONE, "finance")
    entitlements.set_limit(ONE, CALLS, 1000)
    if entitlements.now.day > 26:
        entitlements.advance(timedelta(days=8))
    return entitlements


@pytest.fixture
def often() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def failing(double: InMemoryEntitlements, method: str, *failures: Failure | None, counts: bool = True) -> list[Any]:
    """One of these in the place of an answer to this method, as long as there are any. None: it comes. `counts`: it is
    done all the same. What was asked."""
    real: Callable[[str, Any], Any] = double.answer
    left, asked = list(failures), []

    def answer(called: str, request: Any) -> Any:
        if called != method:
            return real(called, request)
        asked.append(request)
        failure = left.pop(0) if left else None
        if failure is not None and not counts:
            return failure
        response = real(called, request)
        return failure or response

    double.answer = answer  # type: ignore[method-assign]
    return asked


def counted(client: SyncEntitlementClient) -> tuple[int, int]:
    """What is used and held."""
    asked = client.reserve(ONE, CALLS, "nobody", 10**9)
    assert not asked
    return asked.used, asked.held


def calls(double: InMemoryEntitlements, method: str) -> int:
    return double.calls.count(method)


def settled(leased: SyncLeased) -> bool:
    return not leased._over


def test_what_is_taken_is_taken_of_a_slice_and_nobody_is_asked(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        assert double.calls == []
        taken = [leased.take() for _ in range(40)]
        assert all(taken)
        assert {one.reservation for one in taken} == {None}
        assert (calls(double, "AcquireUsageLease"), calls(double, "ReserveUsage")) == (1, 0)
        assert counted(client) == (0, 100)
        leased.close()
        assert counted(client) == (40, 0)
        with pytest.raises(ClientMisuseError):
            leased.take()


def test_the_next_slice_comes_once_half_is_spent_and_the_old_one_is_spent_to_its_end(
    double: InMemoryEntitlements,
) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        for _ in range(49):
            leased.take()
        assert calls(double, "AcquireUsageLease") == 1
        leased.take()
        until(lambda: leased._next is not None)
        # What was spent so far is told when the next one is there.
        until(lambda: counted(client) == (50, 150))
        first = leased._present
        leased.take(50)
        assert (leased._present, first.left if first else None) == (first, 0)
        leased.take()
        until(lambda: counted(client) == (100, 100) and settled(leased))
        assert (calls(double, "AcquireUsageLease"), calls(double, "ReserveUsage") > 0) == (2, True)


def test_the_next_slice_comes_once_half_of_the_time_is_gone_if_somebody_takes(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        leased.take()
        double.advance(30 * SECOND - SECOND / 1000)
        leased.take()
        assert leased._next is None
        double.advance(SECOND / 1000)
        assert calls(double, "AcquireUsageLease") == 1
        leased.take()
        until(lambda: leased._next is not None)
        double.advance(24 * SECOND)
        leased.take()
        until(lambda: counted(client) == (3, 100))


def test_spending_stops_a_tenth_of_the_time_early_and_what_is_over_is_settled_by_itself(
    double: InMemoryEntitlements,
) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        leased.take(7)
        double.advance(54 * SECOND - SECOND / 1000)
        assert leased.spend(1)
        until(lambda: leased._next is not None)
        present = leased._present
        double.advance(SECOND / 1000)
        assert leased.spend(1)
        assert leased._present is not present
        until(lambda: counted(client)[0] == 8)
        double.advance(HOUR)
        until(lambda: counted(client) == (9, 0))


def test_time_counts_from_when_the_request_was_sent(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        real = double.answer

        def slow(method: str, request: Any) -> Any:
            response = real(method, request)
            if method == "AcquireUsageLease":
                double.advance(10 * SECOND)
            return response

        double.answer = slow  # type: ignore[method-assign]
        leased = client.leased(ONE, CALLS, size=100)
        leased.take()
        double.advance(44 * SECOND - SECOND / 1000)
        assert leased.spend(1)
        double.answer = real  # type: ignore[method-assign]
        until(lambda: leased._next is not None)
        present = leased._present
        double.advance(SECOND / 1000)
        assert leased.spend(1)
        assert leased._present is not present


def test_a_lost_answer_is_asked_for_again_with_the_same_name_also_much_later(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        asked = failing(double, "AcquireUsageLease", *[Failure("UNAVAILABLE", "lost")] * 4)
        leased = client.leased(ONE, CALLS, size=100)
        with pytest.raises(EntitlementsUnavailableError):
            leased.take()
        assert leased.take().reservation is not None, "it is not asked again at once"
        double.advance(5 * SECOND)
        assert leased.take().reservation is None
        assert {request.lease_id for request in asked} == {asked[0].lease_id}
        assert len(asked) == 5
        present = leased._present
        # 5 s of the minute were gone when it was asked for the last time, and so the double said.
        assert present is not None
        assert present.stops == double._mono + int(55 * 0.9 * 10**9)
        assert counted(client) == (1, 100)


def test_a_lease_that_has_run_out_before_its_answer_came_is_given_back(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        asked = failing(double, "AcquireUsageLease", *[Failure("UNAVAILABLE", "lost")] * 3)
        leased = client.leased(ONE, CALLS, size=100)
        with pytest.raises(EntitlementsUnavailableError):
            leased.take()
        double.advance(HOUR)
        assert counted(client) == (100, 0)
        assert leased.take()
        assert asked[-1].lease_id != asked[0].lease_id
        until(lambda: counted(client) == (0, 100))


def test_where_little_is_left_it_is_reserved_one_by_one_and_the_refusal_is_that_ones(
    double: InMemoryEntitlements,
) -> None:
    double.set_limit(ONE, CALLS, 33)
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        taken = [leased.require() for _ in range(33)]
        with pytest.raises(UsageRefusedError) as refused:
            leased.require()
        assert refused.value.reservation.reason == "EXCEEDED"
        assert sum(one.reservation is not None for one in taken) > 15
        assert calls(double, "AcquireUsageLease") <= 4, "it is not asked for a slice each time"
        until(lambda: counted(client) == (33, 0))
        double.set_limit(ONE, CALLS, 1000)
        assert leased.take().reservation is not None
        double.advance(5 * SECOND)
        assert leased.take().reservation is None


def test_more_than_a_slice_holds_is_reserved_by_itself_and_the_slice_stays(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        assert leased.take(300).reservation is not None
        assert calls(double, "AcquireUsageLease") == 0
        assert leased.take(40).reservation is None
        assert leased.take(80).reservation is None, "of what is left, and of the next one"
        leased.close()
        assert counted(client) == (420, 0)
        for bad in (0, -1, 1.5):
            with pytest.raises(ValueError, match="amount"):
                leased.take(bad)  # type: ignore[arg-type]


def test_who_is_denied_is_refused_as_in_reserve(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        denied = client.leased(ONE, CALLS, module="hrms").take()
        assert (denied.granted, denied.reservation is not None) == (False, True)
        assert denied.reservation is not None
        assert (denied.reservation.reason, denied.reservation.denial_reason) == ("MODULE_DENIED", "NOT_SUBSCRIBED")
        with pytest.raises(UsageRefusedError):
            client.leased(tenant_id(9), CALLS).require()
        assert client.leased(ONE, CALLS, module="finance").take()


def test_in_an_outage_what_is_held_is_spent_and_after_that_it_is_an_error(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        leased.take()
        double.go_dark()
        assert all(leased.take() for _ in range(99))
        for _ in range(3):
            with pytest.raises(EntitlementsUnavailableError):
                leased.take()
        double.come_back()
        double.advance(6 * SECOND)
        assert leased.take()
        leased.close()
        assert counted(client) == (101, 0)


@pytest.mark.parametrize(("unsettled", "used"), [("SPENT", 100), ("RETURNED", 50)])
def test_what_is_not_settled_is_spent_or_returned_as_was_agreed(
    double: InMemoryEntitlements, unsettled: Any, used: int
) -> None:
    client = double.sync_client()
    leased = client.leased(ONE, CALLS, size=100, unsettled=unsettled)
    leased.take(50)
    with double.sync_client() as other:
        until(lambda: counted(other)[0] == 50)
        failing(double, "SettleUsageLease", *[Failure("UNAVAILABLE", "away")] * 99, counts=False)
        leased.take(10)
        client.close()
        double.advance(HOUR)
        # The next slice, of which nothing was spent, is not settled either.
        assert counted(other) == (used + (100 if unsettled == "SPENT" else 0), 0)


def test_closing_the_client_settles_all_its_leases(double: InMemoryEntitlements) -> None:
    with double.sync_client() as other:
        client = double.sync_client()
        one, two = client.leased(ONE, CALLS), client.leased(ONE, CALLS)
        one.take(3)
        two.take(60)
        with client.leased(ONE, CALLS) as three:
            three.take(4)
        client.close()
        assert counted(other) == (67, 0)
        with pytest.raises(ClientMisuseError):
            one.take()


def test_after_a_fork_the_child_has_no_slices(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        leased = client.leased(ONE, CALLS)
        leased.take()
        leased.after_fork()
        assert not leased.spend(1)
        assert leased.is_idle


@pytest.mark.parametrize("seed", range(8))
def test_many_threads_and_processes_never_spend_more_than_the_limit_and_all_that_is_spent_is_counted(
    double: InMemoryEntitlements, often: None, seed: int
) -> None:
    chance = random.Random(seed)
    limit = chance.choice([10, 200, 1000])
    double.set_limit(ONE, CALLS, limit)
    real = double.answer
    lost = Failure("UNAVAILABLE", "lost")

    def answer(method: str, request: Any) -> Any:
        is_lost = method != "ReserveUsage" and chance.random() < 0.2
        response = lost if is_lost and chance.random() < 0.5 else real(method, request)
        return lost if is_lost else response

    double.answer = answer  # type: ignore[method-assign]
    clients = [double.sync_client() for _ in range(3)]
    leases = [client.leased(ONE, CALLS, size=chance.choice([7, 50, 300])) for client in clients for _ in range(2)]
    taken = [0] * 8

    def take(number: int) -> None:
        mine = random.Random(seed * 100 + number)
        for _ in range(150):
            amount = mine.choice([1, 1, 1, 3, 20])
            try:
                if mine.choice(leases).take(amount):
                    taken[number] += amount
            except EntitlementsUnavailableError:
                double.advance(SECOND)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(len(taken))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    double.answer = real  # type: ignore[method-assign]
    for client in clients:
        client.close()
    with double.sync_client() as other:
        used, held = counted(other)
        assert sum(taken) <= limit
        # What a call has taken whose answer was lost, or of which nobody learned, counts as spent.
        assert used + held >= sum(taken)
        double.advance(HOUR)
        assert counted(other)[0] <= limit


async def test_the_async_client_does_the_same(double: InMemoryEntitlements) -> None:
    async with double.client() as client:
        leased = client.leased(ONE, CALLS, size=100)
        taken = await asyncio.gather(*(leased.take() for _ in range(130)))
        assert all(taken)
        assert calls(double, "ReserveUsage") == 0
        await leased.close()
        with pytest.raises(ClientMisuseError):
            await leased.take()
        async with client.leased(ONE, CALLS, size=2000) as more:
            with pytest.raises(UsageRefusedError):
                await more.require(1000)
        other = client.leased(ONE, CALLS)
        await other.take(5)
    with double.sync_client() as again:
        assert counted(again) == (135, 0)


async def test_many_tasks_never_spend_more_than_the_limit(double: InMemoryEntitlements) -> None:
    async with double.client() as client, double.client() as another:
        leases = [one.leased(ONE, CALLS, size=64) for one in (client, another, client)]

        async def take(number: int) -> bool:
            await asyncio.sleep(0)
            return (await leases[number % 3].take()).granted

        taken = await asyncio.gather(*(take(number) for number in range(1500)))
        assert sum(taken) <= 1000
        for one in leases:
            await one.close()
    with double.sync_client() as other:
        assert counted(other) == (sum(taken), 0)


def test_terms_that_cannot_be_are_refused_when_it_is_made(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        bad: list[dict[str, Any]] = [{"size": 0}, {"ttl": SECOND}, {"ttl": HOUR}, {"unsettled": "kept"}]
        for one in bad:
            with pytest.raises(ValueError, match=next(iter(one))):
                client.leased(ONE, CALLS, **one)
