"""What rows differ between two states of a database: from the transactions in between, or from the two databases.

A row is told by its primary key, or by its rowid where the table has none. Transactions suffice as long as none of them
changed the schema; where a table came, went, or was altered, the two databases are compared. Columns that only one of
them has don't make a row another row.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, cast

from attrs import field, frozen

from vdb.changes import Image, Layout, Operation, RowChange, SchemaChange, Transaction, Value
from vdb.ports import Connection
from vdb.projections.store import set_text_factory
from vdb.sql.capture_rows import text_or_raw
from vdb.sql.names import META_TABLE
from vdb.sql.net_effect import Located, exact, net_effect
from vdb.sql.tables import Cursor, Table, quote, read_table


@frozen(kw_only=True)
class RowDiff:
    """One row; images by the names of the columns."""

    operation: Operation
    before: Mapping[str, Value] | None = field(repr=False)
    after: Mapping[str, Value] | None = field(repr=False)


@frozen(kw_only=True)
class TableDiff:
    """The rows of one table that differ: at least one."""

    table: str
    rows: tuple[RowDiff, ...]

    def count(self, operation: Operation) -> int:
        """Rows that were inserted, updated or deleted."""
        return sum(row.operation is operation for row in self.rows)


_State = tuple[Layout, Image] | None


class ChangeFold:
    """Adds up transactions, in their order."""

    def __init__(self) -> None:
        self.schema_changed = False
        """If so, they don't suffice."""
        self._tables: dict[str, dict[Hashable, tuple[_State, _State]]] = {}

    def feed(self, transaction: Transaction) -> None:
        """The next one."""
        if any(isinstance(step, SchemaChange) for step in transaction.steps):
            self.schema_changed = True
        if self.schema_changed:
            return
        rows = [step for step in transaction.steps if isinstance(step, RowChange)]
        for effect in net_effect(transaction.layouts, rows):
            table = self._tables.setdefault(effect.layout.table, {})
            for row in effect.deleted:
                state = effect.layout, row[1]
                key = identity(effect.layout, row)
                table[key] = (table.get(key, (state, None))[0], None)
            for row in effect.inserted:
                key = identity(effect.layout, row)
                table[key] = (table.get(key, (None, None))[0], (effect.layout, row[1]))

    def diff(self) -> list[TableDiff]:
        """What differs between before the first and after the last."""
        assert not self.schema_changed, "a schema that changed is for diff_databases"
        return _diffs({name: list(rows.values()) for name, rows in self._tables.items()})


def diff_databases(old: Connection, new: Connection) -> list[TableDiff]:
    """What differs between two databases, VerityDB's own place in the log apart. Reads all rows of both.

    The connections are for this alone: what they take for text is set.
    """
    for db in (old, new):
        set_text_factory(db, text_or_raw)
    found: dict[str, list[tuple[_State, _State]]] = {}
    names = dict.fromkeys([*_tables(old), *_tables(new)])
    for name in names:
        before, after = _Side.of(old, name), _Side.of(new, name)
        found[name] = _pairs(before, after)
    return _diffs(found)


def identity(layout: Layout, row: Located) -> Hashable:
    """What tells a row from others to its users."""
    rowid, image = row
    key = tuple(image[layout.columns.index(name)] for name in layout.key)
    return key if key and None not in key else ("rowid", rowid)


def _diffs(found: Mapping[str, Sequence[tuple[_State, _State]]]) -> list[TableDiff]:
    diffs = []
    for name, pairs in found.items():
        rows = tuple(row for row in (_diff(before, after) for before, after in pairs) if row is not None)
        if rows:
            diffs.append(TableDiff(table=name, rows=rows))
    return diffs


def _diff(before: _State, after: _State) -> RowDiff | None:
    if before is not None and after is not None:
        if _same(before, after):
            return None
        operation = Operation.UPDATE
    elif before is None and after is None:
        return None
    else:
        operation = Operation.INSERT if before is None else Operation.DELETE
    return RowDiff(operation=operation, before=_by_name(before), after=_by_name(after))


def _same(before: tuple[Layout, Image], after: tuple[Layout, Image]) -> bool:
    if before[0].columns == after[0].columns:
        return exact(before[1]) == exact(after[1])
    old, new = cast(Any, _by_name(before)), cast(Any, _by_name(after))
    common = [name for name in old if name in new]
    return exact([old[name] for name in common]) == exact([new[name] for name in common])


def _by_name(state: _State) -> dict[str, Value] | None:
    return None if state is None else dict(zip(state[0].columns, state[1], strict=True))


# Two databases ---------------------------------------------------------------------------------------------------


@frozen
class _Side:
    """A table in one of the databases."""

    cursor: Cursor
    lookups: Cursor
    table: Table
    layout: Layout

    @classmethod
    def of(cls, db: Connection, name: str) -> _Side | None:
        """None: it isn't there."""
        table = read_table(_cursor(db), name)
        if table is None:
            return None
        layout = Layout(table=name, columns=table.columns, key=table.key, rowid=not table.without_rowid)
        return cls(_cursor(db), _cursor(db), table, layout)

    @property
    def columns(self) -> str:
        rowid = "NULL" if self.table.rowid is None else self.table.rowid
        return ", ".join([rowid, *map(quote, self.layout.columns)])

    @property
    def place(self) -> str:
        """The condition that finds one row."""
        if self.table.rowid is not None:
            return f"{self.table.rowid} = ?"
        return " AND ".join(f"{quote(name)} = ?" for name in self.layout.key)

    def place_of(self, row: Located) -> tuple[Any, ...]:
        rowid, image = row
        if self.table.rowid is not None:
            return (rowid,)
        return tuple(image[self.layout.columns.index(name)] for name in self.layout.key)

    def find(self, place: tuple[Any, ...]) -> Located | None:
        """The row at a place."""
        rows = self.lookups.execute(
            f"SELECT {self.columns} FROM main.{quote(self.table.name)} WHERE {self.place}", place
        )
        for row in rows.fetchall():
            return row[0], row[1:]
        return None


def _tables(db: Connection) -> list[str]:
    rows = _cursor(db).execute(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' "
        "ORDER BY name"
    )
    return [name for (name,) in rows.fetchall() if name != META_TABLE]


def _pairs(before: _Side | None, after: _Side | None) -> list[tuple[_State, _State]]:
    """Rows that differ, each with what it was and is."""
    old = {} if before is None else dict(_only(before, after))
    new = {} if after is None else dict(_only(after, before))
    return [(old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]


def _only(side: _Side, other: _Side | None) -> Iterator[tuple[Hashable, tuple[Layout, Image]]]:
    """Rows of one side that the other doesn't have at the same place, or has otherwise."""
    alike = other is not None and side.place.lower() == other.place.lower()
    rows = side.cursor.execute(f"SELECT {side.columns} FROM main.{quote(side.table.name)}")
    for row in rows:
        located = row[0], row[1:]
        found = other.find(side.place_of(located)) if other is not None and alike else None
        if found is None or not _same((side.layout, located[1]), (cast(_Side, other).layout, found[1])):
            yield identity(side.layout, located), (side.layout, located[1])


def _cursor(db: Connection) -> Cursor:
    cursor: Any = cast(Any, db).cursor()
    cursor.row_factory = None
    return cast(Cursor, cursor)
