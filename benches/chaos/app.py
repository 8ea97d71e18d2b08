"""What the chaos run asks of FastAPI: `uvicorn app:app --workers 4`, with ENTITLEMENTD naming the endpoints."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from entitlement_client import EntitlementClient, OnOutage
from entitlement_client.fastapi import TenantMiddleware, current_resolved
from fastapi import FastAPI, Response

client = EntitlementClient(os.environ["ENTITLEMENTD"], on_outage=OnOutage.serve_stale(timedelta(hours=1)))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with client:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(TenantMiddleware, client=client, public_paths=["/health"])


@app.get("/ledger")
async def ledger() -> Response:
    """Like a gate, and says whether the grant is marked."""
    answer = await client.check(current_resolved().tenant.id, "finance")
    if not answer.allowed:
        return Response(status_code=503 if answer.by_outage_rule else 403)
    return Response("stale" if answer.stale else "fresh")


@app.get("/health")
async def health() -> str:
    return "ok"
