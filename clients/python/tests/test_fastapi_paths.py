"""Public paths, and those on which tokens are not looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi_app import ONE, TWO, browser, make_app

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


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [
        ("", "/api/v1/admin/tenants", 200),
        ("/erp", "/erp/api/v1/admin/tenants", 200),
        ("/erp", "/api/v1/admin/tenants", 200),
        ("/erp", "/erp/finance", 401),
        ("/erp", "/erpapi/v1/admin/tenants", 401),
        ("/api", "/api/v1/admin/tenants", 401),
    ],
)
async def test_public_paths_are_those_of_the_applications_routes(
    entitlements: InMemoryEntitlements, root: str, path: str, status: int
) -> None:
    app = make_app(entitlements)
    transport = httpx.ASGITransport(app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://erp") as client:
        assert ((await client.get(path)).status_code == 401) == (status == 401)


def nested(entitlements: InMemoryEntitlements, place: int, public: list[str]) -> FastAPI:
    """Applications at "/", "/a b" and "/a b/t/{number}", one of which has the middleware."""
    apps = [FastAPI(), FastAPI(), FastAPI()]
    apps[0].mount("/a b", apps[1])
    apps[1].mount("/t/{number}", apps[2])
    apps[2].get("/öffentlich")(lambda: "open")
    apps[2].get("/geheim")(lambda: "open")
    apps[place].add_middleware(
        TenantMiddleware, client=entitlements.client(), public_paths=public, public_prefixes=["/a b/t/8", "/t/8", "/x y"]
    )
    return apps[0]


@pytest.mark.parametrize("root", ["", "/erp"])
@pytest.mark.parametrize(
    ("place", "public"), [(0, "/a b/t/7/öffentlich"), (1, "/t/7/öffentlich"), (2, "/öffentlich"), (2, "/öffentlich/")]
)
async def test_in_a_mount_in_a_mount_paths_are_those_of_the_application_that_has_the_middleware(
    entitlements: InMemoryEntitlements, place: int, public: str, root: str
) -> None:
    app = nested(entitlements, place, [public])
    transport = httpx.ASGITransport(app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://erp{root}") as client:
        for path, status in [
            ("/a%20b/t/7/%C3%B6ffentlich", 200),
            ("/%61%20b/t%2F7/%C3%B6ffentlich", 200),
            ("/a%20b/t/7/%C3%B6ffentlich/", 307),
            ("/a%20b/t/7/geheim", 401),
            ("/a%20b/t/7/%2e%2e/%C3%B6ffentlich", 401),
            ("/a%20b/t/7/%C3%B6ffentlich%2F%2F", 401),
            ("/a%20b/t/7/%C3%B6ffentlich%00", 401),
        ]:
            assert (await client.get(path)).status_code == status, path


@pytest.mark.parametrize("place", [0, 1])
async def test_below_a_prefix_everything_is_public_in_a_mount_too(entitlements: InMemoryEntitlements, place: int) -> None:
    async with browser(nested(entitlements, place, [])) as client:
        for path, status in [("8/geheim", 200), ("8", 307), ("8/", 404), ("80/geheim", 401), ("8%2F..%2F7/geheim", 401)]:
            assert (await client.get(f"/a%20b/t/{path}")).status_code == status, path


@pytest.mark.parametrize("given", ["/health", "/health/"])
@pytest.mark.parametrize("path", ["/health", "/health/"])
@pytest.mark.parametrize("route", ["/health", "/health/"])
async def test_a_slash_at_the_end_makes_no_difference_so_redirects_can_be_followed(
    entitlements: InMemoryEntitlements, given: str, path: str, route: str
) -> None:
    app = FastAPI()
    app.get(route)(lambda: "ok")
    app.add_middleware(TenantMiddleware, client=entitlements.client(), public_paths=[given])
    async with browser(app) as client:
        assert (await client.get(path, follow_redirects=True)).json() == "ok"
        for other in ("/healthy", "/health//", "/health/x", "//health"):
            assert (await client.get(other)).status_code == 401, other


@pytest.mark.parametrize("path", ["/erp", "/erp/"])
async def test_the_root_is_the_root_with_and_without_its_slash(entitlements: InMemoryEntitlements, path: str) -> None:
    app = FastAPI()
    app.get("/")(lambda: "ok")
    app.add_middleware(TenantMiddleware, client=entitlements.client(), public_paths=["/"])
    transport = httpx.ASGITransport(app, root_path="/erp")
    async with httpx.AsyncClient(transport=transport, base_url="http://erp") as client:
        assert (await client.get(path)).status_code != 401
        assert (await client.get("/erp/x")).status_code == 401


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("path", ["/erp/health", "/health"])
@pytest.mark.parametrize("by_hand", [True, False])
async def test_the_application_itself_may_know_what_a_proxy_cuts_off(
    entitlements: InMemoryEntitlements, path: str, by_hand: bool
) -> None:
    app = FastAPI(root_path="/erp")
    app.get("/health")(lambda: "ok")
    client = entitlements.client()
    wrapped: Any = TenantMiddleware(app, client=client) if by_hand else app
    if not by_hand:
        app.add_middleware(TenantMiddleware, client=client)
    async with browser(wrapped) as page:
        assert (await page.get(path)).json() == "ok"
        assert (await page.get("/erp/healthy")).status_code == 401
