"""`Row`: a row whose columns are found by name as well as by index, as in Python's `sqlite3`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vdb.dbapi.cursor import Cursor
from vdb.projections.store import Binding

if TYPE_CHECKING:
    from sqlite3 import Row as _Row
else:
    _Row = Binding.Row


class Row(_Row):
    """A row factory: `connection.row_factory = Row`."""

    __slots__ = ()

    def __new__(cls, cursor: Cursor, values: tuple[Any, ...], /) -> Row:
        if not issubclass(type(cursor), Cursor):
            raise TypeError(f"Row() argument 1 must be a Cursor, not {type(cursor).__name__}")
        return super().__new__(cls, cursor.shape(), values)


Sequence.register(Row)
