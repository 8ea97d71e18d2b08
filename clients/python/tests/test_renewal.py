"""A stream that ends, and one that takes over: nothing that is held is asked for again without need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from conftest import PATIENCE, Server, Sqlite, tenant_id, until

from entitlement_client import Clock, EntitlementClient, OnOutage, SyncEntitlementClient
from entitlement_client import _wire as wire
from entitlement_client._core.core import Core
from entitlement_client._core.held import TenantList
from entitlement_client._core.settings import Settings
from entitlement_client._streams import ON_ITS_WAY, Streams, Then
from entitlement_client.clock import NS
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = tenant_id(1), tenant_id(2)


class World:
    """A core, its streams, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NS
        self.core = Core(Settings(), OnOutage.deny(), Clock(lambda: NS, lambda: self.now), Future, str)
        self.streams = Streams(self.core)
        self.old, self.new = object(), object()
        self.streams.begin(self.old)
        self.tell(self.old, opened={})
        self.tell(self.old, heartbeat={})
        for tenant in (ONE, TWO):
            self.hold(tenant)
        # By max_age alone nothing is good any more.
        self.now += 20 * NS
        self.tell(self.old, heartbeat={})

    def hold(self, tenant: str, revision: int = 5) -> None:
        response = wire.pb.ListEnabledModulesResponse()
        response.modules.add(code="finance")
        response.freshness.revision = revision
        response.freshness.max_age.FromTimedelta(timedelta(seconds=10))
        record, flight, _, _ = self.core.board(tenant, "list", 0)
        held = wire.to_list(response, asked=self.now, answered=self.now, stream=self.core.stream)
        self.core.keep_list(tenant, record, flight, held, 0)
        self.core.land(tenant, flight)

    def tell(self, stream: object, **event: Any) -> Then:
        return self.streams.tell(stream, wire.pb.WatchChangesResponse(**event))

    def tell_the_end(self) -> None:
        """The old one will end, and the new one is open."""
        assert self.tell(self.old, ending={}) is Then.OPEN_ANOTHER
        assert self.streams.begin_next(self.new)
        self.tell(self.new, opened={})

    def change(self, stream: object, tenant: str, revision: int = 6) -> None:
        self.tell(stream, tenant_changed={"tenant_id": tenant, "revision": revision})

    def take_over(self) -> None:
        self.now += ON_ITS_WAY + 1
        assert self.tell(self.old, heartbeat={}) is Then.LET_GO
        self.streams.ended(self.old, None)

    @property
    def held(self) -> list[str]:
        return [tenant for tenant in (ONE, TWO) if self.core.held(tenant, "finance", NS, self.now)]


def test_once_the_old_stream_has_told_everything_the_new_one_takes_over_and_all_stays_good() -> None:
    world = World()
    world.tell_the_end()
    world.now += ON_ITS_WAY
    assert world.tell(world.old, heartbeat={}) is Then.READ_ON, "something may be on its way"
    world.now += NS
    lagging = {"lag": timedelta(seconds=1)}
    assert world.tell(world.old, heartbeat=lagging) is Then.READ_ON, "of the time since it has heard nothing"
    world.now += 1
    assert world.tell(world.old, heartbeat=lagging) is Then.LET_GO
    world.streams.ended(world.old, None)
    assert world.held == [ONE, TWO]
    world.change(world.new, TWO)
    assert world.held == [ONE]
    assert world.core.stats()["streams"] == 2
    # The new one's opening was its last sign of life.
    world.now += 28 * NS
    assert world.held == []


@pytest.mark.parametrize("teller", ["old", "new"])
def test_a_change_is_heard_from_either_stream(teller: str) -> None:
    world = World()
    world.tell_the_end()
    world.change(getattr(world, teller), ONE)
    assert world.held == [TWO]
    world.take_over()
    assert world.held == [TWO]


@pytest.mark.parametrize("teller", ["old", "new"])
def test_a_reset_is_heard_from_either_stream_and_makes_everything_outdated(teller: str) -> None:
    world = World()
    world.tell_the_end()
    world.tell(getattr(world, teller), reset={})
    assert world.held == []
    world.hold(ONE)
    world.take_over()
    world.now += 20 * NS
    assert world.held == [ONE]


def test_a_change_that_both_streams_tell_is_asked_for_once() -> None:
    world = World()
    world.tell_the_end()
    world.change(world.new, ONE)
    world.hold(ONE, revision=6)
    world.change(world.old, ONE)
    assert world.held == [ONE, TWO]
    world.change(world.old, ONE, revision=0)
    assert world.held == [TWO], "nobody knows at which revision it is"


def test_an_end_before_the_old_stream_has_told_everything_is_an_end() -> None:
    world = World()
    world.tell_the_end()
    world.streams.ended(world.old, None)
    assert world.held == []
    assert world.core.stats()["stream_open"] == 1
    world.hold(ONE)
    world.tell(world.new, heartbeat={})
    world.now += 20 * NS
    assert world.held == [ONE]


def test_without_another_stream_the_old_one_is_let_go_of_and_what_it_told_last_is_heard() -> None:
    world = World()
    world.tell(world.old, ending={})
    assert world.streams.begin_next(world.new)
    world.streams.ended(world.new, None)
    assert world.streams.begin_next(world.new), "it is tried again"
    assert world.tell(world.new, ending={}) is Then.LET_GO
    world.streams.ended(world.new, None)
    world.streams.give_up()
    assert world.tell(world.old, tenant_changed={"tenant_id": ONE, "revision": 6}) is Then.LET_GO
    assert world.held == [TWO]
    world.streams.ended(world.old, None)
    assert world.held == []
    assert world.core.stats()["stream_open"] == 0


