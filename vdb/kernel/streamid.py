"""Stream ids: `(group tag << 48) | serial`.

The serial counts a tenant's streams of one group from 1. The tag keeps the ids of a tenant's groups apart without
any coordination between them: 0 for the global group, else the first two bytes of SHA-256 of the region's name,
with 0 mapped to 1. Id 0 is the tenant's catalogue, which holds the sealed names of its streams.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from vdb.types import GLOBAL_GROUP, GroupId, StreamId

CATALOGUE = StreamId(0)
SERIAL_BITS = 48
SERIAL_MAX: int = 2**SERIAL_BITS - 1


@lru_cache(maxsize=64)
def group_tag(group: GroupId) -> int:
    """Two bytes that stand for the group in the ids of its streams."""
    if group == GLOBAL_GROUP:
        return 0
    return int.from_bytes(sha256(group.encode()).digest()[:2], "big") or 1


def stream_id(group: GroupId, serial: int) -> StreamId:
    assert 1 <= serial <= SERIAL_MAX
    return StreamId((group_tag(group) << SERIAL_BITS) | serial)


def serial_of(stream: StreamId) -> int:
    """The number of a stream among its tenant's streams of one group, from 1."""
    return stream & SERIAL_MAX


def first_session(group: GroupId) -> int:
    """The id of a group's first session. It carries the group's tag as stream ids do, so an id tells its group."""
    return (group_tag(group) << SERIAL_BITS) | 1


def tag_of(session: int) -> int:
    """The tag of the group that a session, or a stream, belongs to."""
    return session >> SERIAL_BITS
