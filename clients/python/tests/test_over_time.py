"""What was used over time, on the double: what is recorded, corrected and asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import tenant_id

from entitlement_client import EntitlementsUnavailableError, RequestRefusedError, UsageEvent
from entitlement_client._core.recording import MOST_BYTES, messages_of
from entitlement_client._wire_over_time import event
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements

ONE = tenant_id(1)
ORDERS = "transactions_monthly"
HOUR = timedelta(hours=1)


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with ten orders a month and three users."""
    entitlements.allow(ONE, "finance")
    entitlements.set_limit(ONE, ORDERS, 10)
    entitlements.set_limit(ONE, "users", 3)
    return entitlements


def failing(double: InMemoryEntitlements, *failures: Failure | None) -> list[Any]:
    """What is written down, and the answer is lost: one of these in its place, as long as there are any. None: it comes.
    What was sent."""
    real: Callable[[str, Any], Any] = double.answer
    left, sent = list(failures), []

    def answer(method: str, request: Any) -> Any:
        response = real(method, request)
        sent.append(request)
        return (left.pop(0) if left else None) or response

    double.answer = answer  # type: ignore[method-assign]
    return sent


def orders(count: int, **said: Any) -> list[UsageEvent]:
    return [UsageEvent(ONE, ORDERS, f"o-{number}", **said) for number in range(count)]


def test_a_key_is_counted_once_whatever_the_limit_and_each_event_has_its_outcome(double: InMemoryEntitlements) -> None:
    now = double.now
    with double.sync_client() as client:
        assert all(client.record(orders(12)))
        told = client.record(
            [
                UsageEvent(ONE, ORDERS, "o-1"),
                UsageEvent(ONE, ORDERS, "o-1", 2),
                UsageEvent(ONE, ORDERS, "c-1", corrects="o-2"),
                UsageEvent(ONE, ORDERS, "c-1", corrects="o-2"),
                UsageEvent(ONE, ORDERS, "c-2", corrects="o-2"),
                UsageEvent(ONE, ORDERS, "new", at=now - timedelta(days=36)),
                UsageEvent(ONE, ORDERS, "new", at=now + HOUR),
                UsageEvent(ONE, "users", "ann"),
                UsageEvent(ONE, ORDERS, "new", module="nonsense"),
                UsageEvent(tenant_id(9), ORDERS, "new"),
                UsageEvent(ONE, ORDERS, "a b"),
            ]
        )
        assert [one.outcome for one in told] == [
            "REPEATED",
            "CONFLICT",
            "COUNTED",
            "REPEATED",
            "NOTHING_TO_CORRECT",
            "TOO_LATE",
            "TOO_EARLY",
            "UNKNOWN_METER",
            "UNKNOWN_MODULE",
            "UNKNOWN_TENANT",
            "INVALID",
        ]
        assert client.query_usage(ONE, ORDERS, now - HOUR, now + HOUR, granularity="MONTH").total == 11
        refused = client.reserve(ONE, ORDERS, "more")
        assert (refused.granted, refused.reason, refused.used) == (False, "OVER_LIMIT", 11)


