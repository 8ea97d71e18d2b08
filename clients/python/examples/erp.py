"""A small ERP with three modules: finance, hrms and oms_fulfillment.

ENTITLEMENTD=127.0.0.1:50051 uvicorn erp:app --workers 2

curl -H "X-Tenant-ID: 00000000-0000-4000-8000-000000000001" http://127.0.0.1:8000/finance/invoices
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from entitlement_client import EntitlementClient, OnOutage, Tenant
from entitlement_client.fastapi import TenantMiddleware, current_tenant, require_any_module, require_module

# Each worker imports this file, and so has a client of its own. It connects when it is first asked.
client = EntitlementClient(
    os.environ.get("ENTITLEMENTD", "127.0.0.1:50051"), on_outage=OnOutage.serve_stale(timedelta(hours=1))
)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with client:
        yield


app = FastAPI(title="A small ERP", lifespan=lifespan)
app.add_middleware(TenantMiddleware, client=client, public_paths=["/health", "/docs", "/openapi.json"])
# Added last, so it stands outside: a page can read a refusal, and sign in again.
app.add_middleware(
    CORSMiddleware, allow_origins=["https://app.erp.example"], allow_headers=["Authorization", "X-Tenant-ID"]
)

# One line for a whole module ...
hrms = APIRouter(prefix="/hrms", dependencies=[Depends(require_module("hrms"))])


@hrms.get("/employees")
async def employees(tenant: Annotated[Tenant, Depends(current_tenant)]) -> dict[str, Any]:
    return {"tenant": tenant.subdomain, "employees": []}


app.include_router(hrms)


# ... or one for a route, as the ERP has always had it: whatever the endpoint's arguments are called.
@app.get("/finance/invoices")
@require_module("finance")
async def invoices(limit: int = 10) -> dict[str, Any]:
    return {"tenant": current_tenant().subdomain, "invoices": [], "limit": limit}


@app.get("/orders")
@require_module("oms_fulfillment")
def orders() -> dict[str, Any]:
    return {"tenant": current_tenant().subdomain, "orders": []}


@app.get("/reports", dependencies=[Depends(require_any_module("finance", "oms_fulfillment"))])
async def reports() -> list[str]:
    return ["balance", "orders"]


@app.get("/me/modules")
async def modules(tenant: Annotated[Tenant, Depends(current_tenant)]) -> list[str]:
    """What a menu shows."""
    return list((await client.enabled_modules(tenant.id)).codes)


@app.get("/health")
async def health() -> str:
    return "ok"
