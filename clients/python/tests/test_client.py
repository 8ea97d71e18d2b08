"""Both clients against the real server."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import PATIENCE, Server, Sqlite, tenant_id, until, until_held

from entitlement_client import (
    ClientMisuseError,
    Clock,
    EntitlementClient,
    ModuleDeniedError,
    OnOutage,
    RequestRefusedError,
    SyncEntitlementClient,
)

ONE = tenant_id(1)


def test_a_grant_and_a_denial_come_with_the_servers_reason_and_sentence(either: Server) -> None:
    either.subscribe(1, "finance")
    with SyncEntitlementClient(either.address) as client:
        until(lambda: client.check(ONE, "finance").allowed)
        assert client.check(ONE, "finance").reason == "ENABLED"
        denied = client.check(ONE, "hrms")
        assert (denied.allowed, denied.reason) == (False, "NOT_SUBSCRIBED")
        sentence = "Module 'hrms' is not enabled for your account. Please upgrade your subscription."
        assert denied.message == sentence
        assert client.check(tenant_id(9), "hrms").reason == "TENANT_NOT_FOUND"
        assert client.check_any(ONE, ["hrms", "finance"]).allowed
        assert not client.check_all(ONE, ["hrms", "finance"]).allowed
        with pytest.raises(ModuleDeniedError):
            client.require(ONE, "hrms")
        with pytest.raises(RequestRefusedError):
            client.check("not an id", "hrms")
        assert [module.code for module in client.enabled_modules(ONE).modules] == ["finance"]
        assert client.resolve(host="t1.erp.example").tenant.id == ONE


def test_a_change_by_hand_flips_what_is_held(either: Server) -> None:
    either.subscribe(1, "finance")
    with SyncEntitlementClient(either.address) as client:
        until(lambda: client.check(ONE, "finance").allowed)
        either.sql("UPDATE tenant_subscriptions SET status = 'suspended'")
        until(lambda: client.check(ONE, "finance").reason == "SUBSCRIPTION_SUSPENDED")
        either.sql("UPDATE tenant_subscriptions SET status = 'active'")
        until(lambda: client.check(ONE, "finance").allowed)


async def test_the_async_client_hears_of_changes_too(either: Server) -> None:
    either.subscribe(1, "finance")
    async with EntitlementClient(either.address, on_outage=OnOutage.deny()) as client:

        async def until_allowed(wanted: bool) -> None:
            deadline = time.monotonic() + PATIENCE
            while (await client.check(ONE, "finance")).allowed != wanted:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)

        await until_allowed(True)
        either.sql("UPDATE tenant_subscriptions SET status = 'suspended'")
        await until_allowed(False)
        authorized = await client.authorize({"X-Tenant-ID": ONE}, ["hrms"])
        assert (authorized.resolved.tenant.id, authorized.answer.allowed) == (ONE, False)


def test_a_right_that_ends_while_it_is_held_ends(either: Server) -> None:
    either.subscribe(1, "finance")
    either.sql("UPDATE tenant_subscriptions SET expires_at = '2100-01-01T00:00:00+00:00'")
    now = [time.time_ns()]
    with SyncEntitlementClient(either.address, clock=Clock(wall=lambda: now[0])) as client:
        until_held(client, ONE, "finance")
        end = client.check(ONE, "finance").valid_until
        assert end is not None
        now[0] = int(end.timestamp()) * 1_000_000_000 - 1
        assert client.check(ONE, "finance").allowed
        either.kill()
        now[0] += 1
        answer = client.check(ONE, "finance")
        assert (answer.allowed, answer.by_outage_rule) == (False, True)


def test_in_an_outage_the_chosen_rule_answers(either: Server) -> None:
    either.subscribe(1, "finance")
    rules = [OnOutage.deny(), OnOutage.allow(), OnOutage.serve_stale(timedelta(hours=1))]
    later = [0]

    def mono() -> int:
        return time.monotonic_ns() + later[0]

    clients = [SyncEntitlementClient(either.address, on_outage=rule, clock=Clock(mono=mono)) for rule in rules]
    try:
        for client in clients:
            until_held(client, ONE, "finance")
        either.kill()
        later[0] = 60 * 1_000_000_000
        answers = [client.check(ONE, "finance") for client in clients]
        assert [answer.allowed for answer in answers] == [False, True, True]
        assert all(answer.by_outage_rule for answer in answers)
        unknown = [client.check(tenant_id(2), "finance").allowed for client in clients]
        assert unknown == [False, True, False]
    finally:
        for client in clients:
            client.close()


def test_changes_are_heard_of_again_after_the_server_was_killed_and_restarted(either: Server) -> None:
    either.subscribe(1, "finance")
    rule = OnOutage.serve_stale(timedelta(hours=1))
    with SyncEntitlementClient(either.address, on_outage=rule) as client:
        until_held(client, ONE, "finance")
        either.kill()
        assert client.check(ONE, "finance").allowed
        either.sql("UPDATE tenant_subscriptions SET status = 'suspended'")
        either.start()
        # What was asked for before the stream broke has a max_age of 30 s, and is in doubt after 4.
        until(lambda: client.check(ONE, "finance").reason == "SUBSCRIPTION_SUSPENDED")
        either.sql("UPDATE tenant_subscriptions SET status = 'active'")
        until(lambda: client.check(ONE, "finance").allowed)


def subscribe_before_the_start(server: Server) -> None:
    """So that no late news of it makes what is held worth less."""
    server.kill()
    server.subscribe(1, "finance")
    server.start()


def test_many_threads_that_want_one_cold_tenant_ask_once(either: Server) -> None:
    subscribe_before_the_start(either)
    with SyncEntitlementClient(either.address) as warm:
        until(lambda: warm.check(ONE, "finance").allowed)
    with SyncEntitlementClient(either.address) as client, ThreadPoolExecutor(16) as pool:
        # It begins to listen with its first question; what opens the stream makes what was asked before worth less.
        client.check(tenant_id(2), "finance")
        until(lambda: client.stats()["stream_open"] == 1)
        before = client.stats()["calls_ListEnabledModules"]
        answers = list(pool.map(lambda _: client.check(ONE, "finance"), range(1000)))
        assert all(answer.allowed for answer in answers)
        assert client.stats()["calls_ListEnabledModules"] - before == 1


async def test_a_thousand_tasks_that_want_one_cold_tenant_ask_once(either: Server) -> None:
    subscribe_before_the_start(either)
    async with EntitlementClient(either.address) as warm:
        while not (await warm.check(ONE, "finance")).allowed:
            await asyncio.sleep(0.002)
    async with EntitlementClient(either.address) as client:
        await client.check(tenant_id(2), "finance")
        while client.stats().get("stream_open") != 1:
            await asyncio.sleep(0.002)
        before = client.stats()["calls_ListEnabledModules"]
        answers = await asyncio.gather(*(client.check(ONE, "finance") for _ in range(1000)))
        assert all(answer.allowed for answer in answers)
        assert client.stats()["calls_ListEnabledModules"] - before == 1


def test_a_server_that_hangs_costs_the_deadline_once_and_then_nothing(server: Server) -> None:
    server.subscribe(1, "finance")
    with SyncEntitlementClient(server.address, on_outage=OnOutage.allow(), deadline=0.3) as client:
        until_held(client, ONE, "finance")
        server.hang()
        assert client.check(ONE, "finance").reason == "ENABLED", "what is held needs no server"
        answers = [client.check(tenant_id(number), "finance") for number in range(2, 200)]
        assert [answer for answer in answers if not (answer.allowed and answer.by_outage_rule)] == []
        # Each that was asked cost its deadline; all of them would have cost a minute.
        assert client.stats()["failed_calls"] < 20
        server.go_on()
        until(lambda: client.check(tenant_id(200), "finance").reason == "TENANT_NOT_FOUND")


def test_a_token_that_is_not_valid_is_refused_and_not_held_against_the_tenant(server: Server) -> None:
    server.subscribe(1, "finance")
    with SyncEntitlementClient(server.address) as client:
        until_held(client, ONE, "finance")
        with pytest.raises(RequestRefusedError) as wrong:
            client.resolve({"X-Tenant-ID": ONE, "Authorization": "Bearer x.y.z"})
        assert (wrong.value.code, wrong.value.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
        assert client.resolve({"X-Tenant-ID": ONE}).tenant.id == ONE


def test_a_client_that_was_used_says_so_after_a_fork_and_a_new_one_works(server: Server) -> None:
    server.subscribe(1, "finance")
    # In a process of its own: forking pytest would take its threads along.
    done = subprocess.run(
        [sys.executable, "-c", FORK, server.address, ONE], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "refused\nasked\n"), done.stderr


FORK = """
import os, sys
from entitlement_client import ClientMisuseError, SyncEntitlementClient
address, tenant = sys.argv[1:]
before, unused = SyncEntitlementClient(address), SyncEntitlementClient(address)
before.check(tenant, "finance")
child = os.fork()
if child == 0:
    try:
        before.check(tenant, "hrms")
    except ClientMisuseError as error:
        assert "forked" in str(error)
        print("refused", flush=True)
    assert not unused.check(tenant, "hrms").by_outage_rule
    print("asked", flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


async def test_another_event_loop_is_refused_with_words(server: Server) -> None:
    async with EntitlementClient(server.address) as client:
        await client.check(ONE, "finance")

        def elsewhere() -> None:
            with pytest.raises(ClientMisuseError, match="another event loop"):
                asyncio.run(client.check(ONE, "hrms"))

        await asyncio.to_thread(elsewhere)


async def test_a_socket_in_the_file_system_is_an_endpoint_too(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    server = Server(Sqlite(tmp_path), listen=f"unix:{path}")
    try:
        server.subscribe(1, "finance")
        with SyncEntitlementClient(f"unix:{path}") as client:
            until(lambda: client.check(ONE, "finance").allowed)
            until(lambda: client.stats()["stream_open"] == 1)
        async with EntitlementClient(f"unix:{path}") as client:
            assert (await client.check(ONE, "finance")).allowed
    finally:
        server.kill()


def test_a_client_that_was_closed_leaves_no_call_to_the_end_of_the_interpreter(either: Server) -> None:
    either.subscribe(1, "finance")

    def calls() -> int:
        return sum(type(it).__name__ == "_MultiThreadedRendezvous" for it in gc.get_objects())

    gc.collect()
    before = calls()
    gc.disable()
    try:
        with SyncEntitlementClient(either.address) as client:
            until_held(client, tenant_id(1), "finance")
            assert calls() > before
        assert calls() == before
    finally:
        gc.enable()
