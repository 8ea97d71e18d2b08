"""The real server, on a database of its own."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from postgres import Cluster

from entitlement_client import SyncEntitlementClient

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("ENTITLEMENTD_BIN", str(ROOT / "target" / "debug" / "entitlementd"))
PATIENCE = 20.0
"""Seconds: longer than anything takes that is waited for."""


def tenant_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


class Sqlite:
    """A file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "erp.db"
        self.url = f"sqlite:{self._file}?mode=rwc"

    def sql(self, sql: str) -> None:
        connection = sqlite3.connect(self._file, timeout=PATIENCE)
        with connection:
            connection.executescript(f"BEGIN; {sql}; COMMIT")
        connection.close()

    @staticmethod
    def uuid(tenant: str) -> str:
        """A tenant's id, as this database has it."""
        return f"x'{tenant.replace('-', '')}'"


class Postgres:
    """A database of a cluster of our own."""

    def __init__(self, cluster: Cluster) -> None:
        name = f"erp_{uuid.uuid4().hex}"
        self._url = f"postgresql://postgres@127.0.0.1:{cluster.port}"
        self.url = f"{self._url}/postgres"
        self.sql(f"CREATE DATABASE {name}")
        self.url = f"{self._url}/{name}"
        subprocess.run([BINARY, "migrate", "--database-url", self.url], check=True, timeout=PATIENCE, capture_output=True)

    def sql(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit="CREATE DATABASE" in sql) as connection:
            connection.execute(sql)

    @staticmethod
    def uuid(tenant: str) -> str:
        return f"'{tenant}'"


class Server:
    """A process, its database, and its place."""

    def __init__(self, database: Sqlite | Postgres, *flags: str, listen: str = "127.0.0.1:0") -> None:
        self._database = database
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None
        self.address = listen
        self.start()

    @property
    def url(self) -> str:
        """Where its database is."""
        return self._database.url

    def start(self) -> None:
        """Starts it where it was before."""
        arguments = ["--listen", self.address, "--database-url", self._database.url]
        settings = ["--log-format", "json", "--poll-interval", "20ms", "--base-domain", "erp.example"]
        self._process = subprocess.Popen(
            [BINARY, "serve", *arguments, *settings, *self._flags],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
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

    def hang(self) -> None:
        """It is there, and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # A moment later, and until then it answers.
        os.waitpid(self._process.pid, os.WUNTRACED)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def sql(self, sql: str) -> None:
        """What anybody does by hand."""
        self._database.sql(sql)

    def subscribe(self, number: int, module: str) -> None:
        """An active tenant with one subscription."""
        tenant = self._database.uuid(tenant_id(number))
        self.sql(f"""
            INSERT INTO tenants (id, name, subdomain, database_schema, status)
            VALUES ({tenant}, 'Tenant {number}', 't{number}', 'tenant_t{number}', 'active');
            INSERT INTO tenant_subscriptions (tenant_id, module_id, status, starts_at)
            SELECT {tenant}, id, 'active', '2026-01-01T00:00:00+00:00' FROM modules WHERE code = '{module}'
        """)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(Sqlite(tmp_path))
    yield server
    server.kill()


@pytest.fixture
def lease_keys(tmp_path: Path) -> str:
    """A file with a key that signs leases."""
    file = str(tmp_path / "lease-keys.json")
    subprocess.run(
        [BINARY, "lease-key", "new", "--lease-key-file", file], check=True, timeout=PATIENCE, capture_output=True
    )
    return file


def published(lease_keys: str) -> bytes:
    """The set of public keys of such a file."""
    command = [BINARY, "lease-key", "jwks", "--lease-key-file", lease_keys]
    return subprocess.run(command, check=True, timeout=PATIENCE, capture_output=True).stdout


@pytest.fixture
def signing(tmp_path: Path, lease_keys: str) -> Iterator[Server]:
    """A server that signs leases."""
    server = Server(Sqlite(tmp_path), "--lease-key-file", lease_keys, "--lease-max", "2h")
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server on SQLite, and then one on PostgreSQL."""
    database = Sqlite(tmp_path) if request.param == "sqlite" else Postgres(request.getfixturevalue("cluster"))
    server = Server(database)
    yield server
    server.kill()


@contextmanager
def limited(request: pytest.FixtureRequest, tmp_path: Path, orders: int, users: int) -> Iterator[Server]:
    """A server that enforces limits, for a tenant that may have so many orders a month and users. The fixture that
    asks for it has "sqlite" and "postgres" as parameters."""
    database = Sqlite(tmp_path) if request.param == "sqlite" else Postgres(request.getfixturevalue("cluster"))
    server = Server(database, "--enforce-limits", "on")
    server.kill()
    server.subscribe(1, "finance")
    server.sql(f"""
        UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'starter');
        UPDATE plans SET max_users = {users}, max_transactions_monthly = {orders} WHERE slug = 'starter'
    """)
    server.start()
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
