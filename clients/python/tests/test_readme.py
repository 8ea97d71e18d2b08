"""The examples of the README are run, against the real server."""

from __future__ import annotations

import logging
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
        page = {"Origin": "https://app.erp.example"}
        refused = await browser.get("/invoices", headers=page)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, page["Origin"])
        assert (await browser.get("/health")).status_code == 404
    [tenants] = [added for added in app.user_middleware if "client" in added.kwargs]
    await tenants.kwargs["client"].close()


def test_the_command_runs(server: Server) -> None:
    subscribed(server)
    [command] = [block for block in blocks("sh") if block.startswith("python -m")]
    words = command.replace("127.0.0.1:50051", server.address).replace("python", sys.executable, 1)
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "ALLOWED" in done.stdout


OLD = """
from contextlib import asynccontextmanager
from functools import wraps

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware


class TenantMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        tenant = request.headers.get("x-tenant-id")
        if request.url.path != "/health" and tenant is None:
            return JSONResponse({"detail": "Tenant context not found. Please login."}, 401)
        request.state.tenant_id, request.state.schema = tenant, "schema_of_the_old"
        return await call_next(request)


def require_module(module_code):
    def decorator(endpoint):
        @wraps(endpoint)
        async def guarded(*arguments, **named):
            if module_code in DENIED_BY_THE_OLD:
                raise HTTPException(403, "not in your plan")
            return await endpoint(*arguments, **named)
        return guarded
    return decorator


@asynccontextmanager
async def lifespan(app):
    yield


async def session(request: Request):
    return request.state.schema
"""

ROUTES = """
@app.get("/invoices/{number}")
@require_module("finance")
async def invoices(number: int, schema: str = Depends(session)):
    return [number, schema]


@app.get("/employees")
@require_module("hrms")
async def employees(schema: str = Depends(session)):
    return schema


@app.get("/health")
async def health():
    return "ok"
"""

REQUESTS = [
    ("/invoices/7", tenant_id(1)),
    ("/invoices/x", tenant_id(1)),
    ("/employees", tenant_id(1)),
    ("/employees", tenant_id(9)),
    ("/invoices/7", "no id"),
    ("/invoices/7", None),
    ("/health", None),
    ("/nowhere", tenant_id(1)),
]


def erp(server: Server, *, is_new: bool, denied: set[str]) -> dict[str, Any]:
    """An application as it was, or with what the README adds to it."""
    settings = type("Settings", (), {"ENTITLEMENTD": server.address})
    namespace: dict[str, Any] = {
        "settings": settings,
        "PUBLIC_PATHS": ["/health"],
        "PUBLIC_PREFIXES": [],
        "DENIED_BY_THE_OLD": denied,
    }
    made, decorator = (block.splitlines() for block in blocks("diff"))
    kept = " +" if is_new else " -"
    exec(OLD, namespace)
    if is_new:
        exec("\n".join(line[1:] for line in decorator), namespace)
    exec("\n".join(line[1:] for line in made if line[0] in kept), namespace)
    exec(ROUTES, namespace)
    return namespace


async def answers(namespace: dict[str, Any]) -> list[tuple[int, Any]]:
    app: FastAPI = namespace["app"]
    seen = []
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://erp.test") as browser,
    ):
        for path, tenant in REQUESTS:
            response = await browser.get(path, headers={"X-Tenant-ID": tenant} if tenant else {})
            seen.append((response.status_code, response.json()))
    return seen


async def test_in_shadow_every_request_is_answered_as_before_and_what_differs_is_logged(
    server: Server, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    subscribed(server)
    caplog.set_level(logging.WARNING, "entitlement_client")
    before = await answers(erp(server, is_new=False, denied={"finance"}))
    moved = erp(server, is_new=True, denied={"finance"})
    assert await answers(moved) == before
    lines = [line.partition(", tenant ")[0] + " ..." + line.partition("was answered")[2][:4] for line in caplog.messages]
    assert lines == [
        "would allow: GET /invoices/{number} ... 403",
        "would deny: GET /employees ... 200",
        "would deny: GET /employees ... 200",
    ]
    with pytest.raises(ClientMisuseError, match="closed"):
        await moved["client"].check(tenant_id(1), "finance")
    log = tmp_path / "erp.log"
    log.write_text("\n".join(f"2026-11-28 WARNING entitlement_client {line}" for line in caplog.messages))
    told = subprocess.run(
        [sys.executable, "-m", "entitlement_client", "shadow-report", str(log)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert told.returncode == 1, "there are differences"
    rows = [line.split() for line in told.stdout.splitlines()]
    assert ["GET", "/employees", "200", "403", "NOT_SUBSCRIBED", "1"] in rows
    assert ["GET", "/invoices/{number}", "403", "passes", "1"] in rows
