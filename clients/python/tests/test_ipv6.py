"""Endpoints are IPv6 addresses, too: "[::1]:50051"."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, Sqlite, tenant_id, until

from entitlement_client import EntitlementClient, OnOutage, RequestRefusedError, SyncEntitlementClient

TOKEN = "what-orders-knows"
CALLERS = f"""
[[caller]]
name = "orders"
services = ["entitlement"]
tokens_sha256 = ["{hashlib.sha256(TOKEN.encode()).hexdigest()}"]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One on this machine's IPv6 address, which answers only those whose token it knows."""
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    callers = tmp_path / "callers.toml"
    callers.write_text(CALLERS)
    server = Server(Sqlite(tmp_path), "--callers-file", str(callers), listen="[::1]:0")
    server.subscribe(1, "finance")
    yield server
    server.kill()


def test_a_thread_asks_there_and_its_token_is_sent_in_the_clear_to_this_machine(server: Server) -> None:
    assert server.address.startswith("[::1]:")
    with SyncEntitlementClient(server.address, token=TOKEN) as client:
        until(lambda: client.check(tenant_id(1), "finance").allowed)
        assert client.resolve(tenant_id=tenant_id(1)).tenant.subdomain == "t1"
        until(lambda: client.stats()["stream_open"] == 1)
    with SyncEntitlementClient(server.address, token="of nobody") as stranger, pytest.raises(RequestRefusedError):
        stranger.resolve(tenant_id=tenant_id(1))


async def test_a_task_asks_there_too(server: Server) -> None:
    async with EntitlementClient(server.address, on_outage=OnOutage.deny(), token=lambda: TOKEN) as client:
        assert (await client.resolve(tenant_id=tenant_id(1))).tenant.subdomain == "t1"
    async with EntitlementClient(server.address, on_outage=OnOutage.deny()) as stranger:
        with pytest.raises(RequestRefusedError):
            await stranger.resolve(tenant_id=tenant_id(1))


def test_another_machines_address_gets_no_token_in_the_clear() -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        SyncEntitlementClient("[2001:db8::1]:50051", token=TOKEN)
