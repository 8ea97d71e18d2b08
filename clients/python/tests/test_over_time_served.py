"""What was used over time, of both clients, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import PATIENCE, Server, limited, tenant_id, until
from way import Way

from entitlement_client import EntitlementClient, RequestRefusedError, SyncEntitlementClient, UsageEvent

ONE = tenant_id(1)
ORDERS = "transactions_monthly"
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Limits are enforced; a tenant has ten orders a month."""
    with limited(request, tmp_path, orders=10, users=3) as server:
        yield server


def orders(count: int, **said: object) -> list[UsageEvent]:
    return [UsageEvent(ONE, ORDERS, f"o-{number}", **said) for number in range(count)]  # type: ignore[arg-type]


def test_what_is_recorded_is_counted_once_whatever_the_limit_and_each_event_has_its_outcome(erp: Server) -> None:
    now = datetime.now(timezone.utc)
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        assert {told.outcome for told in client.record(orders(1200, at=now))} == {"COUNTED"}
        some = [
            UsageEvent(ONE, ORDERS, "o-1", at=now),
            UsageEvent(ONE, ORDERS, "o-1", 2, at=now),
            UsageEvent(ONE, ORDERS, "c-1", corrects="o-2"),
            UsageEvent(ONE, ORDERS, "c-2", corrects="o-2"),
            UsageEvent(ONE, ORDERS, "new", at=now - timedelta(days=40)),
            UsageEvent(ONE, ORDERS, "new", at=now + HOUR),
            UsageEvent(ONE, "users", "ann"),
            UsageEvent(ONE, ORDERS, "new", module="nonsense"),
            UsageEvent(tenant_id(9), ORDERS, "new"),
            UsageEvent(ONE, ORDERS, "a b"),
        ]
        told = client.record(some)
        assert [one.outcome for one in told] == [
            "REPEATED",
            "CONFLICT",
            "COUNTED",
            "NOTHING_TO_CORRECT",
            "TOO_LATE",
            "TOO_EARLY",
            "UNKNOWN_METER",
            "UNKNOWN_MODULE",
            "UNKNOWN_TENANT",
            "INVALID",
        ]
        assert [one.event for one in told] == some
        assert [bool(one) for one in told] == [one.outcome in ("COUNTED", "REPEATED") for one in told]
        assert client.record([]) == []
        used = client.query_usage(ONE, ORDERS, now - HOUR, now + HOUR, granularity="MONTH")
        assert (used.total, sum(span.amount for span in used)) == (1199, 1199)


async def test_the_async_client_records_and_asks_by_module(erp: Server) -> None:
    now = datetime.now(timezone.utc)
    async with EntitlementClient(erp.address, deadline=PATIENCE) as client:
        told = await client.record([*orders(3, module="finance"), UsageEvent(ONE, ORDERS, "own", 5)])
        assert [one.outcome for one in told] == ["COUNTED"] * 4
        await client.reserve(ONE, ORDERS, "reserved", 2)
        for granularity in ("QUARTER_HOUR", "HOUR", "DAY", "MONTH"):
            by = await client.query_usage(
                ONE,
                ORDERS,
                now - HOUR,
                now + HOUR,
                granularity=granularity,  # type: ignore[arg-type]
                by_module=True,
            )
            assert by.total == 10
            assert {span.module for span in by} == {"", "finance"}
            assert all(span.start < span.end for span in by)
        [day] = await client.query_usage(ONE, ORDERS, now, now + HOUR / 60, module="finance")
        assert (day.amount, day.events, day.module, day.late) == (3, 3, "", 0)
        with pytest.raises(RequestRefusedError) as level:
            await client.query_usage(ONE, "users", now, now + HOUR)
        assert (level.value.code, level.value.reason) == ("FAILED_PRECONDITION", "NOT_MONTHLY")


def test_a_message_whose_answer_was_lost_is_sent_again_and_counted_once(erp: Server) -> None:
    now = datetime.now(timezone.utc)
    way = Way(erp.address)
    with (
        SyncEntitlementClient(erp.address, deadline=PATIENCE) as other,
        SyncEntitlementClient(way.address, deadline=PATIENCE) as client,
        ThreadPoolExecutor(1) as pool,
    ):

        def total() -> int:
            return other.query_usage(ONE, ORDERS, now - HOUR, now + HOUR).total

        assert client.check(ONE, "finance")
        way.lose_answers()
        told = pool.submit(client.record, orders(3, at=now))
        until(lambda: total() == 3)
        # It is counted, and the answer is on its way.
        way.cut()
        assert [one.outcome for one in told.result(PATIENCE)] == ["REPEATED"] * 3
        assert total() == 3
    way.close()
