"""Slices of a limit that are spent in the process, of both clients, against the real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import PATIENCE, Server, limited, tenant_id, until
from way import Way

from entitlement_client import EntitlementClient, EntitlementsUnavailableError, SyncEntitlementClient

ONE = tenant_id(1)
ORDERS = "transactions_monthly"


@pytest.fixture(params=["sqlite", "postgres"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Limits are enforced; a tenant has five hundred orders a month."""
    with limited(request, tmp_path, orders=500, users=3) as server:
        yield server


def counted(client: SyncEntitlementClient) -> tuple[int, int]:
    """What is used and held."""
    asked = client.reserve(ONE, ORDERS, "nobody", 10**9)
    assert not asked
    return asked.used, asked.held


def test_what_is_leased_is_spent_without_asking_and_what_is_left_is_given_back(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        leased = client.leased(ONE, ORDERS, size=100)
        assert all(leased.take() for _ in range(49))
        assert counted(client) == (0, 100)
        leased.take()
        until(lambda: counted(client) == (50, 150))
        assert "calls_ReserveUsage" in client.stats()
        assert leased.take(3).reservation is None
        leased.close()
        assert counted(client) == (53, 0)
        denied = client.leased(ONE, ORDERS, module="hrms").take()
        assert denied.reservation is not None
        assert (denied.granted, denied.reservation.denial_reason) == (False, "NOT_SUBSCRIBED")


def test_many_threads_of_several_clients_spend_exactly_the_limit(erp: Server) -> None:
    clients = [SyncEntitlementClient(erp.address, deadline=PATIENCE) for _ in range(3)]
    leases = [client.leased(ONE, ORDERS, size=40) for client in clients]

    def take(number: int) -> int:
        return sum(leases[(number + turn) % 3].take().granted for turn in range(100))

    with ThreadPoolExecutor(9) as pool:
        granted = sum(pool.map(take, range(9)))
    for client in clients:
        client.close()
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as other:
        assert counted(other) == (granted, 0)
        assert 300 < granted <= 500, "what lies in other slices is refused, and nothing beyond the limit granted"


async def test_tasks_of_the_async_client_spend_never_more_than_the_limit(erp: Server) -> None:
    async with EntitlementClient(erp.address, deadline=PATIENCE) as client:
        async with client.leased(ONE, ORDERS, size=100) as leased:
            taken = await asyncio.gather(*(leased.take() for _ in range(600)))
        told = await client.reserve(ONE, ORDERS, "nobody", 10**9)
        assert sum(one.granted for one in taken) == told.used
        assert (told.held, told.used) == (0, 500)


def test_a_lease_whose_answer_was_lost_is_the_one_that_is_spent(erp: Server) -> None:
    way = Way(erp.address)
    with (
        SyncEntitlementClient(erp.address, deadline=PATIENCE) as other,
        SyncEntitlementClient(way.address, deadline=PATIENCE) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        leased = client.leased(ONE, ORDERS, size=100)
        assert client.check(ONE, "finance")
        way.lose_answers()
        taken = pool.submit(leased.take, 7)
        until(lambda: counted(other) == (0, 100))
        way.cut()
        assert taken.result(PATIENCE).reservation is None
        assert counted(other) == (0, 100)
        leased.close()
        assert counted(other) == (7, 0)
    way.close()


def test_a_server_that_is_gone_and_comes_back_costs_nothing_that_is_held(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=0.5) as client:
        leased = client.leased(ONE, ORDERS, size=50)
        assert leased.take()
        erp.kill()
        assert all(leased.take() for _ in range(49))
        with pytest.raises(EntitlementsUnavailableError):
            leased.take()
        erp.start()

        def is_settled() -> bool:
            try:
                return counted(client)[0] == 50
            except EntitlementsUnavailableError:
                # The connection waits a moment before it is made again.
                return False

        until(is_settled)


def test_after_a_fork_the_child_has_no_slices_and_a_new_client_its_own(erp: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, erp.address, ONE], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "refused\nchild True\nparent True\n"), done.stderr
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        assert counted(client) == (3, 0)


FORK = """
import os, sys
from entitlement_client import ClientMisuseError, SyncEntitlementClient
address, tenant = sys.argv[1:]
before, unused = SyncEntitlementClient(address, deadline=10), SyncEntitlementClient(address, deadline=10)
used, fresh = (client.leased(tenant, "transactions_monthly") for client in (before, unused))
used.take()
child = os.fork()
if child == 0:
    try:
        used.take()
    except ClientMisuseError as error:
        assert "forked" in str(error)
        print("refused", flush=True)
    print("child", fresh.take().reservation is None, flush=True)
    unused.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
print("parent", used.take().reservation is None, flush=True)
before.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_threads_that_find_no_slice_wait_for_one_and_ask_once(erp: Server) -> None:
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        leased = client.leased(ONE, ORDERS, size=100)
        begin = threading.Barrier(8)

        def take() -> bool:
            begin.wait()
            return leased.take().reservation is None

        with ThreadPoolExecutor(8) as pool:
            assert all(one.result(PATIENCE) for one in [pool.submit(take) for _ in range(8)])
        assert client.stats()["calls_AcquireUsageLease"] == 1
