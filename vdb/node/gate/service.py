"""The one gate: every call of every door (RPC, embedded, demo, simulator) passes here.

It checks arguments, finds the group, and turns the log's replies into answers or errors. What concerns writes is in
`vdb.node.gate.writes`, also in the form of callbacks; here they are awaited.

What a read says is there, is there for good; that something isn't there, or where a stream ends, only the group's
primary can say at once. So a linearizable read waits for the primary's proof that nothing newer was acknowledged, one
that names a position until that is applied here, and a stale one for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import trio

from vdb.errors import (
    DefiniteError,
    InvalidArgument,
    NotReady,
    PrimaryLost,
    UnknownStream,
    UnknownTenant,
    error_for_refusal,
)
from vdb.kernel.command import CLIENT_ID_SIZE, Origin
from vdb.kernel.reply import Refusal, SessionOpened, StreamCreated
from vdb.kernel.streamid import serial_of
from vdb.node.gate.answers import AppendResult, LogResult, ReadResult, StreamInfo
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.selecting import Selector
from vdb.node.gate.writes import Failure, Writes
from vdb.node.preparing.request import PlainAppend, PlainSession
from vdb.node.replication.group import Group
from vdb.selection import EventFilter, EventStart, Selected
from vdb.types import Consistency, DataClass, GroupId, Position, ReadLevel, Region, TenantId, check_tenant_id

T = TypeVar("T")
WAIT_US_MAX = 60_000_000
LIST_MAX = 1000
APPLY_SECONDS_MAX = 5.0
"""How long a read waits for the position that it names."""
LINEARIZABLE = Consistency.LINEARIZABLE


class Service:
    """The methods a client has, for one node. See `schemas/verity.capnp` for what each promises."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], region: Region, writes: Writes) -> None:
        self.readers = readers
        self.groups: dict[GroupId, Group] = {name: reader.group for name, reader in readers.items()}
        self.region = region
        self.writes = writes

    # Sessions --------------------------------------------------------------------------------------------------

    async def open_session(self, client: bytes, group: str = "", *, owner: bytes = b"") -> int:
        """A new session of this client in a group (empty: the node's region). It replaces the client's old one.

        `owner`: SHA-256 of the name of the principal whose it is. AccessDenied, where the old one is another's.
        """
        if len(client) != CLIENT_ID_SIZE:
            raise InvalidArgument(f"a client id has {CLIENT_ID_SIZE} bytes; found {len(client)}")
        reply = await self._group(group or self.region.name).execute(PlainSession(owner=owner), Origin(client, 0, 0))
        if isinstance(reply, Refusal):
            raise error_for_refusal(reply.code, reply.message)
        assert isinstance(reply, SessionOpened)
        return reply.session

    # Streams ---------------------------------------------------------------------------------------------------

    async def create_stream(
        self,
        origin: Origin,
        tenant: int,
        name: str,
        data_class: DataClass,
        placement: str,
        *,
        if_not_exists: bool = False,
    ) -> StreamCreated:
        """Create a stream. StreamExists, PlacementViolation, InvalidArgument, Overloaded."""
        return await answered(
            lambda on_answer: self.writes.create(origin, tenant, name, data_class, placement, if_not_exists, on_answer)
        )

    async def get_stream(
        self, tenant: int, name: str, *, group: str = "", level: ReadLevel = LINEARIZABLE
    ) -> StreamInfo:
        """UnknownTenant, UnknownStream; NotPrimary, NotReady. `group`: where to look; empty: in all of this node."""
        reader = await self._find(check_tenant_id(tenant), name, group, level)
        stream = reader.find(TenantId(tenant), name)
        if stream is None:
            raise UnknownStream(f"tenant {tenant} has no stream '{name}'")
        return StreamInfo(
            name=name,
            stream=stream.stream,
            data_class=stream.data_class,
            placement=reader.group.name,
            next_offset=stream.next_offset,
            created_at=stream.created_at,
        )

    async def list_streams(
        self,
        tenant: int,
        after: str = "",
        limit: int = LIST_MAX,
        *,
        group: str = "",
        level: ReadLevel = LINEARIZABLE,
    ) -> tuple[list[StreamInfo], bool]:
        """A tenant's streams, group by group in the order of creation, after the one named; and whether more follow."""
        checked = check_tenant_id(tenant)
        groups = self._groups(group)
        for one in groups:
            await self.reach(one, level)
        serial = 0
        if after:
            reader = self._locate(checked, after, groups)
            start = reader.find(checked, after)
            if start is None:
                raise UnknownStream(f"tenant {tenant} has no stream '{after}'")
            groups = groups[groups.index(reader.group) :]
            serial = serial_of(start.stream)
        found: list[StreamInfo] = []
        limit = max(1, min(limit, LIST_MAX))
        for one in groups:
            infos, more = await self.readers[one.name].list_streams(checked, serial, limit - len(found))
            found.extend(infos)
            serial = 0
            if more:
                return found, True
        if not found and not after and not any(self.readers[one.name].has_tenant(checked) for one in groups):
            raise UnknownTenant(f"tenant {tenant} has no stream on this node")
        return found, False

    async def _find(self, tenant: TenantId, name: str, group: str, level: ReadLevel) -> GroupReader:
        """The reader of the group that has this stream, as fresh as the read wants it."""
        groups = self._groups(group)
        if isinstance(level, Position):
            await self.reach(self._group(level.group), level)
            return self._locate(tenant, name, groups)
        try:
            reader = self._locate(tenant, name, groups)
        except (UnknownStream, UnknownTenant):
            for one in groups:
                await self.reach(one, level)
            return self._locate(tenant, name, groups)
        await self.reach(reader.group, level)
        return reader

    async def reach(self, group: Group, level: ReadLevel) -> None:
        """Wait until the group's state is as fresh as a read wants it. NotPrimary, NotReady."""
        if level is LINEARIZABLE:
            await group.confirm()
            return
        if not isinstance(level, Position) or level.group != group.name:
            return
        if not await group.wait_applied(level.number - 1, APPLY_SECONDS_MAX):
            raise NotReady(
                f"this node has applied group {group.name} up to position {group.state.next_position}: expected "
                f"{level.number} within {APPLY_SECONDS_MAX:g} s"
            )

    def _locate(self, tenant: TenantId, name: str, groups: Sequence[Group]) -> GroupReader:
        """The reader of the group that has this stream, its creation perhaps still in the pipeline."""
        for group in groups:
            reader = self.readers[group.name]
            if reader.has_prepared(tenant, name):
                return reader
        if not any(self.readers[group.name].has_tenant(tenant) for group in groups):
            raise UnknownTenant(f"tenant {tenant} has no stream on this node")
        raise UnknownStream(f"tenant {tenant} has no stream '{name}'")

    # Appends ---------------------------------------------------------------------------------------------------

    async def append(self, origin: Origin, tenant: int, appends: Sequence[PlainAppend]) -> AppendResult:
        """All appends or none, in one group. CrossGroup, WrongExpectedOffset, UnknownStream, TooLarge, Overloaded."""
        return await answered(lambda on_answer: self.writes.append(origin, tenant, appends, on_answer))

    # Reads -----------------------------------------------------------------------------------------------------

    async def read(
        self,
        tenant: int,
        stream: str,
        from_offset: int,
        *,
        max_events: int,
        wait_us: int = 0,
        ids_only: bool = False,
        level: ReadLevel = LINEARIZABLE,
    ) -> ReadResult:
        """Events of one stream in order. With `wait_us` an empty answer waits that long for the next event."""
        checked = check_tenant_id(tenant)
        reader = await self._find(checked, stream, "", level)
        group = reader.group
        with trio.move_on_after(min(wait_us, WAIT_US_MAX) / 1e6):
            while True:
                appended = group.signals.next(checked)
                state = reader.find(checked, stream)
                if state is not None and (state.next_offset > from_offset or not wait_us):
                    break
                if state is None and not wait_us:
                    raise UnknownStream(f"tenant {tenant} has no stream '{stream}'")
                await appended.wait()
        state = reader.find(checked, stream)
        if state is None:
            raise UnknownStream(f"tenant {tenant} has no stream '{stream}'")
        runs = await reader.read_stream(checked, state, stream, from_offset, max_events, ids_only=ids_only)
        next_offset = runs[-1].first_offset + runs[-1].count if runs else from_offset
        state = reader.find(checked, stream)
        assert state is not None, "a stream never goes away"
        return ReadResult(runs=tuple(runs), next_offset=next_offset, head=state.next_offset)

    async def read_log(
        self,
        tenant: int,
        group: str,
        from_position: int,
        *,
        max_events: int,
        wait_us: int = 0,
        level: ReadLevel = LINEARIZABLE,
    ) -> LogResult:
        """All events of a tenant in one group, in commit order."""
        checked = check_tenant_id(tenant)
        found = self._group(group or self.region.name)
        await self.reach(found, level)
        reader = self.readers[found.name]
        runs, position = await reader.read_log(checked, from_position, max_events)
        if not runs and wait_us:
            with trio.move_on_after(min(wait_us, WAIT_US_MAX) / 1e6):
                while not runs:
                    appended = found.signals.next(checked)
                    runs, position = await reader.read_log(checked, position, max_events)
                    if not runs:
                        await appended.wait()
        return LogResult(runs=tuple(runs), next_position=position, head=found.state.next_position)

    async def read_events(
        self,
        tenant: int,
        group: str,
        wanted: EventFilter,
        start: EventStart,
        *,
        backward: bool = False,
        max_events: int,
        wait_us: int = 0,
        level: ReadLevel = LINEARIZABLE,
    ) -> Selected:
        """A tenant's events in one group (empty: the node's region) that fit a filter; see `vdb.node.gate.selecting`.

        UnknownStream where the filter names one that isn't there. With `wait_us` a read forward that comes to the end
        with nothing waits that long for the next event.
        """
        checked = check_tenant_id(tenant)
        if wanted.stream:
            reader = await self._find(checked, wanted.stream, group, level)
        else:
            found = self._group(group or self.region.name)
            await self.reach(found, level)
            reader = self.readers[found.name]
        selector = Selector(reader, checked, wanted)
        places = selector.places()
        if places is None:
            raise UnknownStream(f"tenant {tenant} has no stream '{wanted.stream}'")
        at = await selector.resolve(places, start, backward=backward)
        if backward:
            return await selector.backward(places, at, max(1, max_events))
        selected = await selector.forward(places, at, max(1, max_events))
        if wait_us:
            with trio.move_on_after(min(wait_us, WAIT_US_MAX) / 1e6):
                while selected.ended and not selected.events:
                    appended = reader.group.signals.next(checked)
                    selected = await selector.forward(places, selected.next, max(1, max_events))
                    if selected.ended and not selected.events:
                        await appended.wait()
        return selected

    def _groups(self, name: str) -> list[Group]:
        """The one of this name; all, in their order, for an empty name."""
        return [self._group(name)] if name else list(self.groups.values())

    def group_of(self, name: str) -> Group:
        """The group of this name; the node's region for an empty one. InvalidArgument."""
        return self._group(name or self.region.name)

    def _group(self, name: str) -> Group:
        found = self.groups.get(GroupId(name))
        if found is None:
            raise InvalidArgument(f"this node has no group '{name}': expected one of {', '.join(self.groups)}")
        return found


async def answered(submit: Callable[[Callable[[T | Failure], None]], None]) -> T:
    """Wait for the one answer of a write, and raise it if it is an error."""
    answers: list[T | Failure] = []
    done = trio.Event()

    def on_answer(answer: T | Failure) -> None:
        answers.append(answer)
        done.set()

    submit(on_answer)
    await done.wait()
    if isinstance(answers[0], DefiniteError | PrimaryLost):
        raise answers[0]
    return answers[0]
