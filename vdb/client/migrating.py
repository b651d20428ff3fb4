"""Migrations of a SQL database far away: the node applies them, one call and one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from vdb.client.sql_session import RemoteSession
from vdb.sql.migrations import Applied, load_migrations, read_applied
from vdb.sql.names import MIGRATIONS_TABLE
from vdb.sql.results import Result

_NEWEST = f"SELECT name FROM main.{MIGRATIONS_TABLE} ORDER BY number DESC LIMIT 1"


async def migrate(session: RemoteSession, files: Mapping[str, str], *, timeout: float | None = None) -> list[str]:
    """Apply the migrations that the database hasn't yet; the names of those that this applied.

    `files`: texts by file names, NNNN_name.sql. `timeout` is for each one. MigrationError names the file that changed
    since it was applied, is missing, or fails: those before it stay.
    """
    load_migrations(files)  # what is wrong in itself is said here
    done: list[str] = []
    while (name := await session.migrate_next(files, timeout=timeout)) is not None:
        if not name:
            rows = await session.execute(_NEWEST, timeout=timeout)
            ((found,),) = await rows.fetchall()
            name = str(found)
        done.append(name)
    return done


async def applied_migrations(session: RemoteSession) -> list[Applied]:
    """The migrations that the database has, in order."""
    return await read_applied(_Buffering(session))


@frozen
class _Buffering:
    """Implements `vdb.sql.migrations.Executes`: all rows at once."""

    _session: RemoteSession

    async def execute(self, sql: str, parameters: Any = ()) -> Result:
        rows = await self._session.execute(sql, parameters)
        return Result(rows=await rows.fetchall())