def test_what_was_held_is_taken_for_good_where_it_is_recorded(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        assert client.reserve(ONE, ORDERS, "o-0", hold_for=HOUR)
        assert [one.outcome for one in client.record(orders(1))] == ["REPEATED"]
        double.advance(2 * HOUR)
        assert client.reserve(ONE, ORDERS, "o-1").used == 2


def test_spans_are_told_by_quarter_hour_hour_day_and_month_and_by_module(double: InMemoryEntitlements) -> None:
    noon = double.now.replace(hour=12, minute=5, second=0, microsecond=0) - timedelta(days=1)
    with double.sync_client() as client:
        client.record(
            [
                UsageEvent(ONE, ORDERS, "a", 1, at=noon),
                UsageEvent(ONE, ORDERS, "b", 2, module="finance", at=noon + timedelta(minutes=15)),
                UsageEvent(ONE, ORDERS, "c", 4, at=noon + HOUR),
                UsageEvent(ONE, ORDERS, "c-2", 3, corrects="c"),
            ]
        )
        asked: dict[str, Any] = {"tenant": ONE, "meter": ORDERS, "start": noon, "end": noon + 2 * HOUR}

        def amounts(**more: Any) -> list[tuple[int, int]]:
            return [(span.amount, span.events) for span in client.query_usage(**asked, **more)]

        assert amounts(granularity="QUARTER_HOUR") == [(1, 1), (2, 1), (1, 1)]
        assert amounts(granularity="HOUR") == [(3, 2), (1, 1)]
        assert amounts() == [(4, 3)]
        assert amounts(granularity="MONTH") == [(4, 3)]
        assert amounts(by_module=True) == [(2, 2), (2, 1)]
        assert amounts(module="finance") == [(2, 1)]
        client.record([UsageEvent(ONE, ORDERS, "d", 5, at=noon), UsageEvent(ONE, ORDERS, "d-2", 5, corrects="d")])
        used = client.query_usage(**asked, granularity="HOUR")
        assert (used.total, used.late, len(used)) == (4, 4, 2)
        client.record([UsageEvent(ONE, ORDERS, "c-3", 1, corrects="c")])
        assert len(client.query_usage(**asked, granularity="HOUR")) == 1, "nothing is left of the other one"
        assert used.spans[0].start == noon.replace(minute=0)
        assert used.spans[0].end == noon.replace(minute=0) + HOUR
        assert used.spans[0].recorded_at == double.now
        with pytest.raises(RequestRefusedError) as level:
            client.query_usage(ONE, "users", noon, noon + HOUR)
        assert (level.value.code, level.value.reason) == ("FAILED_PRECONDITION", "NOT_MONTHLY")


def test_a_message_whose_answer_was_lost_is_sent_again_and_counted_once(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        sent = failing(double, Failure("UNAVAILABLE", "lost"))
        assert [one.outcome for one in client.record(orders(2))] == ["REPEATED"] * 2
        assert sent == [sent[0]] * 2
        assert client.reserve(ONE, ORDERS, "more").used == 3


def test_messages_hold_500_events_and_those_before_an_outage_are_counted(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        sent = failing(double, None, *[Failure("UNAVAILABLE", "away")] * 3)
        with pytest.raises(EntitlementsUnavailableError):
            client.record(orders(1100))
        assert [len(request.events) for request in sent] == [500] * 4
        told = client.record(orders(1100))
        assert {one.outcome for one in told[:1000]} == {"REPEATED"}
        assert [one.event.key for one in told] == [f"o-{number}" for number in range(1100)]


def test_no_message_is_longer_than_a_server_takes() -> None:
    events = [event(UsageEvent(ONE, "m" * 100, f"{number:0128}", corrects="k" * 128)) for number in range(1200)]
    messages = list(messages_of(events * 2))
    assert [one for message in messages for one in message.events] == events * 2
    assert all(message.ByteSize() <= MOST_BYTES for message in messages)


async def test_the_async_client_does_the_same(double: InMemoryEntitlements) -> None:
    async with double.client() as client:
        failing(double, Failure("DEADLINE_EXCEEDED", "lost"))
        assert all(await client.record(orders(3)))
        assert (await client.query_usage(ONE, ORDERS, double.now, double.now + HOUR)).total == 3
        double.go_dark()
        with pytest.raises(EntitlementsUnavailableError):
            await client.record(orders(1))
        with pytest.raises(EntitlementsUnavailableError):
            await client.query_usage(ONE, ORDERS, double.now, double.now + HOUR)


def test_what_cannot_be_sent_stops_it_before_anything_is(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        for bad in ({"amount": 0}, {"amount": -1, "corrects": "o-1"}, {"at": datetime(2026, 1, 1)}):  # noqa: DTZ001
            with pytest.raises(ValueError, match=r"amount|at"):
                client.record([*orders(2), UsageEvent(ONE, ORDERS, "bad", **bad)])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="granularity"):
            client.query_usage(ONE, ORDERS, double.now, double.now, granularity="WEEK")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="start"):
            client.query_usage(ONE, ORDERS, datetime(2026, 1, 1), double.now)  # noqa: DTZ001
        assert double.calls == []


def test_a_server_that_is_older_than_recording_says_so(double: InMemoryEntitlements) -> None:
    with double.sync_client() as client:
        failing(double, Failure("UNIMPLEMENTED", ""))
        with pytest.raises(RequestRefusedError, match="RecordUsage") as older:
            client.record(orders(1))
        assert older.value.code == "UNIMPLEMENTED"
