"""The public methods of a client, asynchronous, over any `Gateway`. They run on trio and on asyncio.

A write returns when its events are durable. Errors are definite (nothing happened) or `IndefiniteError` (it may have
happened; inside one client it is never executed twice). `timeout` is seconds and bounds retries and waiting.

Reads are linearizable unless they say otherwise: they see all that was acknowledged before they began, to whomever.
`at_least=position` asks for what lies before a position, which any node answers once it has applied it: so one reads
one's own writes (`Published.position`). `consistency="stale"` takes what the node has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vdb.changes import Attribution
from vdb.client.follow import EventIterator
from vdb.client.gateway import Gateway
from vdb.client.sql_line import LOCK_TIMEOUT, SqlDatabase
from vdb.client.sql_session import RemoteSession
from vdb.client.values import (
    Event,
    EventRun,
    NodeStatus,
    Published,
    Rows,
    StreamAppend,
    StreamInfo,
    Where,
    check_appends,
    check_number,
    check_text,
)
from vdb.errors import InvalidArgument
from vdb.kernel.command import Expected
from vdb.limits import EVENTS_PER_APPEND_MAX, STREAM_NAME_BYTES_MAX
from vdb.sql.moment import AnyMoment, moment_text, parse_moment
from vdb.types import (
    GLOBAL_GROUP,
    U64_MAX,
    Consistency,
    DataClass,
    GroupId,
    Placement,
    Position,
    ReadLevel,
    Region,
    check_tenant_id,
)

LINEARIZABLE = Consistency.LINEARIZABLE
READ_EVENTS = 1000
"""Events asked for at a time."""

STREAMS_PER_PAGE = 1000


def data_class_of(value: DataClass | str) -> DataClass:
    """A data class from its label: 'phi', 'non-phi' or 'deidentified'."""
    if isinstance(value, DataClass):
        return value
    for data_class in DataClass:
        if data_class.label == value.lower():
            return data_class
    raise InvalidArgument(f"a data class is 'phi', 'non-phi' or 'deidentified'; found {value!r}")


def placement_of(data_class: DataClass, placement: Region | str) -> Placement:
    """Checked before anything is sent: PHI never leaves for the global group."""
    name = str(placement)
    return Placement(data_class, None if name == GLOBAL_GROUP else Region(name))


def _check_name(name: str) -> None:
    size = len(check_text(name, "a stream's name"))
    if not 1 <= size <= STREAM_NAME_BYTES_MAX:
        raise InvalidArgument(f"a stream's name has 1 to {STREAM_NAME_BYTES_MAX} bytes; found {size}")


def read_level(consistency: Consistency | str, at_least: Position | str | None) -> ReadLevel:
    """What the two options of a read say together."""
    try:
        found = Consistency(consistency)
    except ValueError:
        raise InvalidArgument(f"a read's consistency is 'linearizable' or 'stale'; found {consistency!r}") from None
    if at_least is None:
        return found
    if found is Consistency.STALE:
        raise InvalidArgument("a read is either stale or at least at a position; found both")
    if isinstance(at_least, Position):
        return at_least
    check_text(at_least, "a position")
    return Position.parse(at_least)


def _check_start(start: int) -> None:
    check_number(start, U64_MAX, "where to read from")


class AsyncFace:
    """What `vdb.connect` gives, and `aio` of an embedded database."""

    def __init__(self, gateway: Gateway, *, tenant: int = 1, timeout: float = 30.0) -> None:
        self._gateway = gateway
        self.tenant = check_tenant_id(tenant)
        self.timeout = timeout
        """Seconds that a call may take unless it says otherwise."""
        self._groups: dict[str, GroupId] = {}
        """The group of each stream seen. A stream never moves."""
        self._region: str | None = None
        """Where the node is, once it was asked. A node never moves."""

    async def create_stream(
        self,
        name: str,
        data_class: DataClass | str = "phi",
        placement: Region | str | None = None,
        *,
        if_not_exists: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """Create a stream; True if it is new.

        `placement` is a region's name or 'global' (never for PHI); None takes the region of the node.
        Raises StreamExists, unless `if_not_exists` (then an existing stream of the same class and place is fine).
        """
        _check_name(name)
        kind = data_class_of(data_class)
        if placement is None:
            placement = await self._region_of_node(timeout)
        place = placement_of(kind, placement)
        return await self._gateway.create_stream(
            self.tenant, name, kind, str(place), if_not_exists=if_not_exists, timeout=self._seconds(timeout)
        )

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
            attribution=Attribution(actor=actor, purpose=purpose, metadata=dict(metadata or {})),
            level=read_level(consistency, at_least),
            timeout=self._seconds(timeout),
            as_of="" if as_of is None else moment_text(parse_moment(as_of)),
        )

    async def publish(
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
        """Append one event or several to a stream, all or none.

        `expected` is a condition on the stream's next offset (an int: exactly that; WrongExpectedOffset otherwise).
        `subject` names whose data it is: its key seals the payloads, and destroying the key erases them.
        """
        run = EventRun(payloads=payloads, subject=subject, event_ids=tuple(event_ids), schema_id=schema_id)
        (published,) = await self.append([StreamAppend(stream=stream, runs=(run,), expected=expected)], timeout=timeout)
        return published

    async def append(self, appends: Sequence[StreamAppend], *, timeout: float | None = None) -> tuple[Published, ...]:
        """Append to several streams of one group, all or none. CrossGroup if they lie in two."""
        check_appends(appends)
        return await self._gateway.append(self.tenant, appends, timeout=self._seconds(timeout))

    async def read(
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
        events: list[Event] = []
        iterator = self.events(
            stream, from_offset, max_events=max_events, consistency=consistency, at_least=at_least, timeout=timeout
        )
        while batch := await iterator.next_batch():
            events += batch
        return events

    def events(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        max_events: int | None = None,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> EventIterator:
        """Iterate over a stream from an offset to where it ends at the time of the last read."""
        level = read_level(consistency, at_least)
        return self._iterate(stream, from_offset, max_events, follow=False, level=level, timeout=timeout)

    def follow(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> EventIterator:
        """Iterate over a stream from an offset through its history into what is appended from now on; never ends."""
        level = read_level(consistency, at_least)
        return self._iterate(stream, from_offset, None, follow=True, level=level, timeout=timeout)

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
    ) -> EventIterator:
        """Iterate over all events of the tenant in one group (a region's name or 'global'), in commit order."""
        _check_start(from_position)
        level = read_level(consistency, at_least)
        name = GroupId(str(group))
        seconds = self._seconds(timeout)

        async def fetch(start: int, maximum: int, wait: float) -> tuple[list[Event], int, int]:
            page = await self._gateway.read_log(
                self.tenant, name, start, max_events=maximum, wait=wait, level=level, timeout=seconds
            )
            return [event for run in page.runs for event in run.events(name)], page.next, page.head

        return EventIterator(fetch, from_position, max_events, follow=follow, per_fetch=READ_EVENTS)

    async def read_log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events of the tenant in one group, in commit order; fewer only at the log's end."""
        events: list[Event] = []
        iterator = self.log(
            group, from_position, max_events=max_events, consistency=consistency, at_least=at_least, timeout=timeout
        )
        while batch := await iterator.next_batch():
            events += batch
        return events

    async def event_ids(self, stream: str, from_offset: int = 0, *, timeout: float | None = None) -> list[bytes]:
        """The event ids of a stream from an offset to its end, without payloads. Events without an id are left out."""
        found: list[bytes] = []
        while True:
            ids, following = await self.read_event_ids(stream, from_offset, timeout=timeout)
            found += ids
            if following <= from_offset:
                return found
            from_offset = following

    async def read_event_ids(
        self, stream: str, from_offset: int, *, timeout: float | None = None
    ) -> tuple[list[bytes], int]:
        """Ids of the next events, and the offset to go on from: `from_offset` itself at the stream's end."""
        check_text(stream, "a stream's name")
        _check_start(from_offset)
        page = await self._gateway.read(
            self.tenant,
            stream,
            from_offset,
            max_events=EVENTS_PER_APPEND_MAX,
            wait=0.0,
            ids_only=True,
            level=LINEARIZABLE,
            timeout=self._seconds(timeout),
        )
        return [event_id for run in page.runs for event_id in run.event_ids], max(page.next, from_offset)

    async def list_streams(
        self, *, consistency: Consistency | str = LINEARIZABLE, timeout: float | None = None
    ) -> list[StreamInfo]:
        """All streams of the tenant, group by group, in the order of their creation."""
        level = read_level(consistency, None)
        streams: list[StreamInfo] = []
        more = True
        while more:
            after = streams[-1].name if streams else ""
            page, more = await self._gateway.list_streams(
                self.tenant, after, STREAMS_PER_PAGE, level=level, timeout=self._seconds(timeout)
            )
            streams += page
            more = more and bool(page)
        return streams

    async def get_stream(
        self,
        stream: str,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> StreamInfo:
        """One stream; UnknownStream if there is none of this name."""
        check_text(stream, "a stream's name")
        level = read_level(consistency, at_least)
        return await self._gateway.get_stream(self.tenant, stream, level=level, timeout=self._seconds(timeout))

    async def status(self, *, timeout: float | None = None) -> NodeStatus:
        """The node, its groups and its projections."""
        return await self._gateway.status(timeout=self._seconds(timeout))

    async def rows(
        self,
        projection: str,
        table: str,
        where: Where | None = None,
        order_by: Sequence[str] = (),
        limit: int = 100,
        *,
        timeout: float | None = None,
    ) -> Rows:
        """Rows of a projection's table that equal `where` in each of its columns. '-column' orders downwards."""
        return await self._gateway.rows(
            self.tenant,
            projection,
            table,
            where=where or {},
            order_by=order_by,
            limit=limit,
            timeout=self._seconds(timeout),
        )

    async def wait_for_projection(
        self, projection: str, position: Position | str, timeout: float | None = None
    ) -> bool:
        """Wait until a projection has applied all up to `position`; False if it hasn't after `timeout` seconds."""
        return await self._gateway.wait_for_projection(
            self.tenant, projection, str(position), timeout=self._seconds(timeout)
        )

    def _iterate(
        self,
        stream: str,
        from_offset: int,
        max_events: int | None,
        *,
        follow: bool,
        level: ReadLevel,
        timeout: float | None,
    ) -> EventIterator:
        check_text(stream, "a stream's name")
        _check_start(from_offset)
        seconds = self._seconds(timeout)

        async def fetch(start: int, maximum: int, wait: float) -> tuple[list[Event], int, int]:
            group = await self._group_of(stream, level, seconds)
            page = await self._gateway.read(
                self.tenant,
                stream,
                start,
                max_events=maximum,
                wait=wait,
                ids_only=False,
                level=level,
                timeout=seconds,
            )
            return [event for run in page.runs for event in run.events(group)], page.next, page.head

        return EventIterator(fetch, from_offset, max_events, follow=follow, per_fetch=READ_EVENTS)

    async def _group_of(self, stream: str, level: ReadLevel, timeout: float) -> GroupId:
        group = self._groups.get(stream)
        if group is None:
            group = (await self._gateway.get_stream(self.tenant, stream, level=level, timeout=timeout)).group
            self._groups[stream] = group
        return group

    async def _region_of_node(self, timeout: float | None) -> str:
        if self._region is None:
            self._region = (await self.status(timeout=timeout)).region
        return self._region

    def _seconds(self, timeout: float | None) -> float:
        seconds = self.timeout if timeout is None else timeout
        if seconds < 0:
            raise InvalidArgument(f"a timeout is 0 seconds or more; found {seconds}")
        return seconds
