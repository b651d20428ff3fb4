"""Restore points: copies of a database as it was at some offset of its stream, from which other offsets are reached.

Which copies to keep is decided here, where nothing else happens; who makes and removes them is the node. An offset
stands for the database after all transactions that end at or before it.

- Whoever builds a state from far away leaves copies on the way, so that the next one has no longer way than `spacing`.
- At most COPIES_MAX are kept. The one that goes first is the one whose neighbours are closest to each other: without
  it, the longest way grows the least.

`contents` is the other half of a restore: a whole database as transactions, for a new one's log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from attrs import define, field

from vdb.changes import Attribution, Layout, Operation, RowChange, SchemaChange, SequenceChange, Step, Transaction
from vdb.ports import Connection
from vdb.projections.store import set_text_factory
from vdb.sql.capture_rows import text_or_raw
from vdb.sql.names import META_TABLE
from vdb.sql.sequences import read_sequences
from vdb.sql.tables import Cursor, quote, read_table

COPIES_MAX = 8
"""Copies of one database that are kept beside those in use."""

SPACING_MIN = 20_000
"""Events between two copies at least: applying so many takes about a second."""

STEPS_MAX = 5000
_VALUE_SIZE = 24


def spacing(head: int) -> int:
    """How many events lie between two copies that are left on the way, in a stream of `head` events."""
    return max(SPACING_MIN, -(-head // COPIES_MAX))


def nearest(copies: Iterable[int], offset: int) -> int | None:
    """The copy to begin from; None: the beginning."""
    return max((copy for copy in copies if copy <= offset), default=None)


def wants_copy(copies: Iterable[int], offset: int, head: int) -> bool:
    """Whether a build that comes by here leaves a copy."""
    before = nearest(copies, offset)
    return offset - (before or 0) >= spacing(head)


def surplus(copies: Mapping[int, bool], head: int, *, keep: int = COPIES_MAX) -> list[int]:
    """The copies to remove, of a stream of `head` events. `copies`: by offset, whether they are in use; those are
    neither counted nor removed."""
    offsets = sorted(copies)
    idle = [offset for offset in offsets if not copies[offset]]
    removed: list[int] = []
    while len(idle) > keep:
        worst = min(idle, key=lambda offset: _gap_without(offsets, offset, head))
        offsets.remove(worst)
        idle.remove(worst)
        removed.append(worst)
    return removed


def _gap_without(offsets: list[int], offset: int, head: int) -> int:
    """How far apart the neighbours of a copy are."""
    index = offsets.index(offset)
    before = offsets[index - 1] if index else 0
    after = offsets[index + 1] if index + 1 < len(offsets) else head
    return after - before


# A whole database as transactions ---------------------------------------------------------------------------------


@define
class _Chunk:
    """Steps that will be one transaction."""

    layouts: list[Layout] = field(factory=list)
    steps: list[Step] = field(factory=list)
    size: int = 0


def contents(
    db: Connection, *, attribution: Attribution, new_id: Callable[[], bytes], size_max: int
) -> Iterator[Transaction]:
    """Transactions that make a new database like this one, each of about `size_max` bytes at most.

    First the tables, then their rows and sequences, then indexes, views and triggers. VerityDB's own place in the log
    isn't part of it. The connection is for this alone: what it takes for text is set.
    """
    set_text_factory(db, text_or_raw)
    chunk = _Chunk()
    for layout, step, size in _steps(_cursor(db), lambda: _cursor(db)):
        if chunk.steps and (chunk.size + size > size_max or len(chunk.steps) >= STEPS_MAX):
            yield _transaction(chunk, attribution, new_id())
            chunk = _Chunk()
        if layout is not None and (not chunk.layouts or chunk.layouts[-1] != layout):
            chunk.layouts.append(layout)
        if isinstance(step, RowChange):
            step = RowChange(
                layout=len(chunk.layouts) - 1,
                operation=Operation.INSERT,
                rowid_after=step.rowid_after,
                after=step.after,
            )
        chunk.steps.append(step)
        chunk.size += size
    if chunk.steps:
        yield _transaction(chunk, attribution, new_id())


def _transaction(chunk: _Chunk, attribution: Attribution, number: bytes) -> Transaction:
    return Transaction(id=number, attribution=attribution, layouts=tuple(chunk.layouts), steps=tuple(chunk.steps))


def _steps(cursor: Cursor, new_cursor: Callable[[], Cursor]) -> Iterator[tuple[Layout | None, Step, int]]:
    objects = cursor.execute(
        "SELECT type, name, sql FROM main.sqlite_master WHERE sql IS NOT NULL "
        "AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY rowid"
    ).fetchall()
    tables = [(name, sql) for kind, name, sql in objects if kind == "table" and name != META_TABLE]
    for _, sql in tables:
        yield None, SchemaChange(sql=sql), len(sql)
    for name, _ in tables:
        yield from _rows(new_cursor(), name)
    for table, value in read_sequences(cursor):
        yield None, SequenceChange(table=table, value=value), len(table)
    for kind, _, sql in objects:
        if kind != "table":
            yield None, SchemaChange(sql=sql), len(sql)
    for pragma in ("user_version", "application_id"):
        ((number,),) = cursor.execute(f"PRAGMA main.{pragma}").fetchall()
        if number:
            yield None, SchemaChange(sql=f"PRAGMA {pragma} = {number}"), 0


def _rows(cursor: Cursor, name: str) -> Iterator[tuple[Layout, RowChange, int]]:
    table = read_table(cursor, name)
    assert table is not None, "a table of the schema holds rows"
    layout = Layout(table=name, columns=table.columns, key=table.key, rowid=not table.without_rowid)
    columns = ", ".join(["NULL" if table.rowid is None else table.rowid, *map(quote, table.columns)])
    for row in cursor.execute(f"SELECT {columns} FROM main.{quote(name)}"):
        image = row[1:]
        size = _VALUE_SIZE * len(row) + sum(len(value) for value in image if isinstance(value, str | bytes))
        yield layout, RowChange(layout=0, operation=Operation.INSERT, rowid_after=row[0], after=image), size


def _cursor(db: Connection) -> Cursor:
    cursor: Any = cast(Any, db).cursor()
    cursor.row_factory = None
    return cast(Cursor, cursor)
