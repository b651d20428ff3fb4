"""JSON values to SQL values by column type. A value that doesn't fit is an error that names column and path only."""

from __future__ import annotations

from typing import Any

import msgspec

from vdb.errors import InvalidEvent
from vdb.projections.tables import Column, ColumnType
from vdb.projections.times import parse_time

SqlValue = int | float | str | bytes | None

_encoder = msgspec.json.Encoder(order="deterministic")
_JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


def to_sql(value: Any, column: Column, path: str) -> SqlValue:
    """What is stored for a JSON value; null is always NULL. Text takes anything: what isn't a string as JSON."""
    if value is None:
        return None
    kind = column.type
    if kind is ColumnType.TEXT:
        return value if isinstance(value, str) else _encoder.encode(value).decode()
    if kind is ColumnType.JSON:
        return _encoder.encode(value).decode()
    if kind is ColumnType.BOOLEAN and isinstance(value, bool):
        return int(value)
    if kind is ColumnType.REAL and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (ColumnType.INTEGER, ColumnType.TIME) and isinstance(value, int) and not isinstance(value, bool):
        if -(2**63) <= value < 2**63:
            return value
    elif kind is ColumnType.TIME and isinstance(value, str):
        parsed = parse_time(value)
        if parsed is not None:
            return parsed
    found = _JSON_NAMES.get(type(value), "value")
    raise InvalidEvent(f"column {column.name!r} takes {kind.value}; at {path} found a {found} that isn't one")
