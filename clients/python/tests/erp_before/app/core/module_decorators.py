"""May the tenant use the module? Asked of the database, and remembered by this process for five minutes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timezone
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from fastapi import HTTPException, Request
from sqlalchemy import or_, select

from app.database import public_session
from app.middleware.tenant import current_tenant_var
from app.models import Module, Tenant, TenantSubscription

P = ParamSpec("P")
R = TypeVar("R")
CACHE_SECONDS = 300
_cache: dict[str, tuple[bool, float]] = {}


def require_module(
    module_code: str,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
    def decorator(endpoint: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(endpoint)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            tenant = current_tenant_var.get() or _tenant_of_a_request(*args, *kwargs.values())
            if tenant is None:
                raise HTTPException(401, "Tenant context not found. Please login.")
            if not await _is_enabled(tenant.id, module_code):
                sentence = f"Module '{module_code}' is not enabled for your account. Please upgrade your subscription."
                raise HTTPException(403, sentence)
            return await endpoint(*args, **kwargs)

        return wrapper

    return decorator


def clear_tenant_cache(tenant_id: UUID) -> None:
    for key in [key for key in _cache if key.startswith(f"{tenant_id}:")]:
        del _cache[key]


def _tenant_of_a_request(*arguments: object) -> Tenant | None:
    requests = (argument for argument in arguments if isinstance(argument, Request))
    return next((getattr(request.state, "tenant", None) for request in requests), None)


async def _is_enabled(tenant_id: UUID, module_code: str) -> bool:
    key = f"{tenant_id}:{module_code}"
    enabled, at = _cache.get(key, (False, 0.0))
    if not at or time.monotonic() - at > CACHE_SECONDS:
        enabled = await _ask(tenant_id, module_code)
        _cache[key] = (enabled, time.monotonic())
    return enabled


async def _ask(tenant_id: UUID, module_code: str) -> bool:
    expires_at = TenantSubscription.expires_at
    query = (
        select(TenantSubscription.id)
        .join(Module, Module.id == TenantSubscription.module_id)
        .where(Module.code == module_code, TenantSubscription.tenant_id == tenant_id)
        .where(TenantSubscription.status == "active")
        .where(or_(expires_at.is_(None), expires_at >= datetime.now(timezone.utc)))
        .limit(1)
    )
    async with public_session() as session:
        return await session.scalar(query) is not None
