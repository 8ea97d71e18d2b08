"""What endpoints depend on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.security import decode_token
from app.database import public_session, tenant_session
from app.models import Tenant, User


async def get_db() -> AsyncIterator[AsyncSession]:
    async with public_session() as session:
        yield session


async def get_db_with_tenant(request: Request) -> AsyncIterator[AsyncSession]:
    schema = getattr(request.state, "schema", None)
    if schema is None:
        raise ValueError("Tenant schema not set by middleware")
    async with tenant_session(schema) as session:
        yield session


PublicDB = Annotated[AsyncSession, Depends(get_db)]
DB = Annotated[AsyncSession, Depends(get_db_with_tenant)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


async def get_current_user(bearer: Bearer, db: DB) -> User:
    """The user by the token, who has to be one of the tenant's: the token itself does not say whose."""
    claims = decode_token(bearer.credentials, "access") if bearer else None
    user = await db.get(User, UUID(claims["sub"])) if claims else None
    if user is None:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    return user


async def get_current_tenant(request: Request) -> Tenant:
    tenant: Tenant = request.state.tenant
    return tenant


CurrentUser = Annotated[User, Depends(get_current_user)]
CurrentTenant = Annotated[Tenant, Depends(get_current_tenant)]
