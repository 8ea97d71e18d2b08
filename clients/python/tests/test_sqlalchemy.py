"""Sessions of two tenants on one connection, direct and through a PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from postgres import Cluster, Pooler
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from entitlement_client import Tenant
from entitlement_client.sqlalchemy import Sessions

SCHEMAS = ("tenant_acme", "tenant_Other-1")


@pytest.fixture(scope="module")
def pooler(cluster: Cluster) -> Iterator[Pooler]:
    pooler = Pooler(cluster)
    yield pooler
    pooler.stop()


@pytest.fixture(params=["direct", "pooled"])
async def engine(request: pytest.FixtureRequest, cluster: Cluster, pooler: Pooler) -> AsyncIterator[AsyncEngine]:
    """A pool of one connection, to a database in which every schema has a table that holds the schema's name."""
    url = (cluster if request.param == "direct" else pooler).url()
    # Behind a pooler no statement may stay prepared on one of its connections.
    engine = create_async_engine(url, pool_size=1, max_overflow=0, connect_args={"prepare_threshold": None})
    async with engine.begin() as connection:
        for schema in (*SCHEMAS, "public"):
            await connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{schema}".notes')
            await connection.exec_driver_sql(f'CREATE TABLE "{schema}".notes (note text)')
            await connection.exec_driver_sql(f"INSERT INTO \"{schema}\".notes VALUES ('{schema}')")
        await connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS public.only_public (note text)")
    yield engine
    await engine.dispose()


async def notes(session: AsyncSession) -> list[str]:
    return list(await session.scalars(text("SELECT note FROM notes ORDER BY note")))


async def search_path(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text("SHOW search_path")))


async def test_two_tenants_and_public_see_their_own_rows_on_one_connection(engine: AsyncEngine) -> None:
    sessions = Sessions(engine)

    async def work(schema: str) -> None:
        for _ in range(10):
            async with sessions.tenant_session(schema) as session:
                assert await notes(session) == [schema]
            async with sessions.public_session() as session:
                assert await notes(session) == ["public"]

    await asyncio.gather(*(work(schema) for schema in SCHEMAS * 2))


async def test_a_commit_within_the_block_does_not_lose_the_schema(engine: AsyncEngine) -> None:
    sessions = Sessions(engine)
    async with sessions.tenant_session("tenant_acme") as session:
        await session.execute(text("INSERT INTO notes VALUES ('z one')"))
        await session.commit()
        # Somebody else has the connection meanwhile.
        async with sessions.tenant_session("tenant_Other-1") as other:
            assert await notes(other) == ["tenant_Other-1"]
        await session.execute(text("INSERT INTO notes VALUES ('z two')"))
        async with session.begin_nested():
            assert await notes(session) == ["tenant_acme", "z one", "z two"]
    async with sessions.tenant_session("tenant_acme") as session:
        assert await notes(session) == ["tenant_acme", "z one", "z two"]


async def test_an_error_rolls_back_and_leaves_no_path_behind(engine: AsyncEngine) -> None:
    sessions = Sessions(engine)
    before = await search_path(engine)

    async def fail() -> None:
        async with sessions.tenant_session("tenant_acme") as session:
            await session.execute(text("INSERT INTO notes VALUES ('lost')"))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert await search_path(engine) == before
    async with sessions.tenant_session("tenant_acme") as session:
        assert await notes(session) == ["tenant_acme"]
    assert await search_path(engine) == before


async def test_a_tenants_session_does_not_see_public(engine: AsyncEngine) -> None:
    with pytest.raises(ProgrammingError, match="only_public"):
        async with Sessions(engine).tenant_session("tenant_acme") as session:
            await session.execute(text("SELECT * FROM only_public"))


async def test_it_takes_a_resolved_tenant(engine: AsyncEngine) -> None:
    tenant = Tenant("00000000-0000-4000-8000-000000000001", "Acme", "acme", "tenant_acme")
    async with Sessions(engine).tenant_session(tenant) as session:
        assert await notes(session) == ["tenant_acme"]


async def test_a_connection_that_commits_by_itself_is_refused(engine: AsyncEngine) -> None:
    sessions = Sessions(engine.execution_options(isolation_level="AUTOCOMMIT"))
    with pytest.raises(RuntimeError, match="commits by itself"):
        async with sessions.tenant_session("tenant_acme") as session:
            await notes(session)


@pytest.mark.parametrize(
    "schema",
    [
        "public",
        "pg_catalog",
        "tenant_",
        "acme",
        'tenant_a"; DROP SCHEMA public; --',
        "tenant_a, public",
        "tenant_a\n",
        "tenant_ä",
        "tenant_" + "x" * 57,
    ],
)
async def test_what_is_no_tenants_schema_is_refused_before_anything_is_sent(schema: str) -> None:
    engine = create_async_engine("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(ValueError, match="no tenant's schema"):
        async with Sessions(engine).tenant_session(schema):
            pass
