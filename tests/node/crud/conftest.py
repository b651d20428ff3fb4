"""Sessions on SQL databases of nodes on the real disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from vdb.node.crud.database import CrudDatabase
from vdb.node.node import Node
from vdb.sql.session import SqlSession

OpenSession = Callable[..., AbstractAsyncContextManager[SqlSession]]


@asynccontextmanager
async def _open(database: CrudDatabase, **options: Any) -> AsyncIterator[SqlSession]:
    session = await database.session(**options)
    try:
        yield session
    finally:
        await database.end(session)


@pytest.fixture
def opened() -> OpenSession:
    """`async with opened(database) as session`."""
    return _open


@pytest.fixture
def clinic() -> Callable[[Node], Any]:
    """`await clinic(node)`: the database of this name, made if it is new."""

    async def make(node: Node, name: str = "clinic") -> CrudDatabase:
        await node.service.databases.create(1, name, if_not_exists=True)
        return await node.service.databases.open(1, name)

    return make


@pytest.fixture
def query() -> Callable[..., Any]:
    """`await query(session, sql)`: all rows."""

    async def run(session: SqlSession, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        return (await session.execute(sql, parameters)).fetchall()

    return run
