"""Requests whose tenant is held: they are answered at once, and never with what is another's or outdated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi_app import ONE, TWO, browser

from entitlement_client import EntitlementClient
from entitlement_client.fastapi import TenantMiddleware, current_tenant, require_feature, require_module
from entitlement_client.fastapi.gate import Gate
from entitlement_client.testing import InMemoryEntitlements

Pairs = list[tuple[str, Any]]
ID: Pairs = [("X-Tenant-ID", ONE)]
HOST: Pairs = [("Host", "acme.erp.example")]
TOKEN: Pairs = [("Authorization", "Bearer acme-token")]
BASIC = ("Authorization", "Basic eDp5")
ITS_WAYS = [ID, HOST, TOKEN, ID + HOST + TOKEN]
"""How a request says that it is the first tenant's."""


class Erp:
    """An application on the double, and its users."""

    def __init__(self, entitlements: InMemoryEntitlements, **settings: Any) -> None:
        self.client: EntitlementClient = entitlements.client()
        # What is asked for when a stream has just been opened is held for its `max_age` only.
        entitlements.advance(timedelta(seconds=5))
        until = entitlements.now + timedelta(minutes=15)
        entitlements.add_tenant(ONE, subdomain="acme", token="acme-token", token_until=until)
        entitlements.add_tenant(TWO, subdomain="other", token="other-token")
        entitlements.allow(ONE, "finance")
        self._entitlements = entitlements
        self.detours = 0
        """Requests whose headers were read with more care than most are."""
        resolve = self.client.resolve

        async def resolving(**carried: Any) -> Any:
            self.detours += 1
            return await resolve(**carried)

        self.client.resolve = resolving  # type: ignore[method-assign]
        self.app = FastAPI()
        self.app.add_middleware(TenantMiddleware, client=self.client, **settings)

        @self.app.get("/")
        async def whose() -> str:
            return current_tenant().subdomain

        @self.app.get("/finance")
        @require_module("finance")
        async def finance() -> str:
            return current_tenant().subdomain

    async def get(self, headers: Pairs, path: str = "/") -> tuple[int, str]:
        host = [] if any(name == "Host" for name, _ in headers) else [("Host", "erp.test")]
        async with browser(self.app) as client:
            response = await client.send(httpx.Request("GET", f"http://erp.test{path}", headers=host + headers))
        body = response.json()
        return response.status_code, body["reason"] if isinstance(body, dict) else body

    async def hold(self, headers: Pairs) -> None:
        assert await self.get(headers) == (200, "acme")

    async def is_asked(self, headers: Pairs, answer: tuple[int, str] = (200, "acme"), path: str = "/") -> bool:
        """Is the server, by a request with this answer?"""
        before = len(self._entitlements.calls)
        assert await self.get(headers, path) == answer
        return len(self._entitlements.calls) > before


@pytest.mark.parametrize("way", [*ITS_WAYS, [*ID, BASIC], [*ID, ("Cookie", "a=1"), ("Cookie", "b=2")]])
async def test_the_second_request_asks_nobody(entitlements: InMemoryEntitlements, way: Pairs) -> None:
    erp = Erp(entitlements)
    assert await erp.is_asked(way)
    assert not await erp.is_asked(way)
    assert await erp.is_asked(way, path="/finance")
    assert not await erp.is_asked(way, path="/finance")
    assert erp.detours == 1


async def test_a_host_that_is_longer_than_any_name_is_held_too(entitlements: InMemoryEntitlements) -> None:
    erp = Erp(entitlements)
    headers = [*ID, ("Host", "x" * 300)]
    assert await erp.is_asked(headers)
    assert not await erp.is_asked(headers)
    assert await erp.is_asked([*ID, ("Host", "x" * 301)])


async def test_the_word_bearer_may_be_written_in_any_case(entitlements: InMemoryEntitlements) -> None:
    erp = Erp(entitlements)
    for word in ("bearer", "BEARER"):
        # The double takes the word away only where it is written as usual.
        entitlements.add_tenant(TWO, token=f"{word} other-token")
        headers = [("Authorization", f"{word} other-token")]
        assert await erp.is_asked(headers, (200, "other"))
        assert not await erp.is_asked(headers, (200, "other"))
        await erp.hold(ID)
        assert await erp.get([*ID, ("Authorization", f"{word} forged")]) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize("held", [*ITS_WAYS, ID + HOST, HOST + TOKEN, ID + TOKEN])
