"""Reads of one group: streams, a tenant's log, and the catalogue of stream names.

Everything served is committed: the event log holds nothing else. Names stand sealed in the tenant's catalogue
stream, where the name of the stream with serial number n lies at offset n - 1.

What the event log returns is asserted to be without a gap: an index that left out a frame would otherwise hide
acknowledged events from every reader, and nobody would notice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

from vdb.crypto.record import open_body
from vdb.errors import DamagedData, InvalidArgument
from vdb.kernel.command import KeyScope
from vdb.kernel.rows import StreamState
from vdb.kernel.state import State
from vdb.kernel.streamid import CATALOGUE, serial_of, stream_id
from vdb.node.gate.answers import StreamInfo
from vdb.node.gate.records import checked_record, cut_run, open_frame
from vdb.node.replication.group import Group
from vdb.projections.source import OpenedRun
from vdb.rare import rare
from vdb.storage.event_log import Frame
from vdb.types import DataClass, StreamId, TenantId

CACHED_NAMES_MAX = 100_000


class GroupReader:
    """One per group. Holds a bounded cache of names and the frames of one read; everything else is in the group."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._names: OrderedDict[tuple[TenantId, StreamId], str] = OrderedDict()
        self._kept: list[Frame] = []
        """What a projection read last: at most `read_bytes_max` and a frame."""
        self._kept_for: tuple[TenantId, int, int] | None = None
        """Tenant, position and the log's head of that read; what they name never changes."""

    # Streams by name -------------------------------------------------------------------------------------------

    def has_tenant(self, tenant: TenantId) -> bool:
        return self.group.prepared.has_tenant(tenant)

    def find(self, tenant: TenantId, name: str) -> StreamState | None:
        """The committed stream of this name."""
        stream = self._id_in(self.group.state, tenant, name)
        return None if stream is None else self.group.state.stream(tenant, stream)

    def has_prepared(self, tenant: TenantId, name: str) -> bool:
        """Whether there is a stream of this name, its creation perhaps still in the pipeline."""
        return self._id_in(self.group.prepared, tenant, name) is not None

    def class_of(self, tenant: TenantId, name: str) -> DataClass | None:
        """What a stream holds, its creation perhaps still in the pipeline; None where there is none of this name."""
        prepared = self.group.prepared
        stream = self._id_in(prepared, tenant, name)
        found = None if stream is None else prepared.stream(tenant, stream)
        return None if found is None else found.data_class

    def _id_in(self, state: State, tenant: TenantId, name: str) -> StreamId | None:
        keyring = self.group.keyring
        if not state.has_tenant(tenant) or keyring.row(tenant, KeyScope.TENANT) is None:
            return None
        return state.stream_id_by_lookup(tenant, keyring.lookup(tenant, KeyScope.STREAM, name))

    async def name_of(self, tenant: TenantId, stream: StreamId) -> str:
        """The name of a stream of the catalogue."""
        if stream == CATALOGUE:
            return ""
        name = self._names.get((tenant, stream))
        if name is not None:
            self._names.move_to_end((tenant, stream))
            return name
        frames = await self.group.storage.event_log.read_stream(tenant, CATALOGUE, serial_of(stream) - 1, 1)
        if not frames or frames[0].offset != serial_of(stream) - 1:
            raise DamagedData(f"the catalogue of tenant {tenant} has no name for stream {stream}")
        return self._remember(tenant, stream, self._open_name(tenant, frames[0]))

    async def place_of(self, tenant: TenantId, position: int) -> tuple[str, int]:
        """Stream name and offset of the event at a position of this tenant."""
        for frame in await self.group.storage.event_log.read_log(tenant, position, 1):
            if frame.position <= position < frame.position + frame.count:
                return await self.name_of(tenant, frame.stream), frame.offset + position - frame.position
        raise DamagedData(f"the log of tenant {tenant} holds no event at position {self.group.name}:{position}")

    async def list_streams(self, tenant: TenantId, after_serial: int, limit: int) -> tuple[list[StreamInfo], bool]:
        """Streams in the order of creation, after a serial number; and whether there are more."""
        tenant_state = self.group.state.tenant(tenant)
        last = 0 if tenant_state is None else tenant_state.stream_count
        infos: list[StreamInfo] = []
        for serial in range(after_serial + 1, min(after_serial + limit, last) + 1):
            state = self.group.state.stream(tenant, stream_id(self.group.name, serial))
            assert state is not None
            infos.append(
                StreamInfo(
                    name=await self.name_of(tenant, state.stream),
                    stream=state.stream,
                    data_class=state.data_class,
                    placement=self.group.name,
                    next_offset=state.next_offset,
                    created_at=state.created_at,
                )
            )
        return infos, after_serial + limit < last

    def _open_name(self, tenant: TenantId, frame: Frame) -> str:
        sealed = checked_record(frame, tenant=tenant, group=self.group.name)
        key = self.group.keyring.key(sealed.header.dek_id)
        return open_body(sealed.header_bytes, key, sealed.body).decode()

    def _remember(self, tenant: TenantId, stream: StreamId, name: str) -> str:
        self._names[tenant, stream] = name
        if len(self._names) > CACHED_NAMES_MAX:
            self._names.popitem(last=False)
        return name

    # Events ----------------------------------------------------------------------------------------------------

    async def read_stream(
        self, tenant: TenantId, stream: StreamState, name: str, from_offset: int, max_events: int, *, ids_only: bool
    ) -> list[OpenedRun]:
        """Runs from `from_offset` on, at most `max_events` events and about `read_bytes_max` bytes, in order."""
        if from_offset > stream.next_offset:
            raise InvalidArgument(
                f"stream '{name}' has {stream.next_offset} events: expected an offset up to that, found {from_offset}"
            )
        if from_offset == stream.next_offset or max_events == 0:
            return []
        # One record holds the one event: who fetched as many as an answer may have would spend its time on the others.
        max_bytes = self.group.limits.read_bytes_max if max_events > 1 and not rare("reader.short") else 1
        frames = await self.group.storage.event_log.read_stream(tenant, stream.stream, from_offset, max_bytes)
        check_offsets(frames, from_offset)
        runs: list[OpenedRun] = []
        left = max_events
        for frame in frames:
            run = open_frame(
                frame,
                tenant=tenant,
                group=self.group.name,
                stream_name=name,
                keyring=self.group.keyring,
                ids_only=ids_only,
            )
            runs.append(cut_run(run, skip=max(0, from_offset - run.first_offset), keep=left))
            left -= runs[-1].count
            if left == 0:
                break
        return runs

    async def read_log(self, tenant: TenantId, from_position: int, max_events: int) -> tuple[list[OpenedRun], int]:
        """A tenant's runs in commit order, from a position on, and the position to go on from.

        The catalogue's own records are passed over. At the end of the log the position is the group's next one.
        """
        head = self.group.state.next_position
        frames = await self._read_frames(tenant, from_position)
        return await self._open_wanted(tenant, frames, from_position, max_events, head, lambda _name: True)

    async def read_wanted(
        self, tenant: TenantId, from_position: int, max_events: int, wants: Callable[[str], bool]
    ) -> tuple[list[OpenedRun], int]:
        """`read_log` for a projection: runs of streams whose name isn't wanted are passed over, unopened.

        The projections of a tenant follow its log side by side and ask for the same frames, so these are kept.
        """
        head = self.group.state.next_position
        asked = (tenant, from_position, head)
        if asked != self._kept_for:
            frames = await self._read_frames(tenant, from_position)
            self._kept_for, self._kept = asked, frames
        else:
            frames = self._kept
        return await self._open_wanted(tenant, frames, from_position, max_events, head, wants)

    async def _read_frames(self, tenant: TenantId, from_position: int) -> list[Frame]:
        max_bytes = 1 if rare("reader.short_log") else self.group.limits.read_bytes_max
        frames = await self.group.storage.event_log.read_log(tenant, from_position, max_bytes)
        check_positions(frames, from_position)
        return frames

    async def _open_wanted(
        self,
        tenant: TenantId,
        frames: Sequence[Frame],
        from_position: int,
        max_events: int,
        head: int,
        wants: Callable[[str], bool],
    ) -> tuple[list[OpenedRun], int]:
        runs: list[OpenedRun] = []
        names: dict[StreamId, str | None] = {CATALOGUE: None}
        """Of the streams so far; None where it isn't wanted."""
        position = from_position
        left = max_events
        for frame in frames:
            if left == 0:
                return runs, position
            position = frame.position + frame.count
            stream = frame.stream
            if stream not in names:
                found = await self.name_of(tenant, stream)
                names[stream] = found if wants(found) else None
            name = names[stream]
            if name is None:
                continue
            run = open_frame(frame, tenant=tenant, group=self.group.name, stream_name=name, keyring=self.group.keyring)
            run = cut_run(run, skip=max(0, from_position - run.first_position), keep=left)
            runs.append(run)
            position = run.first_position + run.count
            left -= run.count
        return runs, position if frames else max(head, from_position)


def check_offsets(frames: Sequence[Frame], from_offset: int) -> None:
    """The first frame holds `from_offset`, which the stream has, and each other one begins where the last ended."""
    assert frames, f"the log has no frame for offset {from_offset} below the stream's end"
    assert frames[0].offset <= from_offset, (
        f"offset {from_offset} was left out: the first frame is at {frames[0].offset}"
    )
    assert from_offset < frames[0].offset + frames[0].count, f"the first frame ends before offset {from_offset}"
    for before, frame in pairwise(frames):
        end = before.offset + before.count
        assert frame.offset == end, f"a frame at offset {end} was left out: the next one is at {frame.offset}"


def check_positions(frames: Sequence[Frame], from_position: int) -> None:
    """Positions rise; between two frames lie those of other tenants."""
    end = from_position
    for index, frame in enumerate(frames):
        assert frame.count >= 1
        assert frame.position >= end or index == 0, f"position {frame.position} comes after the one before {end}"
        assert frame.position + frame.count > end, f"the frame at position {frame.position} ends before {end}"
        end = frame.position + frame.count
