"""The same methods as `AsyncFace`, for programs without an event loop. Thread-safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from vdb.client.face import LINEARIZABLE, READ_EVENTS, AsyncFace
from vdb.client.follow import EventIterator
from vdb.client.sql_line import LOCK_TIMEOUT, SqlDatabase
from vdb.client.sql_session import RemoteSession
from vdb.client.sync_sql import Run, SyncSession
from vdb.client.values import Event, NodeStatus, Published, Rows, StreamAppend, StreamInfo, Where
from vdb.kernel.command import Expected
from vdb.sql.moment import AnyMoment
from vdb.types import Consistency, DataClass, GroupId, Position, Region

T = TypeVar("T")


class SyncEvents:
    """Iterator over events; see `EventIterator`."""

    def __init__(self, events: EventIterator, run: Run) -> None:
        self._events = events
        self._run = run

    @property
    def next(self) -> int:
        """Where the next batch starts."""
        return self._events.next

    def next_batch(self) -> list[Event]:
        return self._run(self._events.next_batch)

    def __iter__(self) -> SyncEvents:
        return self

    def __next__(self) -> Event:
        try:
            return self._run(self._next)
        except _End:
            raise StopIteration from None

    async def _next(self) -> Event:
        try:
            return await self._events.__anext__()
        except StopAsyncIteration:
            raise _End from None


class _End(Exception):
    """A StopAsyncIteration that may pass through a future."""


class SyncFace:
    """What `vdb.connect_sync` gives, and an embedded database itself."""

    def __init__(self, face: AsyncFace, run: Run) -> None:
        self._face = face
        self._run = run

    @property
    def tenant(self) -> int:
        return self._face.tenant

    def create_stream(
        self,
        name: str,
        data_class: DataClass | str = "phi",
        placement: Region | str | None = None,
        *,
        if_not_exists: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """Create a stream; True if it is new. See `AsyncFace.create_stream`."""
        return self._run(
            partial(self._face.create_stream, name, data_class, placement, if_not_exists=if_not_exists, timeout=timeout)
        )

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

    def publish(
        self,
        stream: str,
        payloads: bytes | Sequence[bytes],
        *,
        expected: Expected | int | None = None,
        subject: str = "",
        event_ids: Sequence[bytes] = (),
        schema_id: int = 0,
        timeout: float | None = None,
    ) -> Published:
        """Append one event or several to a stream, all or none. See `AsyncFace.publish`."""
        return self._run(
            partial(
                self._face.publish,
                stream,
                payloads,
                expected=expected,
                subject=subject,
                event_ids=event_ids,
                schema_id=schema_id,
                timeout=timeout,
            )
        )

    def append(self, appends: Sequence[StreamAppend], *, timeout: float | None = None) -> tuple[Published, ...]:
        """Append to several streams of one group, all or none."""
        return self._run(partial(self._face.append, appends, timeout=timeout))

    def read(
        self,
        stream: str,
        from_offset: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events from an offset on; fewer only at the stream's end."""
        return self._run(
            partial(
                self._face.read,
                stream,
                from_offset,
                max_events,
                consistency=consistency,
                at_least=at_least,
                timeout=timeout,
            )
        )

    def events(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        max_events: int | None = None,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncEvents:
        """Iterate over a stream from an offset to its end."""
        events = self._face.events(
            stream, from_offset, max_events=max_events, consistency=consistency, at_least=at_least, timeout=timeout
        )
        return SyncEvents(events, self._run)

    def follow(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncEvents:
        """Iterate over a stream through its history into what is appended from now on; blocks, never ends."""
        events = self._face.follow(stream, from_offset, consistency=consistency, at_least=at_least, timeout=timeout)
        return SyncEvents(events, self._run)

    def log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        *,
        max_events: int | None = None,
        follow: bool = False,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncEvents:
        """Iterate over all events of the tenant in one group, in commit order."""
        events = self._face.log(
            group,
            from_position,
            max_events=max_events,
            follow=follow,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )
        return SyncEvents(events, self._run)

    def read_log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events of the tenant in one group, in commit order."""
        return self._run(
            partial(
                self._face.read_log,
                group,
                from_position,
                max_events,
                consistency=consistency,
                at_least=at_least,
                timeout=timeout,
            )
        )

    def event_ids(self, stream: str, from_offset: int = 0, *, timeout: float | None = None) -> list[bytes]:
        """The event ids of a stream from an offset to its end."""
        return self._run(partial(self._face.event_ids, stream, from_offset, timeout=timeout))

    def list_streams(
        self, *, consistency: Consistency | str = LINEARIZABLE, timeout: float | None = None
    ) -> list[StreamInfo]:
        """All streams of the tenant, group by group, in the order of their creation."""
        return self._run(partial(self._face.list_streams, consistency=consistency, timeout=timeout))

    def get_stream(
        self,
        stream: str,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> StreamInfo:
        """One stream; UnknownStream if there is none of this name."""
        return self._run(
            partial(self._face.get_stream, stream, consistency=consistency, at_least=at_least, timeout=timeout)
        )

    def status(self, *, timeout: float | None = None) -> NodeStatus:
        """The node, its groups and its projections."""
        return self._run(partial(self._face.status, timeout=timeout))

    def rows(
        self,
        projection: str,
        table: str,
        where: Where | None = None,
        order_by: Sequence[str] = (),
        limit: int = 100,
        *,
        timeout: float | None = None,
    ) -> Rows:
        """Rows of a projection's table that equal `where`. See `AsyncFace.rows`."""
        return self._run(partial(self._face.rows, projection, table, where, order_by, limit, timeout=timeout))

    def wait_for_projection(self, projection: str, position: Position | str, timeout: float | None = None) -> bool:
        """Wait until a projection has applied everything up to `position`; False if it hasn't in time."""
        return self._run(partial(self._face.wait_for_projection, projection, position, timeout))
