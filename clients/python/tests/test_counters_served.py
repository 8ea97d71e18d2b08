"""Adding up in the process, of both clients, against the real server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import PATIENCE, Postgres, Server, Sqlite, tenant_id, until
from way import Way

from entitlement_client import EntitlementClient, SyncEntitlementClient

ONE, TWO = tenant_id(1), tenant_id(2)
ORDERS = "transactions_monthly"
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Two tenants."""
    database = Sqlite(tmp_path) if request.param == "sqlite" else Postgres(request.getfixturevalue("cluster"))
    server = Server(database)
    server.kill()
    server.subscribe(1, "finance")
    server.subscribe(2, "finance")
    server.start()
    yield server
    server.kill()


def total(client: SyncEntitlementClient, tenant: str = ONE) -> int:
    now = datetime.now(timezone.utc)
    return client.query_usage(tenant, ORDERS, now - HOUR, now + HOUR).total


def test_sums_are_counted_once_through_lost_answers_and_a_server_that_is_killed(erp: Server) -> None:
    way = Way(erp.address)
    with (
        SyncEntitlementClient(erp.address, deadline=PATIENCE) as other,
        SyncEntitlementClient(way.address, deadline=0.3) as client,
    ):
        counters = client.counters(timedelta(milliseconds=20))
        added = [0]
        stop = threading.Event()

        def add() -> None:
            while not stop.is_set():
                counters.add(ONE, ORDERS)
                added[0] += 1
                stop.wait(0.0005)

        adding = threading.Thread(target=add)
        adding.start()
        for _ in range(4):
            before = total(other)
            until(lambda before=before: total(other) > before)  # type: ignore[misc]
            way.lose_answers()
            until(lambda: client.stats().get("failed_calls", 0) > 0 or counters.waiting > 0)
            way.cut()
        erp.kill()
        way.cut()
        until(lambda: counters.waiting > 0)
        erp.start()
        stop.set()
        adding.join()
        until(counters.flush)
        assert (total(other), counters.dropped, counters.refused) == (added[0], 0, 0)
        assert added[0] > 100
    way.close()


async def test_the_async_client_counts_by_module_and_at_its_end(erp: Server) -> None:
    async with EntitlementClient(erp.address, deadline=PATIENCE) as client:
        counters = client.counters()
        for number in range(100):
            counters.add(ONE, ORDERS, 2, "finance" if number % 2 else "")
        counters.add(TWO, ORDERS)
        assert await counters.flush()
        now = datetime.now(timezone.utc)
        spans = await client.query_usage(ONE, ORDERS, now - HOUR, now + HOUR, granularity="MONTH", by_module=True)
        assert {span.module: (span.amount, span.events) for span in spans} == {"": (100, 1), "finance": (100, 1)}
        counters.add(ONE, ORDERS, 7)
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as other:
        assert (total(other), total(other, TWO)) == (207, 1)


def test_what_is_wrong_in_a_message_is_no_matter_of_the_others_and_its_number_is_used(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        counters = client.counters()
        for _ in range(3):
            counters.add(ONE, "users")
            counters.add(tenant_id(9), ORDERS)
            assert counters.flush(), "nothing of it is counted, and it is answered"
            counters.add(ONE, ORDERS)
            counters.add(ONE, "nonsense")
            assert counters.flush()
        assert (counters.refused, counters.dropped, total(client)) == (9, 0, 3)


def test_after_a_fork_each_child_counts_what_it_adds_and_the_parent_what_that_adds(erp: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, erp.address, ONE], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "refused\nchild True\nrefused\nchild True\nparent True\n"), done.stderr
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        assert total(client) == 32


FORK = """
import os, sys
from entitlement_client import ClientMisuseError, SyncEntitlementClient
address, tenant = sys.argv[1:]
before, unused = SyncEntitlementClient(address, deadline=10), SyncEntitlementClient(address, deadline=10)
used, fresh = before.counters(), unused.counters()
used.add(tenant, "transactions_monthly", 10)
used.flush()
used.add(tenant, "transactions_monthly", 20)
for _ in range(2):
    child = os.fork()
    if child == 0:
        try:
            used.add(tenant, "transactions_monthly", 100)
        except ClientMisuseError as error:
            assert "forked" in str(error) and used.waiting == 0
            print("refused", flush=True)
        fresh.add(tenant, "transactions_monthly")
        print("child", fresh.flush(), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
print("parent", used.flush(), flush=True)
before.close()
"""
