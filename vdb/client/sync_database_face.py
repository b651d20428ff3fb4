"""The part of the blocking face that is about SQL databases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from vdb.client.face_base import LINEARIZABLE
from vdb.client.sql_line import LOCK_TIMEOUT, SqlDatabase
from vdb.client.sql_session import RemoteSession
from vdb.client.sync_base import SyncBase
from vdb.client.sync_sql import SyncSession
from vdb.sql.moment import AnyMoment
from vdb.types import Consistency, DataClass, Position, Region


class SyncDatabaseFace(SyncBase):
    """SQL databases."""

    def create_database(
        self,
        name: str,
        data_class: DataClass | str = "phi",
        placement: Region | str | None = None,
        *,
        if_not_exists: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """Create a SQL database; True if it is new. See `AsyncFace.create_database`."""
        create = partial(self._face.create_database, name, data_class, placement)
        return self._run(partial(create, if_not_exists=if_not_exists, timeout=timeout))

    def list_databases(
        self, *, consistency: Consistency | str = LINEARIZABLE, timeout: float | None = None
    ) -> list[SqlDatabase]:
        """The tenant's SQL databases, group by group, in the order of their creation."""
        return self._run(partial(self._face.list_databases, consistency=consistency, timeout=timeout))

    def sql(
        self,
        database: str,
        *,
        actor: str = "",
        purpose: str = "",
        metadata: Mapping[str, str] | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
        idle_timeout: float = 0.0,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        as_of: AnyMoment | None = None,
        timeout: float | None = None,
    ) -> SyncSession:
        """A session of a SQL database, for `with`. See `AsyncFace.sql`."""

        async def make() -> RemoteSession:
            return self._face.sql(
                database,
                actor=actor,
                purpose=purpose,
                metadata=metadata,
                lock_timeout=lock_timeout,
                idle_timeout=idle_timeout,
                consistency=consistency,
                at_least=at_least,
                as_of=as_of,
                timeout=timeout,
            )

        return SyncSession(self._run(make), self._run)
