"""The one gate: every call of every door (RPC, embedded, demo, simulator) passes here.

It checks arguments, finds the group, and turns the log's replies into answers or errors.

A request with a session uses up its number whatever its outcome, so a refusal of the gate is put into the log as
such (`PlainReject`). Overloaded and DiskFull alone don't use it up: the client sends the same request again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import trio

from vdb.errors import (
    CrossGroup,
    DefiniteError,
    InvalidArgument,
    Overloaded,
    PlacementViolation,
    RefusalCode,
    StorageError,
    TooLarge,
    UnknownStream,
    UnknownTenant,
    error_for_refusal,
)
from vdb.kernel.command import CLIENT_ID_SIZE, Origin
from vdb.kernel.reply import Appended, Refusal, Reply, SessionOpened, StreamCreated
from vdb.kernel.streamid import group_tag, serial_of
from vdb.limits import EVENT_ID_SIZE, EVENTS_PER_APPEND_MAX, STREAM_NAME_BYTES_MAX, SUBJECT_BYTES_MAX
from vdb.node.answers import AppendResult, LogResult, ReadResult, StreamInfo, StreamRange
from vdb.node.cutting import fit
from vdb.node.group import Group
from vdb.node.reader import GroupReader
from vdb.node.request import (
    PlainAppend,
    PlainBatch,
    PlainCreate,
    PlainReject,
    PlainRequest,
    PlainSession,
    PlainTransaction,
)
from vdb.types import (
    GLOBAL_GROUP,
    DataClass,
    GroupId,
    Placement,
    Region,
    TenantId,
    check_tenant_id,
    group_for_placement,
)

OnAppend = Callable[[AppendResult | DefiniteError], None]
WAIT_US_MAX = 60_000_000
LIST_MAX = 1000


class Service:
    """The methods a client has, for one node. See `schemas/verity.capnp` for what each promises."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], region: Region) -> None:
        self.readers = readers
        self.groups: dict[GroupId, Group] = {name: reader.group for name, reader in readers.items()}
        self.region = region

    # Sessions --------------------------------------------------------------------------------------------------

    async def open_session(self, client: bytes, group: str = "") -> int:
        """A new session of this client in a group (empty: the node's region). It replaces the client's old one."""
        if len(client) != CLIENT_ID_SIZE:
            raise InvalidArgument(f"a client id has {CLIENT_ID_SIZE} bytes; found {len(client)}")
        reply = await self._group(group or self.region.name).execute(PlainSession(), Origin(client, 0, 0))
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
        """Create a stream. StreamExists, PlacementViolation, InvalidArgument."""
        try:
            group = self._group_for(data_class, placement)
            request = self._checked_create(group, tenant, name, data_class, placement, if_not_exists)
        except DefiniteError as error:
            await self._reject(origin, error)
            raise
        reply = await group.execute(request, self._checked_origin(origin, group))
        if isinstance(reply, Refusal):
            raise error_for_refusal(reply.code, reply.message)
        assert isinstance(reply, StreamCreated)
        return reply

    def _checked_create(
        self,
        group: Group,
        tenant: int,
        name: str,
        data_class: DataClass,
        placement: str,
        if_not_exists: bool,
    ) -> PlainCreate:
        checked = check_tenant_id(tenant)
        _check_text("a stream's name", name, STREAM_NAME_BYTES_MAX)
        if not name:
            raise InvalidArgument("a stream's name can't be empty")
        for other in self.groups.values():
            if other is not group and self.readers[other.name].has_prepared(checked, name):
                raise error_for_refusal(
                    RefusalCode.STREAM_EXISTS, f"tenant {tenant} has a stream of this name in {other.name} already"
                )
        return PlainCreate(
            tenant=checked, name=name, data_class=data_class, region=placement, if_not_exists=if_not_exists
        )

    def _group_for(self, data_class: DataClass, placement: str) -> Group:
        """The group of a placement; PlacementViolation when this node may not hold it."""
        region = None if placement == GLOBAL_GROUP else Region(placement)
        name = group_for_placement(Placement(data_class, region))
        if name not in self.groups:
            raise PlacementViolation(
                f"this node holds {', '.join(self.groups)}: expected one of these as placement, found '{name}'"
            )
        return self.groups[name]

    async def get_stream(self, tenant: int, name: str) -> StreamInfo:
        """UnknownTenant, UnknownStream."""
        group, _ = self._locate(check_tenant_id(tenant), name)
        reader = self.readers[group.name]
        stream = reader.find(TenantId(tenant), name)
        if stream is None:
            raise UnknownStream(f"tenant {tenant} has no stream '{name}'")
        return StreamInfo(
            name=name,
            stream=stream.stream,
            data_class=stream.data_class,
            placement=group.name,
            next_offset=stream.next_offset,
            created_at=stream.created_at,
        )

    async def list_streams(self, tenant: int, after: str = "", limit: int = LIST_MAX) -> tuple[list[StreamInfo], bool]:
        """A tenant's streams, group by group in the order of creation, after the one named; and whether more follow."""
        checked = check_tenant_id(tenant)
        groups = list(self.groups.values())
        serial = 0
        if after:
            group, _ = self._locate(checked, after)
            start = self.readers[group.name].find(checked, after)
            if start is None:
                raise UnknownStream(f"tenant {tenant} has no stream '{after}'")
            groups = groups[groups.index(group) :]
            serial = serial_of(start.stream)
        found: list[StreamInfo] = []
        limit = max(1, min(limit, LIST_MAX))
        for group in groups:
            infos, more = await self.readers[group.name].list_streams(checked, serial, limit - len(found))
            found.extend(infos)
            serial = 0
            if more:
                return found, True
        if not found and not after and not any(reader.has_tenant(checked) for reader in self.readers.values()):
            raise UnknownTenant(f"tenant {tenant} has no stream on this node")
        return found, False

    def _locate(self, tenant: TenantId, name: str) -> tuple[Group, GroupReader]:
        """The group that has this stream, its creation perhaps still in the pipeline."""
        for reader in self.readers.values():
            if reader.has_prepared(tenant, name):
                return reader.group, reader
        if not any(reader.has_tenant(tenant) for reader in self.readers.values()):
            raise UnknownTenant(f"tenant {tenant} has no stream on this node")
        raise UnknownStream(f"tenant {tenant} has no stream '{name}'")

    # Appends ---------------------------------------------------------------------------------------------------

    async def append(self, origin: Origin, tenant: int, appends: Sequence[PlainAppend]) -> AppendResult:
        """All appends or none, in one group. CrossGroup, WrongExpectedOffset, UnknownStream, TooLarge, Overloaded."""
        outcome: list[AppendResult | DefiniteError] = []
        done = trio.Event()

        def on_reply(result: AppendResult | DefiniteError) -> None:
            outcome.append(result)
            done.set()

        self.submit_append(origin, tenant, appends, on_reply)
        await done.wait()
        result = outcome[0]
        if isinstance(result, DefiniteError):
            raise result
        return result

    def submit_append(self, origin: Origin, tenant: int, appends: Sequence[PlainAppend], on_reply: OnAppend) -> None:
        """`append` without a task: `on_reply` is called once, at once or after the commit."""
        try:
            group, request = self._checked_append(origin, tenant, appends)
            names = [append.stream for append in appends]
        except DefiniteError as error:
            self._submit_rejected(origin, error, on_reply)
            return

        def on_commit(reply: Reply) -> None:
            on_reply(_append_result(group.name, names, reply))

        try:
            group.submit(request, on_commit, origin)
        except DefiniteError as error:
            on_reply(error)

    def _checked_append(
        self, origin: Origin, tenant: int, appends: Sequence[PlainAppend]
    ) -> tuple[Group, PlainBatch | PlainTransaction]:
        checked = check_tenant_id(tenant)
        if not appends:
            raise InvalidArgument("an append names at least one stream")
        for append in appends:
            _check_runs(append)
        group = self._locate(checked, appends[0].stream)[0]
        for append in appends[1:]:
            other = self._locate(checked, append.stream)[0]
            if other is not group:
                raise CrossGroup(
                    f"an atomic append stays in one group: expected streams of {group.name} alone, found one of "
                    f"{other.name}"
                )
        self._checked_origin(origin, group)
        return group, fit(PlainBatch(tenant=checked, appends=tuple(appends)), group.limits)

    def _checked_origin(self, origin: Origin, group: Group) -> Origin:
        """A session belongs to one group."""
        if len(origin.client) != CLIENT_ID_SIZE:
            raise InvalidArgument(f"a client id has {CLIENT_ID_SIZE} bytes; found {len(origin.client)}")
        if origin.session and serial_group(origin.session) != group_tag(group.name):
            raise CrossGroup(f"the session belongs to another group: expected one that was opened in {group.name}")
        return origin

    # Refusals of numbered requests -----------------------------------------------------------------------------

    def _submit_rejected(self, origin: Origin, error: DefiniteError, on_reply: OnAppend) -> None:
        group = self._group_of_session(origin, error)
        if group is None:
            on_reply(error)
            return

        def on_commit(reply: Reply) -> None:
            assert isinstance(reply, Refusal)
            on_reply(error if reply.code is error.code else error_for_refusal(reply.code, reply.message))

        try:
            group.submit(_rejection(error), on_commit, origin)
        except DefiniteError as busy:
            on_reply(busy)

    async def _reject(self, origin: Origin, error: DefiniteError) -> None:
        group = self._group_of_session(origin, error)
        if group is not None:
            reply = await group.execute(_rejection(error), origin)
            if isinstance(reply, Refusal) and reply.code is not error.code:
                raise error_for_refusal(reply.code, reply.message)

    def _group_of_session(self, origin: Origin, error: DefiniteError) -> Group | None:
        """The group in whose log the refusal must use up a number; None for a request without a session."""
        if not origin.session or isinstance(error, (Overloaded, StorageError)):
            return None
        for group in self.groups.values():
            if group_tag(group.name) == serial_group(origin.session):
                return group
        return None

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
    ) -> ReadResult:
        """Events of one stream in order. With `wait_us` an empty answer waits that long for the next event."""
        checked = check_tenant_id(tenant)
        group, reader = self._locate(checked, stream)
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
        self, tenant: int, group: str, from_position: int, *, max_events: int, wait_us: int = 0
    ) -> LogResult:
        """All events of a tenant in one group, in commit order."""
        checked = check_tenant_id(tenant)
        found = self._group(group or self.region.name)
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

    def _group(self, name: str) -> Group:
        found = self.groups.get(GroupId(name))
        if found is None:
            raise InvalidArgument(f"this node has no group '{name}': expected one of {', '.join(self.groups)}")
        return found


