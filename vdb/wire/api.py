"""The parts of `schemas/verity.capnp` that move payloads, between RPC messages and sealed batches.

Lists of payloads are copied inside C++, from message to message: no Python object is made for a payload.
"""

from __future__ import annotations

from typing import Any

from vdb.limits import EVENT_ID_SIZE
from vdb.types import Consistency, Position, ReadLevel
from vdb.wire import schema

SqlValue = int | float | str | bytes | None
BAD_IDS = b"?"
"""Stands for ids that can't be: no number of ids joined has one byte."""

_EventBatch = schema.event.EventBatch


def batch_from(payloads: Any) -> bytes:
    """An encoded EventBatch with a copy of this list of payloads (a Cap'n Proto list reader)."""
    message = _EventBatch.new_message()
    message.payloads = payloads
    encoded: bytes = message.to_bytes()
    return encoded


def payloads_into(batch: bytes, builder: Any) -> None:
    """Copy the payloads of an encoded EventBatch into the field `payloads` of a builder."""
    with _EventBatch.from_bytes(batch, traversal_limit_in_words=len(batch) // 8 + 8) as reader:
        builder.payloads = reader.payloads


def ids_from(event_ids: Any) -> bytes:
    """A list of 16-byte event ids joined; BAD_IDS when one of them has another length."""
    ids = list(event_ids)
    return b"".join(ids) if all(len(event_id) == EVENT_ID_SIZE for event_id in ids) else BAD_IDS


def ids_into(event_ids: bytes, builder: Any) -> None:
    """Split joined event ids into the field `eventIds` of a builder."""
    builder.eventIds = [event_ids[at : at + EVENT_ID_SIZE] for at in range(0, len(event_ids), EVENT_ID_SIZE)]


def read_level(reader: Any) -> ReadLevel:
    """How fresh a read must be."""
    match reader._which_str():
        case "atLeast":
            return Position.parse(reader.atLeast)
        case "stale":
            return Consistency.STALE
        case _:
            return Consistency.LINEARIZABLE


def value_into(value: object, builder: Any) -> None:
    """Fill a Value of the interface with what SQLite gave."""
    match value:
        case None:
            builder.null = None
        case int():
            builder.integer = value
        case float():
            builder.real = value
        case str():
            builder.text = value
        case _:
            builder.blob = value


def value_from(reader: Any) -> SqlValue:
    """What a Value of the interface holds, as SQLite takes it."""
    kind = reader.which()
    value: SqlValue = None if kind == "null" else getattr(reader, str(kind))
    return value
