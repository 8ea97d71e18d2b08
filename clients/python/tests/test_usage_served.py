"""Usage of both clients, against the real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import PATIENCE, Server, limited, tenant_id, until
from way import Way

from entitlement_client import (
    EntitlementClient,
    EntitlementsUnavailableError,
    OnOutage,
    RequestRefusedError,
    SyncEntitlementClient,
    UsageRefusedError,
)

ONE = tenant_id(1)
ORDERS = "transactions_monthly"


@pytest.fixture(params=["sqlite", "postgres"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Limits are enforced; a tenant has ten orders a month and three users."""
    with limited(request, tmp_path, orders=10, users=3) as server:
        yield server


def users(client: SyncEntitlementClient) -> tuple[int, int]:
    """What is used and held of them."""
    asked = client.reserve(ONE, "users", "nobody", 1000)
    assert not asked
    return asked.used, asked.held


def test_a_key_is_counted_once_and_the_limit_holds(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        first = client.reserve(ONE, ORDERS, "o-1", 7)
        assert (first.granted, first.amount, first.repeated, first.reason) == (True, 7, False, "WITHIN")
        assert (first.used, first.held, first.limit, first.remaining) == (7, 0, 10, 3)
        assert (first.kind, first.source, first.enforcement) == ("MONTHLY", "PLAN", "ON")
        assert first.resets_at is not None
        assert first.resets_at > datetime.now(timezone.utc)
        again = client.reserve(ONE, ORDERS, "o-1", 7)
        assert (again.granted, again.repeated, again.used) == (True, True, 7)
        with pytest.raises(RequestRefusedError) as conflict:
            client.reserve(ONE, ORDERS, "o-1", 8)
        assert (conflict.value.code, conflict.value.reason) == ("ALREADY_EXISTS", "USAGE_KEY_CONFLICT")
        refused = client.reserve(ONE, ORDERS, "o-2", 4)
        assert (refused.granted, refused.amount, refused.reason) == (False, 0, "EXCEEDED")
        assert refused.message == "This would exceed the limit 'transactions_monthly' of 10."
        assert refused.plan_slugs
        part = client.reserve(ONE, ORDERS, "o-3", 4, partial=True)
        assert (part.granted, part.amount) == (True, 3)
        assert [client.release(ONE, ORDERS, "o-1") for _ in range(2)] == [7, 0]
        denied = client.reserve(ONE, ORDERS, "o-4", module="hrms")
        assert (denied.reason, denied.denial_reason) == ("MODULE_DENIED", "NOT_SUBSCRIBED")
        assert client.reserve(ONE, ORDERS, "o-4", module="finance")
        with pytest.raises(RequestRefusedError) as nonsense:
            client.reserve(ONE, ORDERS, "a b")
        assert nonsense.value.code == "INVALID_ARGUMENT"


def test_a_block_keeps_what_it_holds_and_one_that_raises_gives_it_back(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        with client.reserving(ONE, "users", "ann") as held:
            assert (held.held, users(client)) == (1, (0, 1))
        assert users(client) == (1, 0)

        def fail(key: str) -> None:
            with client.reserving(ONE, "users", key):
                raise ZeroDivisionError

        for key in ("bob", "ann"):
            with pytest.raises(ZeroDivisionError):
                fail(key)
            assert users(client) == (1, 0), "who was there before is there"
        with pytest.raises(UsageRefusedError), client.reserving(ONE, "users", "cid", 3):
            pytest.fail("it was not granted")


def test_a_hold_is_taken_for_good_or_given_back(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        for key in ("ann", "bob"):
            assert client.reserve(ONE, "users", key, hold_for=timedelta(hours=1)).granted
        assert users(client) == (0, 2)
        assert client.reserve(ONE, "users", "ann").repeated
        assert users(client) == (1, 1)
        assert client.release(ONE, "users", "bob") == 1
        assert users(client) == (1, 0)


async def test_the_async_client_does_the_same(erp: Server) -> None:
    async with EntitlementClient(erp.address, on_outage=OnOutage.deny(), deadline=PATIENCE) as client:
        async with client.reserving(ONE, "users", "ann"):
            pass
        with pytest.raises(ZeroDivisionError):
            async with client.reserving(ONE, "users", "bob"):
                raise ZeroDivisionError
        told = await client.reserve(ONE, "users", "cid")
        assert (told.used, told.held) == (2, 0)
        granted = await asyncio.gather(*(client.reserve(ONE, ORDERS, f"o-{number % 20}") for number in range(60)))
        assert sum(one.granted and not one.repeated for one in granted) == 10
        assert await client.release(ONE, "users", "cid") == 1


def test_many_threads_never_count_beyond_the_limit(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client, ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda number: client.reserve(ONE, ORDERS, f"o-{number % 40}"), range(160)))
        assert sum(one.granted and not one.repeated for one in told) == 10
        assert max(one.used for one in told) == 10


def test_reconciling_four_thousand_keys_puts_a_level_right(erp: Server) -> None:
    there = [f"user-{number:04}" for number in reversed(range(4000))]
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        for key in ("ann", "user-0001"):
            assert client.reserve(ONE, "users", key)
        # What is younger than five seconds when it was read is left alone, and a clock may be ahead by a minute.
        soon = datetime.now(timezone.utc) + timedelta(seconds=30)
        right = client.reconcile(ONE, "users", there, soon)
        assert (right.counted, right.released, right.used, right.reason) == (3999, 1, 4000, "OVER_LIMIT")
        again = client.reconcile(ONE, "users", there, soon)
        assert (again.counted, again.released) == (0, 0)
        none = client.reconcile(ONE, "users", [], soon)
        assert (none.released, none.used) == (4000, 0)


def test_what_was_counted_when_its_answer_was_lost_is_asked_for_again_and_counted_once(erp: Server) -> None:
    way = Way(erp.address)
    with (
        SyncEntitlementClient(erp.address, deadline=PATIENCE) as other,
        SyncEntitlementClient(way.address, deadline=PATIENCE) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        assert client.check(ONE, "finance")
        way.lose_answers()
        asked = pool.submit(client.reserve, ONE, "users", "ann")
        until(lambda: users(other) == (1, 0))
        # It is counted, and the answer is on its way.
        way.cut()
        told = asked.result(PATIENCE)
        assert (told.granted, told.repeated, told.used) == (True, True, 1)
    way.close()


def test_no_rule_for_outages_grants(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, on_outage=OnOutage.allow()) as client:
        assert client.reserve(ONE, "users", "ann")
        erp.kill()
        with pytest.raises(EntitlementsUnavailableError):
            client.reserve(ONE, "users", "bob")
        with pytest.raises(EntitlementsUnavailableError):
            client.release(ONE, "users", "ann")


def test_what_a_meters_rule_allows_is_counted_once_when_the_server_is_back(erp: Server) -> None:
    way = Way(erp.address)
    allow = {ORDERS: OnOutage.allow()}
    with SyncEntitlementClient(way.address, usage_outage=allow, deadline=1.0) as client:
        assert not client.reserve(ONE, ORDERS, "o-1", 4).by_outage_rule
        way.lose_answers()
        # It is counted, and nobody knows.
        assert client.reserve(ONE, ORDERS, "o-2", 5).by_outage_rule
        erp.kill()
        way.cut()
        assert client.reserve(ONE, ORDERS, "o-3", 6).by_outage_rule
        assert client.stats()["usage_owed"] == 2
        erp.start()
        until(lambda: client.stats()["usage_owed"] == 0)
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as other:
        again = other.reserve(ONE, ORDERS, "o-3", 6)
        assert (again.repeated, again.used, again.held) == (True, 15, 0)
    way.close()


def test_after_a_fork_a_new_client_counts_and_the_old_one_says_so(erp: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, erp.address, ONE],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=dict(os.environ),
    )
    assert (done.returncode, done.stdout) == (0, "refused\ncounted 2\n"), done.stderr


FORK = """
import os, sys
from entitlement_client import ClientMisuseError, SyncEntitlementClient
address, tenant = sys.argv[1:]
before, unused = SyncEntitlementClient(address, deadline=10), SyncEntitlementClient(address, deadline=10)
before.reserve(tenant, "users", "parent")
child = os.fork()
if child == 0:
    try:
        before.reserve(tenant, "users", "child")
    except ClientMisuseError as error:
        assert "forked" in str(error)
        print("refused", flush=True)
    with unused.reserving(tenant, "users", "child") as held:
        print("counted", held.used + held.held, flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
