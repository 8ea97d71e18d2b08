"""The applications that checks.py loads: the same routes with the middleware, and without."""

from __future__ import annotations

import os
from typing import Any

from fastapi import Depends, FastAPI

from entitlement_client import EntitlementClient
from entitlement_client.fastapi import TenantMiddleware, require_module

BODY = {"invoices": [{"number": number, "total": "1180.00"} for number in range(10)]}

client = EntitlementClient(os.environ["ENTITLEMENTD"])
app = FastAPI()
app.add_middleware(TenantMiddleware, client=client)
bare = FastAPI()
"""The same routes in the same order, so that finding one takes as long."""


@bare.get("/free")
@bare.get("/gated")
@bare.get("/depends")
async def ungated() -> dict[str, Any]:
    return BODY


@app.get("/free")
async def free() -> dict[str, Any]:
    return BODY


@app.get("/gated")
@require_module("finance")
async def gated() -> dict[str, Any]:
    return BODY


@app.get("/depends", dependencies=[Depends(require_module("finance"))])
async def depends() -> dict[str, Any]:
    return BODY
