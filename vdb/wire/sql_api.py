"""The parts of `schemas/verity.capnp` that move SQL values: parameters, and the rows of an answer.

A row's values lie one behind the other in one list, so that a row costs no object of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vdb.changes import RawText, Value

Row = tuple[Value, ...]

_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1


def check_value(value: object) -> None:
    """TypeError for what SQLite has no class for, OverflowError for a number that it can't hold."""
    if isinstance(value, int):
        if not _INTEGER_MIN <= value <= _INTEGER_MAX:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
    elif value is not None and not isinstance(value, float | str | bytes | bytearray | memoryview | RawText):
        raise TypeError(f"a value of SQLite's is None, int, float, str or bytes; found {type(value).__name__}")


def value_into(builder: Any, value: Any) -> None:
    """Fill a Value; null is what a fresh one holds."""
    if value is None:
        return
    if isinstance(value, str):
        builder.text = value
    elif isinstance(value, int):
        builder.integer = int(value)  # of a bool as well
    elif isinstance(value, float):
        builder.real = value
    elif isinstance(value, RawText):
        builder.rawText = value.data
    else:
        builder.blob = bytes(value)


def value_from(reader: Any) -> Value:
    """What a Value holds."""
    kind = reader._which_str()
    if kind == "null":
        return None
    value: Value = reader._get(kind)
    return RawText(bytes(value)) if kind == "rawText" else value  # type: ignore[arg-type]


def rows_into(answer: Any, rows: Sequence[Row]) -> None:
    """Fill the cells of an answer."""
    if not rows:
        return
    cells = answer.init("cells", len(rows) * len(rows[0]))
    at = 0
    for row in rows:
        for value in row:
            if value is not None:
                value_into(cells[at], value)
            at += 1


def rows_from(answer: Any, width: int) -> list[Row]:
    """The rows of an answer of `width` columns."""
    values = [value_from(cell) for cell in answer._get("cells")]
    if not values or not width:
        return []
    return [tuple(values[at : at + width]) for at in range(0, len(values), width)]


def parameters_into(builder: Any, parameters: Sequence[Value] | Mapping[str, Value]) -> None:
    """Fill SqlParameters; none are what a fresh one holds."""
    if not parameters:
        return
    if isinstance(parameters, Mapping):
        for named, (name, value) in zip(builder.init("named", len(parameters)), parameters.items(), strict=True):
            named.name = name
            value_into(named.value, value)
        return
    for cell, value in zip(builder.init("list", len(parameters)), parameters, strict=True):
        value_into(cell, value)


def parameters_from(reader: Any) -> tuple[Value, ...] | dict[str, Value]:
    """What SqlParameters hold."""
    kind = reader._which_str()
    if kind == "list":
        return tuple(value_from(cell) for cell in reader._get("list"))
    if kind == "named":
        return {str(named._get("name")): value_from(named._get("value")) for named in reader._get("named")}
    return ()
