"""The real server, on a SQLite database of its own."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entitlement_client import SyncEntitlementClient

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("ENTITLEMENTD_BIN", str(ROOT / "target" / "debug" / "entitlementd"))
PATIENCE = 20.0
"""Seconds: longer than anything takes that is waited for."""


def tenant_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


class Server:
    """A process, its database, and its place."""

    def __init__(self, folder: Path) -> None:
        self._database = folder / "erp.db"
        self._process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Starts it where it was before."""
        arguments = ["--listen", self.address, "--database-url", f"sqlite:{self._database}?mode=rwc"]
        settings = ["--log-format", "json", "--poll-interval", "20ms", "--base-domain", "erp.example"]
        self._process = subprocess.Popen(
            [BINARY, "serve", *arguments, *settings], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if match := re.search(r'"address":"([^"]+)"', line):
                self.address = match[1]
            if '"ready"' in line:
                return
        pytest.fail("the server ended before it was ready")

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            assert self._process.stderr is not None
            self._process.stderr.close()

    def sql(self, sql: str) -> None:
        """What anybody does by hand."""
        connection = sqlite3.connect(self._database, timeout=PATIENCE)
        with connection:
            connection.executescript(f"BEGIN; {sql}; COMMIT")
        connection.close()

    def subscribe(self, number: int, module: str) -> None:
        """An active tenant with one subscription."""
        blob = f"x'{tenant_id(number).replace('-', '')}'"
        self.sql(f"""
            INSERT INTO tenants (id, name, subdomain, database_schema, status)
            VALUES ({blob}, 'Tenant {number}', 't{number}', 'tenant_t{number}', 'active');
            INSERT INTO tenant_subscriptions (tenant_id, module_id, status, starts_at)
            SELECT {blob}, id, 'active', '2026-01-01T00:00:00+00:00' FROM modules WHERE code = '{module}'
        """)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def until(such: Callable[[], bool]) -> None:
    """Asks until it is so: news travels by itself."""
    deadline = time.monotonic() + PATIENCE
    while not such():
        assert time.monotonic() < deadline, "it never was so"
        # Another process, and another thread of this one, must get a turn.
        time.sleep(0.002)


def until_held(client: SyncEntitlementClient, tenant: str, module: str) -> None:
    """Asks until there is a grant, and it is held: an answer that news overtook is not."""

    def is_held() -> bool:
        before = client.stats().get("hits", 0)
        return client.check(tenant, module).allowed and client.stats().get("hits", 0) > before

    until(is_held)
