"""An application that uses everything the library has for FastAPI, and a browser for it."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Body, Depends, FastAPI, Request, WebSocket

from entitlement_client import OnOutage, Tenant
from entitlement_client.fastapi import TenantMiddleware, current_tenant, require_any_module, require_module
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))


def make_app(entitlements: InMemoryEntitlements, on_outage: OnOutage | None = None, **settings: Any) -> FastAPI:
    app = make_routes()
    settings.setdefault("public_prefixes", ["/api/v1/admin"])
    app.add_middleware(TenantMiddleware, client=entitlements.client(on_outage), **settings)
    return app


def make_routes() -> FastAPI:
    """The application without the middleware."""
    app = FastAPI()
    router = APIRouter(prefix="/hrms", dependencies=[Depends(require_module("hrms"))])

    @app.get("/finance")
    @require_module("finance")
    async def finance(request: Request) -> dict[str, str]:
        return {"tenant": request.state.tenant_id, "schema": request.state.schema}

    @app.get("/employees")
    @require_module("hrms")
    async def employees() -> list[str]:
        return []

    @app.post("/body")
    @require_module("finance")
    async def body(request: Annotated[dict[str, int], Body()], tenant: int = 7) -> dict[str, Any]:
        return {"request": request, "tenant": tenant, "of": current_tenant().id}

    @app.get("/thread")
    @require_module("finance")
    def thread() -> dict[str, Any]:
        return {"is_main": threading.current_thread() is threading.main_thread(), "of": current_tenant().id}

    @app.get("/any", dependencies=[Depends(require_any_module("hrms", "finance"))])
    async def any_of(tenant: Annotated[Tenant, Depends(current_tenant)]) -> str:
        return tenant.subdomain

    @router.get("/people")
    async def people() -> list[str]:
        return []

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, _: Annotated[None, Depends(require_module("hrms"))]) -> None:
        await websocket.accept()

    @app.get("/api/v1/admin/tenants")
    async def admin() -> str:
        return "all"

    @app.get("/api/v1/admin/gated")
    @require_module("finance")
    async def gated() -> None: ...

    @app.get("/api/v1/adminfoo")
    async def adminfoo() -> None: ...

    @app.options("/finance")
    async def options() -> str:
        return "anything"

    app.include_router(router)
    return app


def browser(app: FastAPI, *, raises: bool = True, **headers: str) -> httpx.AsyncClient:
    """`raises`: what the application raises is raised here, too, even if it has been answered."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
    return httpx.AsyncClient(transport=transport, base_url="http://erp.test", headers=headers)
