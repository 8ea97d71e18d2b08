"""An application as its users run it: uvicorn, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from conftest import PATIENCE, until
from postgres import free_port


@contextmanager
def served(
    app: str, folder: Path, environment: dict[str, str], *, workers: int = 1, log: Path | None = None
) -> Iterator[httpx.Client]:
    """A browser for it. Each request is a connection of its own, so any worker may get it."""
    port = free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--workers", str(workers)]
    with (log or Path(os.devnull)).open("w") as lines:
        process = subprocess.Popen(
            [*uvicorn, "--log-level", "warning"],
            cwd=folder,
            env=os.environ | environment,
            stderr=lines if log else None,
        )
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Connection": "close"}) as browser:

            def answers() -> bool:
                assert process.poll() is None
                try:
                    return browser.get("/health").status_code == 200
                except httpx.TransportError:
                    return False

            try:
                until(answers)
                yield browser
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)