@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ([("X-Tenant-ID", TWO)], (200, "other")),
        ([("Host", "other.erp.example")], (200, "other")),
        ([("Authorization", "Bearer other-token")], (200, "other")),
        ([("Authorization", "Bearer acme-toke")], (401, "TOKEN_INVALID")),
        ([("Authorization", "Bearer ")], (401, "TENANT_NOT_FOUND")),
        ([*ID, ("Authorization", "Bearer forged")], (401, "TOKEN_INVALID")),
        ([*HOST, ("Authorization", "Bearer forged")], (401, "TOKEN_INVALID")),
        ([*ID, ("Authorization", "Bearer other-token")], (403, "TENANT_CONFLICT")),
        ([*HOST, ("X-Tenant-ID", TWO)], (403, "TENANT_CONFLICT")),
        ([*TOKEN, ("Host", "other.erp.example")], (403, "TENANT_CONFLICT")),
        ([("X-Tenant-ID", ONE + "acme.erp.example"), ("Host", "")], (400, "INVALID_FIELD")),
        ([BASIC], (401, "TENANT_NOT_FOUND")),
        ([], (401, "TENANT_NOT_FOUND")),
    ],
)
async def test_what_is_held_of_one_request_answers_no_other(
    entitlements: InMemoryEntitlements, held: Pairs, headers: Pairs, answer: tuple[int, str]
) -> None:
    erp = Erp(entitlements)
    await erp.hold(held)
    assert await erp.get(headers) == answer


async def test_what_other_callers_hold_without_a_host_is_nothing_that_a_request_with_one_finds(
    entitlements: InMemoryEntitlements,
) -> None:
    erp = Erp(entitlements)
    await erp.client.resolve(tenant_id=ONE)
    await erp.client.resolve(bearer_token="Bearer acme-token")
    for headers in (ID, TOKEN):
        assert await erp.get([*headers, ("Host", "other.erp.example")]) == (403, "TENANT_CONFLICT")


@pytest.mark.parametrize("held", ITS_WAYS)
@pytest.mark.parametrize("value", [None, "", "something else"])
async def test_a_header_that_comes_twice_is_refused_although_the_tenant_is_held(
    entitlements: InMemoryEntitlements, held: Pairs, value: str | None
) -> None:
    erp = Erp(entitlements)
    await erp.hold(held)
    for name, its_own in held:
        again = (name, its_own if value is None else value)
        for headers in ([*held, again], [again, *held]):
            assert await erp.get(headers) == (400, "INVALID_FIELD")


async def test_a_header_that_is_no_ascii_is_refused_although_it_is_held_of_other_callers(
    entitlements: InMemoryEntitlements,
) -> None:
    erp = Erp(entitlements)
    host, token = "é.test", "Bearer é"
    entitlements.add_tenant(TWO, token="é")
    assert (await erp.client.resolve(tenant_id=ONE, host=host)).tenant.id == ONE
    assert (await erp.client.resolve(host="erp.test", bearer_token=token)).tenant.id == TWO
    assert erp.client.held_resolved(ONE, host, "")
    assert erp.client.held_resolved("", "erp.test", token)
    await erp.hold(ID)
    for encoding in ("utf-8", "latin-1"):
        assert await erp.get([*ID, ("Host", host.encode(encoding))]) == (400, "INVALID_FIELD")
        assert await erp.get([("Authorization", token.encode(encoding))]) == (400, "INVALID_FIELD")
        assert await erp.get([*ID, ("Authorization", token.encode(encoding))]) == (400, "INVALID_FIELD")
        assert await erp.get([*ID, ("Authorization", "Basic é".encode(encoding))]) == (400, "INVALID_FIELD")


@pytest.mark.parametrize("names", [str.upper, str.title])
@pytest.mark.parametrize("way", ITS_WAYS)
async def test_a_server_that_leaves_names_in_capitals_is_understood(
    entitlements: InMemoryEntitlements, way: Pairs, names: Any
) -> None:
    erp = Erp(entitlements)
    await erp.hold(way)
    seen: list[Any] = []

    async def send(message: Any) -> None:
        seen.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    headers = [(names(name).encode(), value.encode()) for name, value in way]
    for last, status in (([], 200), ([(b"X-TENANT-ID", TWO.encode())], 400 if way[0] == ID[0] else 403)):
        seen.clear()
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers + last}
        await erp.app(scope, receive, send)
        assert seen[0]["status"] == status


@pytest.mark.parametrize("way", ITS_WAYS)
async def test_a_change_is_seen_by_the_next_request(entitlements: InMemoryEntitlements, way: Pairs) -> None:
    erp = Erp(entitlements)
    await erp.hold(way)
    assert await erp.get(way, "/finance") == (200, "acme")
    entitlements.deny(ONE, "finance")
    for _ in range(2):
        assert await erp.get(way, "/finance") == (403, "NOT_SUBSCRIBED")
    assert not await erp.is_asked(way, (403, "NOT_SUBSCRIBED"), "/finance")
    entitlements.allow(ONE, "finance")
    assert await erp.get(way, "/finance") == (200, "acme")
    entitlements.add_tenant(ONE, status="SUSPENDED")
    assert await erp.get(way, "/finance") == (403, "TENANT_SUSPENDED")


