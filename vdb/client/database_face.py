"""The part of the face that is about SQL databases."""

from __future__ import annotations

from collections.abc import Mapping

from vdb.changes import Attribution
from vdb.client.face_base import LINEARIZABLE, FaceBase, data_class_of, placement_of, read_level
from vdb.client.sql_line import LOCK_TIMEOUT, SqlDatabase
from vdb.client.sql_session import RemoteSession
from vdb.client.values import check_text
from vdb.events.event_context import current_context
from vdb.sql.moment import AnyMoment, moment_text, parse_moment
from vdb.types import Consistency, DataClass, Position, Region


class DatabaseFace(FaceBase):
    """SQL databases."""

    async def create_database(
        self,
        name: str,
        data_class: DataClass | str = "phi",
        placement: Region | str | None = None,
        *,
        if_not_exists: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """Create a SQL database; True if it is new. Its name has a-z, 0-9, '-' and '_'."""
        check_text(name, "a database's name")
        kind = data_class_of(data_class)
        if placement is None:
            placement = await self._region_of_node(timeout)
        place = placement_of(kind, placement)
        return await self._gateway.create_database(
            self.tenant, name, kind, str(place), if_not_exists=if_not_exists, timeout=self._seconds(timeout)
        )

    async def list_databases(
        self, *, consistency: Consistency | str = LINEARIZABLE, timeout: float | None = None
    ) -> list[SqlDatabase]:
        """The tenant's SQL databases, group by group, in the order of their creation."""
        level = read_level(consistency, None)
        return await self._gateway.list_databases(self.tenant, level=level, timeout=self._seconds(timeout))

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
    ) -> RemoteSession:
        """A session of a SQL database, for `with`. Its first call opens it: UnknownDatabase if there is none.

        `actor`, `purpose` and `metadata` go with each transaction into the log. `lock_timeout`: seconds to wait while
        others write (DatabaseLocked). `idle_timeout`: seconds after which the node rolls back a transaction that
        nobody goes on with; 0: the node's own limit. `as_of`: read the database as it was, at an offset of its log, a
        position or a time (InvalidArgument if it never was so); then whatever writes is refused.
        """
        check_text(database, "a database's name")
        for text in (actor, purpose, *(metadata or {}), *(metadata or {}).values()):
            check_text(text, "on whose behalf a transaction is made")
        return RemoteSession(
            self._gateway.sql_source(self.tenant, database, lock_timeout=lock_timeout, idle_timeout=idle_timeout),
            name=database,
            attribution=Attribution(
                actor=actor or current_context().actor, purpose=purpose, metadata=dict(metadata or {})
            ),
            level=read_level(consistency, at_least),
            timeout=self._seconds(timeout),
            as_of="" if as_of is None else moment_text(parse_moment(as_of)),
        )
