"""Rows of events that look alike, made without a look at each field: what `LatestById` does for most events of a log.

Events of one type mostly have the same fields, of the same kinds. So what was learned from one is tried on the next:
a getter takes the values out of the decoded body in one go, and their classes are compared in one go.

Rules
- A shape fits or it doesn't; it never guesses. It fits when each of its fields is there, is of its column's class,
  and no field is there that it leaves out (null counts as not there where null keeps a value). Whatever doesn't fit is
  applied field by field, by the template's rules.
- Values that need a change on their way (JSON, times as text) are in no shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from attrs import frozen

from vdb.projections.tables import Column, ColumnType
from vdb.projections.values import SqlValue

_CLASSES: Mapping[ColumnType, type[Any]] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.TIME: int,
    ColumnType.REAL: float,
    ColumnType.BOOLEAN: bool,
}


@frozen
class Shape:
    """Fields of a body that make a row, and those that mustn't be there."""

    get: Callable[[Any], tuple[SqlValue, ...]]
    classes: tuple[type[Any], ...]
    absent: tuple[str, ...]
    null_is_absent: bool
    sql: str
    constants: tuple[SqlValue, ...]


def make_shape(
    fields: Sequence[tuple[str, Column]],
    absent: Sequence[str],
    sql: str,
    constants: tuple[SqlValue, ...],
    *,
    null_is_absent: bool,
) -> Shape | None:
    """The shape of events with these fields of the body, in the order of the statement; None where there is none."""
    classes = [_CLASSES.get(column.type) for _, column in fields]
    if len(fields) < 2 or None in classes or not all(name for name, _ in fields) or not all(absent):
        return None
    return Shape(
        itemgetter(*(name for name, _ in fields)),
        tuple(one for one in classes if one is not None),
        tuple(absent),
        null_is_absent,
        sql,
        constants,
    )


def row_of(shape: Shape, body: Any) -> tuple[SqlValue, ...] | None:
    """The row, if the shape fits."""
    if type(body) is not dict:
        return None
    try:
        row = shape.get(body)
    except KeyError:
        return None
    if tuple(map(type, row)) != shape.classes:
        return None
    for name in shape.absent:
        if name in body and not (shape.null_is_absent and body[name] is None):
            return None
    return row + shape.constants if shape.constants else row