@pytest.mark.parametrize("way", ITS_WAYS)
async def test_without_a_stream_it_is_held_for_its_max_age_only(entitlements: InMemoryEntitlements, way: Pairs) -> None:
    erp = Erp(entitlements)
    await erp.hold(way)
    entitlements.go_dark()
    entitlements.advance(timedelta(seconds=29))
    assert await erp.get(way) == (200, "acme")
    entitlements.advance(timedelta(seconds=2))
    assert (await erp.get(way))[0] == 503


@pytest.mark.parametrize("way", [TOKEN, ID + HOST + TOKEN])
async def test_a_token_is_good_until_it_expires_and_no_longer(entitlements: InMemoryEntitlements, way: Pairs) -> None:
    erp = Erp(entitlements)
    await erp.hold(way)
    entitlements.advance(timedelta(minutes=15) - timedelta(microseconds=1))
    assert not await erp.is_asked(way)
    entitlements.advance(timedelta(microseconds=1))
    assert await erp.is_asked(way, (401, "TOKEN_INVALID"))
    assert await erp.get(ID) == (200, "acme")


async def test_an_answer_that_ends_is_good_until_then_without_a_token_too(entitlements: InMemoryEntitlements) -> None:
    erp = Erp(entitlements)
    real, end = entitlements.answer, entitlements.now + timedelta(minutes=1)

    def answer(method: str, request: Any) -> Any:
        response = real(method, request)
        if method == "ResolveTenant":
            response.freshness.valid_until.FromDatetime(end)
        return response

    entitlements.answer = answer  # type: ignore[method-assign]
    await erp.hold(ID)
    entitlements.advance(timedelta(seconds=59))
    assert not await erp.is_asked(ID)
    entitlements.advance(timedelta(seconds=1))
    assert await erp.is_asked(ID)


async def test_where_tokens_are_not_looked_at_one_that_is_held_names_nobody(entitlements: InMemoryEntitlements) -> None:
    erp = Erp(entitlements, ignore_token_paths=["/finance"])
    await erp.hold(TOKEN)
    assert await erp.get(TOKEN, "/finance") == (401, "TENANT_NOT_FOUND")
    await erp.hold([("X-Tenant-ID", ONE), *TOKEN])
    assert await erp.get([("X-Tenant-ID", TWO), *TOKEN], "/finance") == (403, "NOT_SUBSCRIBED")


@pytest.mark.parametrize("settings", [{"bearer_token": False}, {"ignore_token_paths": ["/"]}])
async def test_where_tokens_are_not_looked_at_any_finds_the_tenant_that_is_held(
    entitlements: InMemoryEntitlements, settings: Any
) -> None:
    erp = Erp(entitlements, **settings)
    await erp.hold(ID)
    for tokens in (["Bearer forged"], ["Bearer other-token"], [b"Bearer \xff"], ["Bearer a", "Bearer b"]):
        assert not await erp.is_asked([*ID, *(("Authorization", token) for token in tokens)])


async def test_however_many_hosts_are_named_only_so_many_answers_are_held(entitlements: InMemoryEntitlements) -> None:
    erp = Erp(entitlements)
    small = entitlements.client(max_resolved=10)
    app = FastAPI()
    app.add_middleware(TenantMiddleware, client=small)
    app.get("/")(lambda: current_tenant().subdomain)
    erp.app = app
    for number in range(100):
        await erp.hold([*ID, ("Host", f"host-{number}")])
    assert small.stats()["resolved_held"] == 10


@pytest.mark.parametrize("gate", [require_module("finance"), require_feature("finance", "exports")])
async def test_in_shadow_mode_a_grant_that_is_held_is_told_from_what_the_old_decorator_says(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture, gate: Gate
) -> None:
    def refusing(endpoint: Any) -> Any:
        async def refuse() -> None:
            raise HTTPException(403)

        return refuse

    erp = Erp(entitlements, enforce=False)
    entitlements.set_feature(ONE, "finance", "exports")
    erp.app.get("/old")(gate.beside(refusing)(lambda: None))
    async with browser(erp.app, **{"X-Tenant-ID": ONE}) as client:
        for _ in range(3):
            assert (await client.get("/old")).status_code == 403
    assert [message.split(",")[0] for message in caplog.messages] == ["would allow: GET /old"] * 3
