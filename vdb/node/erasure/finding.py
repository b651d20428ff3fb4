"""Finds a subject's records in a tenant's log: by the token in their headers, without opening any."""

from __future__ import annotations

from attrs import define, field

from vdb.crypto.record import decode_record
from vdb.node.gate.reader import GroupReader
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


async def find_records(reader: GroupReader, tenant: TenantId, tokens: tuple[bytes, ...]) -> list[FoundStream]:
    """Streams with records of these tokens, in the order in which they come. The cost follows the tenant's log."""
    found: dict[StreamId, FoundStream] = {}
    position, head = 0, reader.group.state.tenant_head(tenant)
    while tokens and position < head:
        frames = await reader.group.event_log.read_log(tenant, position, reader.group.limits.read_bytes_max)
        if not frames:
            break
        for frame in frames:
            header = decode_record(frame.record).header
            if header.subject_token in tokens:
                one = found.get(frame.stream)
                if one is None:
                    name = await reader.name_of(tenant, frame.stream)
                    one = FoundStream(stream=name, data_class=header.data_class, first=frame.offset)
                    found[frame.stream] = one
                one.records += 1
                one.events += frame.count
                one.last, one.last_time = frame.offset + frame.count - 1, header.time
        position = frames[-1].position + frames[-1].count
    return list(found.values())
