"""A service whose code does not say where the server is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE, Server, Sqlite, tenant_id, until

from entitlement_client import EntitlementClient, SyncEntitlementClient, _environment

ONE = tenant_id(1)


@pytest.fixture(autouse=True)
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an edge would listen. The variable is not set."""
    path = tmp_path / "edge.sock"
    monkeypatch.setattr(_environment, "SOCKET", str(path))
    monkeypatch.delenv("ENTITLEMENTD_ENDPOINT", raising=False)
    return path


@pytest.fixture
def edge(tmp_path: Path, socket: Path) -> Iterator[Server]:
    server = Server(Sqlite(tmp_path), listen=f"unix:{socket}")
    server.subscribe(1, "finance")
    yield server
    server.kill()


async def are_answered() -> None:
    with SyncEntitlementClient() as client:
        until(lambda: client.check(ONE, "finance").allowed)
    async with EntitlementClient() as client:
        assert (await client.check(ONE, "finance")).allowed


@pytest.mark.usefixtures("edge")
@pytest.mark.parametrize("variable", [None, "", "  "])
async def test_the_socket_is_asked_where_the_variable_says_nothing(
    variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("ENTITLEMENTD_ENDPOINT", variable)
    await are_answered()


async def test_the_variable_goes_before_the_socket(
    server: Server, socket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "another"
    folder.mkdir()
    elsewhere = Server(Sqlite(folder), listen=f"unix:{socket}")
    try:
        server.subscribe(1, "finance")
        monkeypatch.setenv("ENTITLEMENTD_ENDPOINT", f" unix:{tmp_path}/nobody.sock, {server.address},")
        await are_answered()
    finally:
        elsewhere.kill()


@pytest.mark.usefixtures("edge")
def test_what_the_code_names_goes_before_both(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTITLEMENTD_ENDPOINT", "127.0.0.1:1")
    server.subscribe(2, "finance")
    with SyncEntitlementClient(server.address) as client:
        until(lambda: client.check(tenant_id(2), "finance").allowed)
    with pytest.raises(ValueError, match="no endpoint: pass"):
        SyncEntitlementClient("")


def test_neither_is_an_error_that_names_both_and_says_what_to_do(socket: Path) -> None:
    def complaint() -> str:
        with pytest.raises(ValueError, match="nothing says where entitlementd is") as error:
            EntitlementClient()
        return str(error.value)

    assert "ENTITLEMENTD_ENDPOINT is not set" in complaint()
    assert f"there is no socket {socket}" in complaint()
    assert "set the variable to host:port or unix:/path" in complaint()
    socket.touch()
    assert f"{socket} is not a socket" in complaint()


def test_a_folder_that_may_not_be_looked_into_is_said(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket.touch()
    monkeypatch.setattr(_environment, "SOCKET", f"{socket}/edge.sock")
    with pytest.raises(ValueError, match="cannot be looked at: Not a directory"):
        SyncEntitlementClient()


@pytest.mark.parametrize(
    "variable", [",", "core", "https://core:50051", "unix:", "core:", ":50051", "core:port", "127.0.0.1:1,core:1/path"]
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTITLEMENTD_ENDPOINT", variable)
    with pytest.raises(ValueError, match=r"^ENTITLEMENTD_ENDPOINT cannot be used: "):
        SyncEntitlementClient()


def test_a_token_that_would_go_in_the_clear_names_the_variable_that_sends_it_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENTITLEMENTD_ENDPOINT", "core:50051")
    with pytest.raises(ValueError, match=r"^ENTITLEMENTD_ENDPOINT cannot be used: the token would cross the network"):
        SyncEntitlementClient(token="orders")
    with pytest.raises(ValueError, match=r"^the token would cross the network"):
        SyncEntitlementClient("core:50051", token="orders")
    with pytest.raises(ValueError, match=r"^keepalive has to be above 0"):
        SyncEntitlementClient(keepalive=0)


@pytest.mark.parametrize("endpoint", ["[::1]:50051", "unix:///run/e.sock", "unix:/run/e.sock", "core.erp.svc:50051"])
def test_addresses_are_taken_as_they_are_in_code(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTITLEMENTD_ENDPOINT", endpoint)
    assert _environment.endpoints() == ((endpoint,), "ENTITLEMENTD_ENDPOINT")


def test_the_command_asks_where_the_variable_says(edge: Server) -> None:
    command = [sys.executable, "-m", "entitlement_client", "check", "--tenant", ONE, "--module", "finance"]

    def ask(endpoint: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"ENTITLEMENTD_ENDPOINT": endpoint}
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)

    until(lambda: ask(edge.address).returncode == 0)
    assert ask(",").stderr.startswith("trouble: ENTITLEMENTD_ENDPOINT cannot be used: ")
