"""The examples of the README are run, against the real server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import httpx
from conftest import Server, published, tenant_id, until
from fastapi import FastAPI
from openfeature import api
from readme import blocks

from entitlement_client import SyncEntitlementClient


def subscribed(server: Server) -> None:
    server.subscribe(1, "finance")
    with SyncEntitlementClient(server.address) as client:
        until(lambda: client.check(tenant_id(1), "finance").allowed)


async def test_the_examples_do_what_they_say(signing: Server, lease_keys: str) -> None:
    server = signing
    subscribed(server)
    namespace: dict[str, Any] = {"jwks": published(lease_keys)}
    for block in blocks("python"):
        exec(block.replace("127.0.0.1:50051", server.address), namespace)
    assert namespace["answer"].allowed
    app: FastAPI = namespace["app"]
    app.include_router(namespace["router"])
    app.include_router(namespace["metered"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://erp.test") as browser:
        assert (await browser.get("/invoices", headers={"X-Tenant-ID": tenant_id(1)})).json().endswith("tenant_t1")
        page = {"Origin": "https://app.erp.example"}
        refused = await browser.get("/invoices", headers=page)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, page["Origin"])
        assert (await browser.get("/health")).status_code == 404
        rates = await browser.get("/reports/rates", headers={"X-Tenant-ID": tenant_id(1)})
        assert (rates.status_code, rates.json()["reason"]) == (403, "NOT_FOUND")
        metered = await browser.get("/metered/orders", headers={"X-Tenant-ID": tenant_id(1)})
        assert (metered.status_code, namespace["counters"].waiting) == (200, 1)
    assert namespace["used"].total == 4
    assert namespace["details"].value is False
    assert namespace["details"].flag_metadata["entitlement.reason"] == "NOT_FOUND"
    assert namespace["seat"].allowed
    assert namespace["finance"].allowed
    assert namespace["kept"] >= namespace["issued"].issued_at
    api.shutdown()
    namespace["asked"].close()
    namespace["orders"].close()
    [tenants] = [added for added in app.user_middleware if "client" in added.kwargs]
    await tenants.kwargs["client"].close()


def test_the_command_runs(server: Server) -> None:
    subscribed(server)
    [command] = [block for block in blocks("sh") if block.startswith("python -m")]
    words = command.replace("127.0.0.1:50051", server.address).replace("python", sys.executable, 1)
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "ALLOWED" in done.stdout
