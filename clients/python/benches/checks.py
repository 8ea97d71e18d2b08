"""What a check costs a service that asks through this library: held, against asking the server; a gate in front of a
route of FastAPI, against the same route without one; how soon a change or a flag that psql commits is seen; and what it
costs to take from a lease and to add to a counter.

    clients/python/run-benches [held] [route] [change] [flag] [usage]

Debian: nghttp2-client (h2load), util-linux (taskset). Each part compares within one run: rounds alternate.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import grpc  # noqa: E402
import httpx  # noqa: E402
import psycopg  # noqa: E402
from conftest import PATIENCE, Postgres, Server, Sqlite, tenant_id, until  # noqa: E402
from postgres import Cluster, free_port  # noqa: E402

from entitlement_client import EntitlementClient, SyncEntitlementClient  # noqa: E402
from entitlement_client._proto.entitlement_service_pb2 import CheckModuleRequest  # noqa: E402
from entitlement_client._proto.entitlement_service_pb2_grpc import EntitlementServiceStub  # noqa: E402

T = TypeVar("T")
ROUNDS = 15
SETTLING = 4.0
"""Seconds: what is asked for so soon after a stream has opened is held for its `max_age` only."""
CHECKS = 100_000
CALLS = 2_000
HOT, MANY = 100, 10_000
REQUESTS = 6_000
CHANGES = 500
METER = "transactions_monthly"
SLICE = 10_000


def quartiles(values: list[float], unit: str = "") -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.2f}{unit} ({low:.2f} to {high:.2f})"


def held() -> None:
    """A check that is held, and one that is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Sqlite(Path(folder)))
        numbers = range(1, MANY + 1)
        rows = (f"(x'{tenant_id(n).replace('-', '')}', 'T{n}', 't{n}', 'tenant_t{n}')" for n in numbers)
        server.sql(
            f"""INSERT INTO tenants (id, name, subdomain, database_schema) VALUES {",".join(rows)};
            INSERT INTO tenant_subscriptions (id, tenant_id, module_id, starts_at)
            SELECT randomblob(16), t.id, m.id, '2026-01-01T00:00:00+00:00' FROM tenants t CROSS JOIN modules m;
            INSERT INTO entitlement_features (module_id, key, default_enabled)
            SELECT id, 'multi_currency', true FROM modules WHERE code = 'finance'"""
        )
        server.kill()
        server.start()
        tenants = [tenant_id(number) for number in numbers]
        try:
            measure_held(server, tenants)
        finally:
            server.kill()


def measure_held(server: Server, tenants: list[str]) -> None:
    stub = EntitlementServiceStub(grpc.insecure_channel(server.address))

    def ask(tenant: str) -> bool:
        return stub.CheckModule(CheckModuleRequest(tenant_id=tenant, module_code="finance")).allowed

    with SyncEntitlementClient(server.address) as client:
        client.check(tenants[0], "finance")
        until(lambda: client.stats().get("watching") == 1)
        time.sleep(SETTLING)
        assert all(client.check(tenant, "finance").allowed for tenant in tenants)
        assert client.stats()["tenants_held"] == MANY
        rounds = range(ROUNDS)
        for name, among in ((f"{HOT} hot", tenants[:HOT]), (f"{MANY} at random", tenants)):
            asked = random.Random(7).choices(among, k=CHECKS)
            mine, remote, ratios = [], [], []
            for _ in rounds:
                mine.append(each(asked, lambda tenant: client.check(tenant, "finance").allowed))
                remote.append(each(asked[:CALLS], ask))
                ratios.append(remote[-1] / mine[-1])
            print(f"sync, {name}: held {quartiles(mine)} us, asked {quartiles(remote)} us, ratio {quartiles(ratios)}")
        asked = random.Random(7).choices(tenants[:HOT], k=CHECKS)
        features = [
            each(asked, lambda tenant: client.feature(tenant, "finance", "multi_currency").enabled) for _ in rounds
        ]
        seats = [each(asked, lambda tenant: client.within_limit(tenant, "users", 4).allowed) for _ in rounds]
        print(f"sync, {HOT} hot: a feature {quartiles(features)} us, a limit {quartiles(seats)} us")
    asyncio.run(measure_held_async(server, tenants))


async def measure_held_async(server: Server, tenants: list[str]) -> None:
    async with EntitlementClient(server.address) as client:
        await client.check(tenants[0], "finance")
        while client.stats().get("watching") != 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLING)
        for tenant in tenants:
            await client.check(tenant, "finance")
        asked = random.Random(7).choices(tenants[:HOT], k=CHECKS)
        mine = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for tenant in asked:
                if not (await client.check(tenant, "finance")).allowed:
                    raise SystemExit("denied")
            mine.append((time.perf_counter() - began) / len(asked) * 1e6)
        print(f"async, {HOT} hot: held {quartiles(mine)} us")


def each(among: Sequence[T], check: Callable[[T], bool]) -> float:
    """Microseconds."""
    began = time.perf_counter()
    for one in among:
        if not check(one):
            raise SystemExit("denied")
    return (time.perf_counter() - began) / len(among) * 1e6