def serial_group(session: int) -> int:
    """The tag of the group that a session belongs to."""
    return session >> 48


def _rejection(error: DefiniteError) -> PlainRequest:
    """The message goes into the log in clear, so it is the code's, not the caller's: names don't enter the log."""
    return PlainReject(code=error.code, message="refused at the gate; the first answer said why")


def _check_text(what: str, text: str, bytes_max: int) -> None:
    size = len(text.encode())
    if size > bytes_max:
        raise TooLarge(f"{what} has at most {bytes_max} bytes; found {size}")


def _check_runs(append: PlainAppend) -> None:
    if append.count > EVENTS_PER_APPEND_MAX:
        raise TooLarge(f"an append has at most {EVENTS_PER_APPEND_MAX} events; found {append.count}")
    for run in append.runs:
        _check_text("a subject", run.subject, SUBJECT_BYTES_MAX)
        if run.count < 1:
            raise InvalidArgument("a run holds at least one event; found none")
        if run.event_ids and len(run.event_ids) != run.count * EVENT_ID_SIZE:
            raise InvalidArgument(
                f"event ids have {EVENT_ID_SIZE} bytes each, one an event: expected {run.count * EVENT_ID_SIZE} bytes, "
                f"found {len(run.event_ids)}"
            )


def _append_result(group: GroupId, names: Sequence[str], reply: Reply) -> AppendResult | DefiniteError:
    if isinstance(reply, Refusal):
        return error_for_refusal(reply.code, reply.message)
    assert isinstance(reply, Appended)
    return AppendResult(
        streams=tuple(
            StreamRange(stream=name, first_offset=part.first_offset, next_offset=part.next_offset)
            for name, part in zip(names, reply.streams, strict=True)
        ),
        group=group,
        first_position=reply.first_position,
        next_position=reply.next_position,
        time=reply.timestamp,
    )
