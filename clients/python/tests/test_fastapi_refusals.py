"""Where a gate's refusal becomes a response, and who may have a say in it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi_app import ONE, browser, make_routes
from starlette.exceptions import HTTPException

from entitlement_client.fastapi import GateRefusedError, Problem, TenantMiddleware, current_tenant, require_module
from entitlement_client.testing import InMemoryEntitlements

HERS = {"X-Tenant-ID": ONE}
GATED = ["/employees", "/hrms/people"]
"""By the decorator, and by a dependency."""


def guarded(app: FastAPI, entitlements: InMemoryEntitlements, **settings: Any) -> FastAPI:
    entitlements.add_tenant(ONE)
    app.add_middleware(TenantMiddleware, client=entitlements.client(), **settings)
    return app


async def refusals(app: FastAPI, prefix: str = "") -> list[tuple[int, str, str]]:
    async with browser(app, **HERS) as client:
        responses = [await client.get(prefix + path) for path in GATED]
    return [(response.status_code, response.headers["content-type"], response.json()["reason"]) for response in responses]


PROBLEMS = [(403, "application/problem+json", "NOT_SUBSCRIBED")] * 2


async def test_in_a_mounted_application_a_gate_refuses_as_elsewhere(entitlements: InMemoryEntitlements) -> None:
    outer = FastAPI()
    outer.mount("/within", make_routes())
    assert await refusals(guarded(outer, entitlements), "/within") == PROBLEMS


async def test_middleware_that_catches_everything_does_not_make_a_refusal_a_fault(
    entitlements: InMemoryEntitlements,
) -> None:
    app = make_routes()

    @app.middleware("http")
    async def catch_all(request: Request, call_next: Any) -> Any:
        try:
            return await call_next(request)
        except Exception as error:  # noqa: BLE001
            return JSONResponse({"reason": repr(error)}, 500)

    assert await refusals(guarded(app, entitlements)) == PROBLEMS


async def answer_500(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"reason": repr(error)}, 500)


@pytest.mark.parametrize("kind", [Exception, HTTPException, 500])
async def test_handlers_of_all_errors_do_not_get_refusals(entitlements: InMemoryEntitlements, kind: Any) -> None:
    app = make_routes()
    app.add_exception_handler(kind, answer_500)
    assert await refusals(guarded(app, entitlements)) == PROBLEMS


@pytest.mark.parametrize("kind", [GateRefusedError, 403])
async def test_an_applications_own_handler_of_refusals_gets_them(entitlements: InMemoryEntitlements, kind: Any) -> None:
    async def teapot(request: Request, error: GateRefusedError) -> JSONResponse:
        return JSONResponse({"reason": error.problem.reason}, 418)

    app = make_routes()
    app.add_exception_handler(kind, teapot)
    assert await refusals(guarded(app, entitlements)) == [(418, "application/json", "NOT_SUBSCRIBED")] * 2


async def test_a_refusal_that_no_application_answers_reaches_the_middleware(entitlements: InMemoryEntitlements) -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await require_module("hrms")()

    entitlements.add_tenant(ONE)
    app = TenantMiddleware(bare, client=entitlements.client())
    async with browser(app, **HERS) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["reason"]) == (403, "NOT_SUBSCRIBED")


async def test_a_dependency_of_the_application_may_refuse_the_same_way(entitlements: InMemoryEntitlements) -> None:
    def closed() -> None:
        raise GateRefusedError(Problem(503, "We are closed today.", "CLOSED", retry_after=61.5))

    app = FastAPI(dependencies=[Depends(closed)])
    app.get("/")(lambda: "open")
    async with browser(guarded(app, entitlements), **HERS) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["reason"], response.headers["retry-after"]) == (503, "CLOSED", "62")


async def test_without_the_middleware_a_refusal_is_the_http_error_that_it_looks_like() -> None:
    app = make_routes()
    app.get("/current")(lambda: current_tenant().id)
    async with browser(app) as client:
        for path in [*GATED, "/current"]:
            response = await client.get(path)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
            assert response.json() == {"detail": "Tenant context not found. Please login."}


@pytest.mark.parametrize("prefix", ["", "/within"])
@pytest.mark.parametrize("path", ["/dependency", "/decorator"])
async def test_a_websocket_that_is_refused_is_closed(entitlements: InMemoryEntitlements, prefix: str, path: str) -> None:
    app = FastAPI()

    @app.websocket("/dependency", dependencies=[Depends(require_module("hrms"))])
    async def dependency(websocket: WebSocket) -> None:
        await websocket.accept()

    @app.websocket("/decorator")
    @require_module("hrms")
    async def decorator(websocket: WebSocket) -> None:
        await websocket.accept()

    outer = FastAPI()
    outer.mount("/within", app)
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": prefix + path, "headers": [(b"x-tenant-id", ONE.encode())]}
    scope |= {"query_string": b"", "subprotocols": []}
    both = guarded(outer if prefix else app, entitlements)
    await both(dict(scope), receive, send)
    [refused] = told
    assert (refused["type"], refused["code"], refused["reason"]) == ("websocket.close", 1008, "NOT_SUBSCRIBED")
    told.clear()
    entitlements.allow(ONE, "hrms")
    await both(dict(scope), receive, send)
    assert told[0]["type"] == "websocket.accept"


def test_a_refusal_can_be_read() -> None:
    error = GateRefusedError(Problem(403, "Not in your plan.", "NOT_SUBSCRIBED", ("starter",)))
    assert (str(error), error.status_code, error.detail) == ("Not in your plan.", 403, "Not in your plan.")
    assert error.problem.body()["plan_slugs"] == ("starter",)
