"""Whose request is it? The header says so, or else the host."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from uuid import UUID

from fastapi import HTTPException, Request, Response
from sqlalchemy import ColumnElement, select
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from app.database import public_session
from app.models import Tenant

logger = logging.getLogger(__name__)
current_tenant_var: ContextVar[Tenant | None] = ContextVar("current_tenant", default=None)

PUBLIC_PATHS = {"/", "/health", "/docs", "/openapi.json", "/redoc"}
PUBLIC_PREFIXES = ("/static", "/api/v1/onboarding", "/api/v1/admin", "/api/v1/storefront")
SERVED = ("active", "pending")
NO_SUBDOMAIN = {"www", "api", "admin", "localhost"}


class TenantMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        path = request.url.path
        if request.method == "OPTIONS" or path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES):
            return await call_next(request)
        tenant = await get_tenant_from_request(request)
        if tenant is None:
            raise HTTPException(404, "Tenant not found. Please check your subdomain or login credentials.")
        request.state.tenant = tenant
        request.state.tenant_id = str(tenant.id)
        request.state.schema = tenant.database_schema
        current_tenant_var.set(tenant)
        return await call_next(request)


async def get_tenant_from_request(request: Request) -> Tenant | None:
    if header := request.headers.get("x-tenant-id"):
        try:
            tenant = await _find(Tenant.id == UUID(header))
        except ValueError:
            logger.warning("Invalid X-Tenant-ID: %s", header)
        else:
            if tenant is not None:
                return tenant
    subdomain, dot, _ = request.headers.get("host", "").partition(".")
    if dot and subdomain not in NO_SUBDOMAIN:
        return await _find(Tenant.subdomain == subdomain)
    return None


async def _find(condition: ColumnElement[bool]) -> Tenant | None:
    async with public_session() as session:
        return await session.scalar(select(Tenant).where(condition, Tenant.status.in_(SERVED)))
