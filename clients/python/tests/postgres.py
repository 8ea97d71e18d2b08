"""A PostgreSQL cluster and a PgBouncer of our own. Both refuse to run as root: then another user runs them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30.0


def program(name: str) -> str:
    """Where one of their programs is. Debian keeps them off the PATH."""
    folders = [os.environ.get("PG_BIN", ""), *os.environ["PATH"].split(":"), "/usr/sbin"]
    folders += [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=":".join(folder for folder in folders if folder))
    return found or pytest.fail(f"no {name}: install the package postgresql or pgbouncer, or set PG_BIN")


def unprivileged() -> dict[str, Any]:
    """How to run them."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    return {"user": "postgres" if "postgres" in known else "nobody", "extra_groups": []}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Program:
    """One that runs in a folder of its own, until `stop`."""

    def __init__(self) -> None:
        # Its path is short: sockets are made in it.
        self.folder = Path(tempfile.mkdtemp(prefix="entitlement-pg", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if user := unprivileged().get("user"):
            shutil.chown(self.folder, user)

    def run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [program(name), *arguments], cwd=self.folder, capture_output=True, timeout=PATIENCE, **unprivileged()
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self, name: str, *arguments: str) -> None:
        log = (self.folder / "log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [program(name), *arguments], cwd=self.folder, stdout=log, stderr=log, **unprivileged()
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            log_text = (self.folder / "log").read_text()
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.01)

    def _answers(self) -> bool:
        ready = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-q"]
        return subprocess.run(ready, timeout=PATIENCE).returncode == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"


class Cluster(Program):
    def __init__(self) -> None:
        super().__init__()
        self.run("initdb", "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8", "-D", "data")
        settings = ["fsync=off", "full_page_writes=off", f"unix_socket_directories={self.folder}"]
        told = [part for setting in settings for part in ("-c", setting)]
        self.start("postgres", "-D", "data", "-h", "127.0.0.1", "-p", str(self.port), *told)


class Pooler(Program):
    """In transaction mode, with one connection to the cluster for everybody."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        (self.folder / "users").write_text('"postgres" ""\n')
        (self.folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={cluster.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = users\n"
            "pool_mode = transaction\ndefault_pool_size = 1\n"
        )
        self.start("pgbouncer", "ini")