def test_another_stream_that_opens_late_begins_anew() -> None:
    world = World()
    world.tell(world.old, ending={})
    assert world.streams.begin_next(world.new)
    world.streams.ended(world.old, None)
    assert world.core.stats()["stream_open"] == 0
    world.tell(world.new, opened={})
    assert world.held == []
    assert world.core.stats()["stream_open"] == 1
    assert not world.streams.begin_next(object()), "nothing is about to end"


# Against the real server.

TENANTS = 50


@pytest.fixture
def aging(tmp_path: Path) -> Iterator[Server]:
    """A server whose connections end after about four seconds, and whose answers are good for one without a stream."""
    server = Server(Sqlite(tmp_path), "--max-connection-age", "4s", "--max-age", "1s")
    server.kill()
    for number in range(1, TENANTS + 1):
        server.subscribe(number, "finance")
    server.start()
    yield server
    server.kill()


def suspend(server: Server, number: int) -> None:
    tenant = Sqlite.uuid(tenant_id(number))
    server.sql(f"UPDATE tenant_subscriptions SET status = 'suspended' WHERE tenant_id = {tenant}")


def ask_all(client: SyncEntitlementClient) -> list[bool]:
    return [client.check(tenant_id(number), "finance").allowed for number in range(1, TENANTS + 1)]


def test_when_a_connection_has_reached_its_age_nothing_is_asked_for_again_but_what_has_changed(aging: Server) -> None:
    with SyncEntitlementClient(aging.address) as client:
        client.check(ONE, "finance")
        # What is asked for before the first heartbeat, or soon after the stream has opened, would be good for a second.
        until(lambda: client.stats()["watching"] == 1 and is_settled(client))
        assert all(ask_all(client))
        before = client.stats()
        stop, wrong = Event(), []

        def load() -> None:
            while not stop.is_set():
                wrong.extend(answer for answer in (client.check(tenant_id(2), "finance"),) if not answer.allowed)
                time.sleep(0.001)

        caller = Thread(target=load)
        caller.start()
        for number in (3, 4):
            change_while_it_moves(client, aging, number)
            assert ask_all(client).count(True) == TENANTS - (number - 2)
        stop.set()
        caller.join(PATIENCE)
        asked = client.stats()["calls_ListEnabledModules"] - before["calls_ListEnabledModules"]
        # A change that both streams tell may be asked for twice.
        assert 2 <= asked <= 4, client.stats()
        assert not wrong
        assert client.stats().get("failed_calls", 0) == 0


def is_settled(client: SyncEntitlementClient | EntitlementClient) -> bool:
    return client._core.begin()[1] is client._core.stream


def change_while_it_moves(client: SyncEntitlementClient, server: Server, number: int) -> None:
    streams = client.stats()["streams"]
    until(lambda: len(client._watcher._calls) == 2)  # type: ignore[union-attr]
    suspend(server, number)
    until(lambda: client.check(tenant_id(number), "finance").reason == "SUBSCRIPTION_SUSPENDED")
    until(lambda: client.stats()["streams"] > streams)


async def until_so(such: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not such():
        assert time.monotonic() < deadline, "it never was so"
        await asyncio.sleep(0.002)


async def change_while_the_async_one_moves(client: EntitlementClient, server: Server, number: int) -> None:
    streams = client.stats()["streams"]
    await until_so(lambda: client._watcher._streams._opened is not None)  # type: ignore[union-attr]
    suspend(server, number)
    await until_so(lambda: client.held(tenant_id(number), "finance") is None)
    assert (await client.check(tenant_id(number), "finance")).reason == "SUBSCRIPTION_SUSPENDED"
    await until_so(lambda: client.stats()["streams"] > streams)


async def test_the_async_client_moves_to_another_connection_too(aging: Server) -> None:
    async with EntitlementClient(aging.address) as client:
        await client.check(ONE, "finance")
        await until_so(lambda: client.stats()["watching"] == 1 and is_settled(client))
        for number in range(1, TENANTS + 1):
            assert (await client.check(tenant_id(number), "finance")).allowed
        before = client.stats()
        for number in (3, 4):
            await change_while_the_async_one_moves(client, aging, number)
        held = [client.held(tenant_id(number), "finance") for number in range(5, TENANTS + 1)]
        assert all(held)
        assert client.stats()["calls_ListEnabledModules"] - before["calls_ListEnabledModules"] <= 4


# What news costs where much is held.


def test_a_reset_takes_no_longer_where_more_is_held() -> None:
    double = InMemoryEntitlements()
    with double.sync_client(OnOutage.serve_stale(timedelta(hours=1)), max_tenants=20_000) as client:
        core = client._core
        for number in range(20_000):
            double.allow(tenant_id(number), "finance")
            client.check(tenant_id(number), "finance")
        # Nothing that is held is touched: it is found to be outdated when it is next needed.
        records = list(core._tenants.values())
        core.reset()
        assert all(isinstance(record.list, TenantList) for record in records)
        assert core.held(ONE, "finance", core.clock.wall(), core.clock.mono()) is None
        double.go_dark()
        assert client.check(ONE, "finance").by_outage_rule, "the outage rule still looks at it"
        assert client.check(ONE, "finance").allowed


def test_room_is_made_without_looking_at_everybody() -> None:
    double = InMemoryEntitlements()
    with double.sync_client(max_tenants=1_000) as client:
        for number in range(1_000):
            client.check(tenant_id(number), "finance")
        client.check(tenant_id(1_000), "finance")
        spared = [record for record in client._core._tenants.values() if not record.used]
        assert len(client._core._tenants) == 1_000
        assert 0 < len(spared) <= 16