@contextmanager
def uvicorn(app: str, server: Server) -> Iterator[str]:
    """One worker on core 0."""
    port = free_port()
    command = ["taskset", "-c", "0", sys.executable, "-m", "uvicorn", f"routes:{app}", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "--no-access-log"],
        cwd=HERE,
        env=os.environ | {"ENTITLEMENTD": server.address},
    )

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/gated", headers={"X-Tenant-ID": tenant_id(1)}).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def load(url: str) -> float:
    """Microseconds a request, with eight connections on core 1."""
    command = [
        "taskset",
        "-c",
        "1",
        "h2load",
        "--h1",
        "-c",
        "8",
        "-n",
        str(REQUESTS),
        "-H",
        f"X-Tenant-ID: {tenant_id(1)}",
        url,
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    if f" {REQUESTS} succeeded" not in told or f"status codes: {REQUESTS} 2xx" not in told:
        raise SystemExit(told)
    return 1e6 / float(re.findall(r"([\d.]+) req/s", told)[0])


def route() -> None:
    """A route behind the middleware, with a gate and without; and the same without the middleware."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Sqlite(Path(folder)))
        server.subscribe(1, "finance")
        try:
            with uvicorn("app", server) as address, uvicorn("bare", server) as bare:
                taken: dict[str, list[float]] = {"bare": [], "free": [], "gated": [], "depends": []}
                for _ in range(ROUNDS):
                    taken["bare"].append(load(f"{bare}/gated"))
                    for name in ("free", "gated", "depends"):
                        taken[name].append(load(f"{address}/{name}"))
                for name, values in taken.items():
                    print(f"route, {name}: {quartiles(values)} us a request")
                for name, base in (("gated", "free"), ("depends", "free"), ("gated", "bare")):
                    ratios = [mine / other for mine, other in zip(taken[name], taken[base], strict=True)]
                    print(f"route, {name} over {base}: {quartiles(ratios)}")
        finally:
            server.kill()


def change() -> None:
    """From a commit to the flipped answer."""

    def write(is_on: bool) -> str:
        return f"UPDATE tenant_subscriptions SET status = '{'active' if is_on else 'suspended'}'"

    flips("change", write, lambda client: client.check(tenant_id(1), "finance").allowed)


def flag() -> None:
    """The same of a feature."""

    def write(is_on: bool) -> str:
        return f"UPDATE feature_flags SET is_enabled = {is_on}"

    flips("flag", write, lambda client: client.feature(tenant_id(1), "finance", "multi_currency").enabled)


def flips(name: str, write: Callable[[bool], str], is_on: Callable[[SyncEntitlementClient], bool]) -> None:
    cluster = Cluster()
    try:
        server = Server(Postgres(cluster))
        server.subscribe(1, "finance")
        server.sql(
            """INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled)
            SELECT id, 'finance', 'multi_currency', true FROM tenants"""
        )
        spans = []
        with SyncEntitlementClient(server.address) as client, psycopg.connect(server.url, autocommit=True) as psql:
            until(lambda: is_on(client) and client.stats().get("watching") == 1)
            for number in range(CHANGES):
                turned_on = number % 2 == 1
                psql.execute(write(turned_on))
                began = time.perf_counter()
                while is_on(client) != turned_on:
                    if time.perf_counter() - began > PATIENCE:
                        raise SystemExit(f"{name}: it never flipped: {client.stats()}")
                    time.sleep(0.0002)
                spans.append((time.perf_counter() - began) * 1e3)
        server.kill()
        cuts = statistics.quantiles(spans, n=100)
        print(f"{name} to flip, {CHANGES}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, longest {max(spans):.1f} ms")
    finally:
        cluster.stop()


def usage() -> None:
    """Takes and adds, in the process, against a reservation of the server's."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Sqlite(Path(folder)), "--enforce-limits", "on")
        server.subscribe(1, "finance")
        try:
            with SyncEntitlementClient(server.address) as client:
                measure_usage(client)
            asyncio.run(measure_usage_async(server))
        finally:
            server.kill()


def measure_usage(client: SyncEntitlementClient) -> None:
    counters, leased = client.counters(), client.leased(tenant_id(1), METER, size=SLICE)
    everything, tenant = range(CHECKS), tenant_id(1)
    takes, adds, reserves = [], [], []
    for turn in range(ROUNDS):
        takes.append(each(everything, lambda _: leased.take().granted))
        adds.append(each(everything, lambda _: counters.add(tenant, METER) is None))
        keys = [f"{turn}-{number}" for number in range(CALLS // 10)]
        reserves.append(each(keys, lambda key: client.reserve(tenant_id(1), METER, key).granted))
    print(f"sync: take {quartiles(takes)} us, add {quartiles(adds)} us, reserve {quartiles(reserves)} us")
    slices = client.stats()["calls_AcquireUsageLease"]
    print(f"sync: {slices} slices of {SLICE} for {ROUNDS * CHECKS} takes")


async def measure_usage_async(server: Server) -> None:
    async with EntitlementClient(server.address) as client:
        counters, leased = client.counters(), client.leased(tenant_id(1), METER, size=SLICE)
        takes, adds, tenant = [], [], tenant_id(1)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(CHECKS):
                if not (await leased.take()).granted:
                    raise SystemExit("refused")
            takes.append((time.perf_counter() - began) / CHECKS * 1e6)
            adds.append(each(range(CHECKS), lambda _: counters.add(tenant, METER) is None))
            await asyncio.sleep(0)
        print(f"async: take {quartiles(takes)} us, add {quartiles(adds)} us")


PARTS = {"held": held, "route": route, "change": change, "flag": flag, "usage": usage}

if __name__ == "__main__":
    print(json.dumps({"python": sys.version.split()[0], "cores": os.cpu_count()}))
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
