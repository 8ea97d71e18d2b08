"""Sessions of SQLAlchemy (2.0, asyncio, PostgreSQL) that see the schema of one tenant, and nothing else.

    sessions = Sessions(engine)

    async with sessions.tenant_session(current_tenant()) as session:
        ...

The search path is set with SET LOCAL in each transaction, so it ends with the transaction: no connection goes back to a
pool, or a pooler in transaction mode, with the path of a tenant on it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from .answers import Tenant

PUBLIC = "public"
_SCHEMA = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_NAME = 63
"""Bytes. PostgreSQL cuts longer names off, and two tenants would share a schema."""


class Sessions:
    """Makes sessions on an engine, or with a sessionmaker's settings.

    `schema_prefix`: what the schema of each tenant begins with. A schema that does not is refused: `public`, or one of
    PostgreSQL's own, is no tenant's.
    """

    def __init__(self, bind: AsyncEngine | async_sessionmaker[AsyncSession], *, schema_prefix: str = "tenant_") -> None:
        if isinstance(bind, AsyncEngine):
            bind = async_sessionmaker(bind, expire_on_commit=False)
        self._make = bind
        self._prefix = schema_prefix

    @asynccontextmanager
    async def tenant_session(self, tenant: Tenant | str) -> AsyncIterator[AsyncSession]:
        """A session that sees the tenant's schema only. Takes a tenant, or its schema's name.

        Commits when the block ends, and rolls back when it raises. Committing within the block is fine: the next
        transaction sees the same schema. ValueError where the name is no tenant's schema; RuntimeError on a connection
        that commits by itself, where SET LOCAL would have no effect.
        """
        schema = tenant.database_schema if isinstance(tenant, Tenant) else tenant
        async with self._session(self._checked(schema)) as session:
            yield session

    @asynccontextmanager
    async def public_session(self) -> AsyncIterator[AsyncSession]:
        """The same for the schema `public`."""
        async with self._session(PUBLIC) as session:
            yield session

    def _checked(self, schema: str) -> str:
        is_tenants = schema.startswith(self._prefix) and len(schema) > len(self._prefix)
        if not is_tenants or not _SCHEMA.fullmatch(schema) or len(schema) > LONGEST_NAME:
            raise ValueError(f"no tenant's schema: {schema!r}")
        return schema

    @asynccontextmanager
    async def _session(self, schema: str) -> AsyncIterator[AsyncSession]:
        # What the name may be made of needs no escaping within quotes.
        statement = f'SET LOCAL search_path TO "{schema}"'

        def set_search_path(_session: Any, _transaction: Any, connection: Connection) -> None:
            if getattr(connection.connection.dbapi_connection, "autocommit", False):
                raise RuntimeError("SET LOCAL has no effect on a connection that commits by itself")
            connection.exec_driver_sql(statement)

        async with self._make() as session:
            event.listen(session.sync_session, "after_begin", set_search_path)
            async with _ended(session):
                yield session


@asynccontextmanager
async def _ended(session: AsyncSession) -> AsyncIterator[None]:
    """Commits, or rolls back. Not `session.begin()`: that ends with the first commit within the block."""
    try:
        yield
    except BaseException:
        await session.rollback()
        raise
    await session.commit()
