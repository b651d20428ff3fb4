"""Who sends a write, as the interface says it."""

from __future__ import annotations

from typing import Any

from vdb.errors import InvalidArgument
from vdb.kernel.command import CLIENT_ID_SIZE, INTERNAL, Origin


def read_origin(reader: Any) -> Origin:
    """Who sends a write, as the interface says it."""
    return origin_of(reader._get("client"), reader._get("session"), reader._get("number"))


def origin_of(client: bytes, session: int, number: int) -> Origin:
    """No client: a write outside of a session. InvalidArgument."""
    if client:
        return Origin(client, session, number)
    if session or number:
        raise InvalidArgument(f"a request of a session names its client: expected {CLIENT_ID_SIZE} bytes, found none")
    return INTERNAL
