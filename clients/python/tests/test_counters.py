"""Adding up in the process, on the double: each sum is counted once, in its quarter of an hour, whatever becomes of
answers."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from conftest import tenant_id, until

from entitlement_client import ClientMisuseError, SyncEntitlementClient
from entitlement_client._core import counters as core_counters
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = tenant_id(1), tenant_id(2)
CALLS = "calls_monthly"
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """Two tenants whose calls are counted. A quarter of an hour has begun a minute ago."""
    for tenant in (ONE, TWO):
        entitlements.allow(tenant, "finance")
        entitlements.set_limit(tenant, CALLS, 10)
        entitlements.set_limit(tenant, "users", 10)
    begun = timedelta(minutes=entitlements.now.minute % 15, seconds=entitlements.now.second)
    entitlements.advance(QUARTER - begun + timedelta(minutes=1))
    return entitlements


@pytest.fixture
def often() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def failing(double: InMemoryEntitlements, *failures: Failure | None, counts: bool = True) -> list[Any]:
    """One of these in the place of an answer to RecordUsage, as long as there are any. None: it comes. `counts`: it is
    counted all the same. What was sent."""
    real: Callable[[str, Any], Any] = double.answer
    left, sent = list(failures), []

    def answer(method: str, request: Any) -> Any:
        if method != "RecordUsage":
            return real(method, request)
        sent.append(type(request).FromString(request.SerializeToString()))
        failure = left.pop(0) if left else None
        if failure is not None and not counts:
            return failure
        response = real(method, request)
        return failure or response

    double.answer = answer  # type: ignore[method-assign]
    return sent


def total(client: SyncEntitlementClient, double: InMemoryEntitlements, tenant: str = ONE, **asked: Any) -> int:
    asked.setdefault("granularity", "MONTH")
    return client.query_usage(tenant, CALLS, double.now - 2 * DAY, double.now, **asked).total


def test_what_is_added_is_sent_in_sums_and_counted_whatever_the_limit(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        sent = failing(double)
        for _ in range(20):
            counters.add(ONE, CALLS)
            counters.add(ONE, CALLS, 2, "finance")
            counters.add(TWO, CALLS, 3)
        assert counters.waiting == 3
        assert counters.flush()
        assert (counters.waiting, len(sent), len(sent[0].events), sent[0].sequence) == (0, 1, 3, 1)
        assert (total(client, double), total(client, double, module="finance")) == (60, 40)
        assert total(client, double, TWO) == 60
        assert counters.flush()
        assert len(sent) == 1


def test_sums_are_sent_in_the_background_every_interval(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        counters = client.counters(timedelta(seconds=5))
        counters.add(ONE, CALLS)
        double.advance(timedelta(seconds=4))
        counters.add(ONE, CALLS)
        assert counters.waiting == 1
        double.advance(timedelta(seconds=1))
        until(lambda: counters.waiting == 0)
        until(lambda: total(client, double) == 2)
        counters.add(ONE, CALLS)
        # The next interval begins when the last one has been sent.
        until(lambda: client._core.schedule.seconds_left(client._core.clock.mono()) is not None)
        double.advance(timedelta(seconds=5))
        until(lambda: total(client, double) == 3)


def test_a_sum_is_counted_in_the_quarter_it_was_added_in_however_late_it_is_sent(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        counters = client.counters(DAY * 9)
        counters.add(ONE, CALLS, 1)
        double.advance(QUARTER)
        counters.add(ONE, CALLS, 2)
        double.advance(DAY)
        counters.add(ONE, CALLS, 4)
        assert counters.waiting == 3
        assert counters.flush()
        begun = double.now - DAY - QUARTER
        spans = client.query_usage(ONE, CALLS, begun, double.now, granularity="QUARTER_HOUR").spans
        assert [span.amount for span in spans] == [1, 2, 4]
        assert [span.start + timedelta(minutes=1) for span in spans] == [
            at.replace(second=0, microsecond=0) for at in (begun, begun + QUARTER, double.now)
        ]


@pytest.mark.parametrize("counts", [True, False])
def test_a_message_without_an_answer_is_sent_again_as_it_was_and_counted_once(
    double: InMemoryEntitlements, counts: bool
) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        sent = failing(double, *[Failure("UNAVAILABLE", "lost")] * 4, counts=counts)
        counters.add(ONE, CALLS)
        assert not counters.flush()
        counters.add(ONE, CALLS, 5)
        double.advance(QUARTER)
        assert counters.flush()
        assert sent[:5] == [sent[0]] * 5
        assert [message.sequence for message in sent] == [1] * 5 + [2]
        assert len({message.producer_id for message in sent}) == 1
        assert total(client, double) == 6


def test_where_the_server_misses_a_message_another_producer_begins_with_what_is_unsent(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        sent = failing(double, None, Failure("FAILED_PRECONDITION", "gap", "USAGE_SEQUENCE_GAP"), counts=False)
        counters.add(ONE, CALLS)
        assert counters.flush()
        counters.add(ONE, CALLS, 2)
        assert counters.flush()
        counters.add(ONE, CALLS, 4)
        assert counters.flush()
        assert [message.sequence for message in sent] == [1, 2, 1, 2]
        assert sent[1].producer_id != sent[2].producer_id == sent[3].producer_id
        assert sent[1].events == sent[2].events
        assert total(client, double) == 7
        assert "another producer begins" in caplog.text


def test_what_the_server_does_not_count_is_logged_once_a_minute_with_an_example_and_counted(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        for expected in (2, 4):
            counters.add(ONE, "users")
            counters.add(ONE, CALLS, module="nonsense")
            counters.add(ONE, CALLS)
            assert counters.flush()
            assert (counters.refused, client.stats()["usage_refused"]) == (expected, expected)
        assert len(caplog.records) == 1
        assert "2 sums were not counted" in caplog.text
        assert "UNKNOWN_M" in caplog.text
        double.advance(timedelta(minutes=1))
        counters.add(ONE, "users")
        assert counters.flush()
        assert "3 sums were not counted" in caplog.text
        assert total(client, double) == 2


def test_a_message_that_can_never_be_counted_is_dropped_and_the_next_one_takes_its_number(
    double: InMemoryEntitlements,
) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        sent = failing(double, Failure("INVALID_ARGUMENT", "no"), counts=False)
        counters.add(ONE, CALLS, 3)
        assert counters.flush()
        counters.add(ONE, CALLS)
        assert counters.flush()
        assert [message.sequence for message in sent] == [1, 1]
        assert (counters.dropped, total(client, double)) == (3, 1)


def test_beyond_the_bound_sums_are_joined_over_time_and_then_dropped_with_one_warning(
    double: InMemoryEntitlements, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(core_counters, "MOST_SUMS", 10)
    with double.sync_client() as client:
        counters = client.counters(DAY * 9)
        for _ in range(4):
            for tenant in (ONE, TWO, tenant_id(3)):
                counters.add(tenant, CALLS)
            double.advance(QUARTER)
        assert (counters.waiting, counters.dropped) == (3, 0)
        for number in range(10, 17):
            counters.add(tenant_id(number), CALLS)
        assert (counters.waiting, counters.dropped) == (10, 0)
        counters.add(ONE, CALLS)
        for number in range(20, 25):
            counters.add(tenant_id(number), CALLS, 2)
        assert (counters.waiting, counters.dropped, client.stats()["usage_dropped"]) == (10, 10, 10)
        assert len(caplog.records) == 1
        assert counters.flush()
        assert (total(client, double), total(client, double, TWO)) == (5, 4)
        counters.add(tenant_id(20), CALLS)
        assert counters.waiting == 1


def test_closing_sends_what_waits_and_the_client_closes_its_counters(double: InMemoryEntitlements) -> None:
    with double.sync_client() as other:
        client = double.sync_client()
        one, two = client.counters(), client.counters()
        one.add(ONE, CALLS)
        two.add(ONE, CALLS, 2)
        one.close()
        assert total(other, double) == 1
        with pytest.raises(ClientMisuseError):
            one.add(ONE, CALLS)
        with client.counters() as three:
            three.add(ONE, CALLS, 4)
        assert total(other, double) == 5
        client.close()
        assert total(other, double) == 7
        for counters in (one, two):
            with pytest.raises(ClientMisuseError):
                counters.add(ONE, CALLS)
            with pytest.raises(ClientMisuseError):
                counters.flush()


def test_closing_in_an_outage_drops_what_waits_and_says_how_much(
    double: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    client = double.sync_client()
    counters = client.counters()
    counters.add(ONE, CALLS, 7)
    double.go_dark()
    with caplog.at_level(logging.WARNING):
        client.close()
    assert counters.dropped == 7
    assert any("could not send" in record.getMessage() for record in caplog.records)


def test_many_threads_that_add_while_sums_are_sent_lose_nothing_and_count_nothing_twice(
    double: InMemoryEntitlements, often: None
) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        failing(double, *[Failure("UNAVAILABLE", "lost"), None] * 40)
        stop = threading.Event()

        def add() -> None:
            for number in range(2000):
                counters.add(ONE, CALLS, 1, "finance" if number % 2 else "")

        def send() -> None:
            while not stop.is_set():
                counters.flush()

        adding = [threading.Thread(target=add) for _ in range(6)]
        sending = [threading.Thread(target=send) for _ in range(2)]
        for thread in adding + sending:
            thread.start()
        for thread in adding:
            thread.join()
        stop.set()
        for thread in sending:
            thread.join()
        until(counters.flush)
        assert total(client, double) == 12_000


def test_after_a_fork_the_child_is_another_producer_and_starts_from_nothing(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        sent = failing(double)
        counters.add(ONE, CALLS, 5)
        assert counters.flush()
        counters.add(ONE, CALLS, 7)
        counters.after_fork()
        assert (counters.waiting, counters.dropped) == (0, 0)
        counters.add(ONE, CALLS)
        assert counters.flush()
        assert [message.sequence for message in sent] == [1, 1]
        assert sent[0].producer_id != sent[1].producer_id
        assert total(client, double) == 6


def test_what_cannot_be_counted_is_refused_when_it_is_added(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        bad: list[tuple[Any, ...]] = [(ONE, CALLS, 0), (ONE, CALLS, -1), (ONE, CALLS, 1.5), (ONE, ""), (7, CALLS)]
        bad += [(ONE, "m" * 101), (ONE, CALLS, 1, "m" * 51), (ONE, "ü")]
        for arguments in bad:
            with pytest.raises(ValueError, match=r"amount|tenant"):
                counters.add(*arguments)
        assert counters.waiting == 0
        with pytest.raises(ValueError, match="interval"):
            client.counters(timedelta(0))


def test_more_than_one_event_can_hold_is_counted_in_two(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        counters = client.counters()
        counters.add(ONE, CALLS, 10**12)
        counters.add(ONE, CALLS, 10**12)
        assert counters.flush()
        assert total(client, double) == 2 * 10**12


async def test_the_async_client_does_the_same_and_threads_may_add(double: InMemoryEntitlements) -> None:
    client = double.client()
    counters = client.counters()
    await asyncio.to_thread(counters.add, ONE, CALLS, 1)
    async with client:
        counters.add(ONE, CALLS, 2)
        await asyncio.to_thread(counters.add, ONE, CALLS, 4)
        double.advance(timedelta(seconds=5))
        while counters.waiting:
            await asyncio.sleep(0)
        assert (await client.query_usage(ONE, CALLS, double.now, double.now + DAY)).total == 7
        counters.add(ONE, CALLS, 8)
        assert await counters.flush()
        counters.add(ONE, CALLS, 16)
    with double.sync_client() as other:
        assert total(other, double) == 31
    with pytest.raises(ClientMisuseError):
        counters.add(ONE, CALLS)


async def test_what_threads_have_added_before_any_loop_was_used_is_sent_when_the_client_is_closed(
    double: InMemoryEntitlements,
) -> None:
    client = double.client()
    counters = client.counters()
    await asyncio.to_thread(counters.add, ONE, CALLS, 3)
    await client.close()
    async with double.client() as other, other.counters() as more:
        more.add(ONE, CALLS)
        assert await more.flush()
        assert (await other.query_usage(ONE, CALLS, double.now, double.now + DAY)).total == 4
