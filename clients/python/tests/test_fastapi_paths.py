"""Public paths, and those on which tokens are not looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi_app import ONE, TWO, browser

from entitlement_client.fastapi import TenantMiddleware, current_tenant
from entitlement_client.testing import InMemoryEntitlements

LOGIN = "/api/auth/login"
IGNORED = {"ignore_token_paths": [LOGIN], "ignore_token_prefixes": ["/api/session"]}
HERS = {"X-Tenant-ID": ONE}
SIGNED_IN = HERS | {"Authorization": "Bearer acme-token"}


def erp(entitlements: InMemoryEntitlements, **settings: Any) -> FastAPI:
    """An application whose login needs the tenant, as everything does in it."""
    app = FastAPI()
    entitlements.add_tenant(
        ONE, subdomain="acme", token="acme-token", token_until=entitlements.now + timedelta(minutes=15)
    )
    entitlements.add_tenant(TWO, subdomain="other")
    app.add_middleware(TenantMiddleware, client=entitlements.client(), **settings)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def anything(path: str) -> str:
        return current_tenant().subdomain

    return app


async def answered(client: httpx.AsyncClient, path: str, headers: Any) -> tuple[int, str]:
    response = await client.post(path, headers=headers)
    body = response.json()
    return response.status_code, body["reason"] if isinstance(body, dict) else body


@pytest.mark.parametrize("path", [LOGIN, "/api/session", "/api/session/refresh"])
async def test_an_expired_token_does_not_keep_anybody_from_signing_in(
    entitlements: InMemoryEntitlements, path: str
) -> None:
    async with browser(erp(entitlements, **IGNORED)) as client:
        assert await answered(client, "/invoices", SIGNED_IN) == (200, "acme")
        entitlements.advance(timedelta(minutes=16))
        assert await answered(client, "/invoices", SIGNED_IN) == (401, "TOKEN_INVALID")
        assert await answered(client, path, SIGNED_IN) == (200, "acme")
        assert await answered(client, path, {"Host": "acme.erp.example", "Authorization": "Bearer x"}) == (200, "acme")


@pytest.mark.parametrize(
    "path", ["/api/auth/login2", "/api/auth", "/api/sessions", "/api/session/../invoices", "/invoices"]
)
async def test_tokens_are_looked_at_everywhere_else(entitlements: InMemoryEntitlements, path: str) -> None:
    async with browser(erp(entitlements, **IGNORED)) as client:
        request = client.build_request("POST", "/", headers=HERS | {"Authorization": "Bearer forged"})
        request.url = request.url.copy_with(raw_path=path.replace("..", "%2e%2e").encode())
        response = await client.send(request)
        assert (response.status_code, response.json()["reason"]) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"Authorization": "Bearer acme-token"}, (401, "TENANT_NOT_FOUND")),
        ({"X-Tenant-ID": TWO, "Authorization": "Bearer acme-token"}, (200, "other")),
        ([("X-Tenant-ID", ONE), ("Authorization", "Bearer a"), ("Authorization", "Bearer b")], (200, "acme")),
        ([("X-Tenant-ID", ONE), ("Authorization", b"Bearer \xff")], (200, "acme")),
        ({"X-Tenant-ID": TWO, "Host": "acme.erp.example"}, (403, "TENANT_CONFLICT")),
        ({"X-Tenant-ID": "acme", "Authorization": "Bearer acme-token"}, (400, "INVALID_FIELD")),
        ({"X-Tenant-ID": ONE.replace("1", "9")}, (401, "TENANT_NOT_FOUND")),
    ],
)
async def test_where_tokens_are_not_looked_at_nothing_in_them_counts(
    entitlements: InMemoryEntitlements, headers: Any, answer: tuple[int, str]
) -> None:
    async with browser(erp(entitlements, **IGNORED)) as client:
        assert await answered(client, LOGIN, headers) == answer
    async with browser(erp(entitlements, bearer_token=False)) as client:
        assert await answered(client, LOGIN, headers) == answer, "it is the same as where they never are"


async def test_in_shadow_mode_an_expired_token_is_no_reason_to_deny_a_login(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    forged = HERS | {"Authorization": "Bearer forged"}
    app = erp(entitlements, enforce=False, **IGNORED)
    async with browser(app) as client:
        login = await client.post(LOGIN, headers=forged)
        assert (login.json(), login.headers.get("x-entitlement-would-deny")) == ("acme", None)
        assert caplog.messages == []
        elsewhere = await client.post("/invoices", headers=forged)
        assert elsewhere.headers["x-entitlement-would-deny"] == "TOKEN_INVALID"


@pytest.mark.parametrize("setting", ["public", "ignore_token"])
@pytest.mark.parametrize(
    ("kind", "value"), [("paths", ["login"]), ("prefixes", ["/"]), ("prefixes", "/a"), ("paths", "/a")]
)
def test_what_is_no_list_of_paths_is_refused_where_it_is_written(
    entitlements: InMemoryEntitlements, setting: str, kind: str, value: Any
) -> None:
    with pytest.raises(ValueError, match="path"):
        TenantMiddleware(FastAPI(), client=entitlements.client(), **{f"{setting}_{kind}": value})
