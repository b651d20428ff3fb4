"""Where a consumer group starts: the position that its settings stand for, as far as the log goes now."""

from __future__ import annotations

from vdb.consumers import ConsumerSettings
from vdb.errors import InvalidArgument
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.selecting import Selector
from vdb.selection import StartKind
from vdb.types import TenantId


async def start_of(reader: GroupReader, tenant: TenantId, settings: ConsumerSettings) -> int | None:
    """The position that a group starts with; None: where the log ends when it is created."""
    start = settings.start
    # Whatever is appended from here on lies at this position or beyond, and isn't left out.
    head = reader.group.state.next_position
    if start.kind is StartKind.END:
        return None
    if start.kind is StartKind.EDGE:
        return 0
    if start.kind is StartKind.POSITION:
        return start.value
    selector = Selector(reader, tenant, settings.filter)
    places = selector.places()
    if start.kind is StartKind.OFFSET:
        if not settings.filter.stream:
            raise InvalidArgument("an offset counts the events of one stream: expected a filter that names it")
        if places is None or start.value >= places.end():
            end = 0 if places is None else places.end()
            if start.value > end:
                raise InvalidArgument(f"the stream has {end} events: expected an offset up to that")
            return head
        frames = await places.read(start.value, 1)
        return frames[0].position + start.value - frames[0].offset
    if places is None:
        return head
    number = await selector.resolve(places, start, backward=False)
    if not settings.filter.stream:
        return number
    frames = await places.read(number, 1) if number < places.end() else []
    return frames[0].position + number - frames[0].offset if frames else head
