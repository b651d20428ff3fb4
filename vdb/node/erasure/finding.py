"""Finds a subject's records in a tenant's log: by the token in their headers, without opening any."""

from __future__ import annotations

from attrs import define, field

from vdb.crypto.record import decode_record
from vdb.node.gate.reader import GroupReader
from vdb.storage.event_log import Frame
from vdb.types import DataClass, StreamId, TenantId


@define(kw_only=True)
class FoundStream:
    """What a stream holds about the subject."""

    stream: str = field(repr=False)
    data_class: DataClass
    records: int = 0
    events: int = 0
    first: int = 0
    """Offset of its first event."""
    last: int = 0
    last_time: int = 0
    """Microseconds UTC of its last record."""


class Finder:
    """Looks through a tenant's log, and goes on where it stood when it is asked again. The cost follows the log."""

    def __init__(self, reader: GroupReader, tenant: TenantId) -> None:
        self._reader = reader
        self._tenant = tenant
        self._tokens: tuple[bytes, ...] = ()
        self._found: dict[StreamId, FoundStream] = {}
        self._position = 0

    async def find(self, tokens: tuple[bytes, ...]) -> list[FoundStream]:
        """Streams with records of these tokens, in the order in which they come, as the log is when it returns."""
        if tokens != self._tokens:
            self._tokens, self._found, self._position = tokens, {}, 0
        group = self._reader.group
        while tokens and self._position < group.state.tenant_head(self._tenant):
            frames = await group.event_log.read_log(self._tenant, self._position, group.limits.read_bytes_max)
            if not frames:
                break
            for frame in frames:
                await self._look(frame)
            self._position = frames[-1].position + frames[-1].count
        return list(self._found.values())

    async def _look(self, frame: Frame) -> None:
        header = decode_record(frame.record).header
        if header.subject_token not in self._tokens:
            return
        one = self._found.get(frame.stream)
        if one is None:
            name = await self._reader.name_of(self._tenant, frame.stream)
            one = FoundStream(stream=name, data_class=header.data_class, first=frame.offset)
            self._found[frame.stream] = one
        one.records += 1
        one.events += frame.count
        one.last, one.last_time = frame.offset + frame.count - 1, header.time
