"""The examples of the README are run, against the real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Server, tenant_id, until
from fastapi import FastAPI

from entitlement_client import ClientMisuseError, SyncEntitlementClient

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def subscribed(server: Server) -> None:
    server.subscribe(1, "finance")
    with SyncEntitlementClient(server.address) as client:
        until(lambda: client.check(tenant_id(1), "finance").allowed)


async def test_the_examples_do_what_they_say(server: Server) -> None:
    subscribed(server)
    namespace: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block.replace("127.0.0.1:50051", server.address), namespace)
    assert namespace["answer"].allowed
    app: FastAPI = namespace["app"]
    app.include_router(namespace["router"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://erp.test") as browser:
        assert (await browser.get("/invoices", headers={"X-Tenant-ID": tenant_id(1)})).json().endswith("tenant_t1")
        assert (await browser.get("/invoices")).status_code == 401
        assert (await browser.get("/health")).status_code == 404
    [middleware] = app.user_middleware
    await middleware.kwargs["client"].close()


def test_the_command_runs(server: Server) -> None:
    subscribed(server)
    [command] = [block for block in blocks("sh") if block.startswith("python -m")]
    words = command.replace("127.0.0.1:50051", server.address).replace("python", sys.executable, 1)
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "ALLOWED" in done.stdout


async def test_five_lines_move_a_service_and_the_decorator_stays(server: Server) -> None:
    """The lines that are added, around an endpoint with the old decorator's name."""
    subscribed(server)
    [diff] = blocks("diff")
    added = [line[1:] for line in diff.splitlines() if line.startswith("+")]
    assert len(added) == 5
    app = FastAPI()
    settings = type("Settings", (), {"ENTITLEMENTD": server.address})
    namespace: dict[str, Any] = {"app": app, "settings": settings, "PUBLIC_PATHS": ["/health"], "PUBLIC_PREFIXES": []}
    exec("\n".join(added), namespace)

    @app.get("/old")
    @namespace["require_module"]("hrms")
    async def old() -> str:
        return "as before"

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://erp.test") as browser,
    ):
        response = await browser.get("/old", headers={"X-Tenant-ID": tenant_id(1)})
        assert (response.status_code, response.headers["x-entitlement-would-deny"]) == (200, "NOT_SUBSCRIBED")
    with pytest.raises(ClientMisuseError, match="closed"):
        await namespace["client"].check(tenant_id(1), "finance")
