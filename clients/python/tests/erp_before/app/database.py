"""Sessions: of the schema `public`, and of a tenant's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.core.config import settings

engine = create_async_engine(settings.DATABASE_URL, pool_pre_ping=True, connect_args={"prepare_threshold": None})


@asynccontextmanager
async def public_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
        await session.commit()


@asynccontextmanager
async def tenant_session(schema: str) -> AsyncIterator[AsyncSession]:
    async with engine.connect() as connection, AsyncSession(connection, expire_on_commit=False) as session:
        await session.execute(text(f'SET search_path TO "{schema}"'))
        yield session
        await session.commit()
