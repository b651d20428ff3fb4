"""Bringing transactions of the log into a file, exactly: the rows, the sequences and the schema that they left.

Between two statements that change the schema, a transaction's row changes come down to their net effect
(`net_effect`): all old images are deleted, then all new ones inserted.

Rules
- The caller opened the SQLite transaction and ends it, whatever happens.
- Nothing but the images has an effect: no trigger of the schema fires, no foreign key acts or refuses, no CHECK is
  evaluated. What these did is in the images.
- Each old image must be there as the log has it, or the file isn't what the log made: DatabaseDamaged.
- `sqlite_sequence` changes as the log says, and not by the rows that are inserted.
- TEMP triggers of the connection fire; a connection that captures collects what is applied on it.
- No message holds a row's values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from attrs import define, field

from vdb.changes import Layout, RawText, RowChange, SchemaChange, SequenceChange, Transaction, Value
from vdb.errors import DatabaseDamaged
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.store import SqliteError, set_text_factory, storage_error
from vdb.sql import sqlite_api
from vdb.sql.altering import change_schema, legacy_off, set_legacy
from vdb.sql.net_effect import Located, net_effect
from vdb.sql.sqlite_api import ENABLE_FOREIGN_KEYS, ENABLE_TRIGGERS
from vdb.sql.tables import quote, read_table

_TERMS_IN_A_ROW = 100
"""Comparisons side by side: SQLite bounds the depth of an expression, and a table may have 2,000 columns."""


def apply_transaction(db: Connection, transaction: Transaction) -> None:
    """Apply one transaction on a connection that is used for other things as well: it is left as it was found."""
    applier = Applier(db)
    try:
        applier.apply(transaction)
    finally:
        applier.release()


class Applier:
    """A connection that applies transactions. Until `release`, it is for nothing else."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._cursor: Any = cast(Any, db).cursor()
        self._cursor.row_factory = None  # the connection's owner may have set one
        self._text_factory = cast(Any, db).text_factory
        set_text_factory(db, str)
        self._plans: dict[Layout, _Plan] = {}
        self._schema_version = -1
        self._triggers = sqlite_api.config(db, ENABLE_TRIGGERS)
        self._enforced = _setting(self._cursor, "foreign_keys")
        self._ignored = _setting(self._cursor, "ignore_check_constraints")
        sqlite_api.config(db, ENABLE_TRIGGERS, False)
        if self._enforced and sqlite_api.config(db, ENABLE_FOREIGN_KEYS, False) is None:
            db.execute("PRAGMA foreign_keys = OFF")
            assert not _setting(self._cursor, "foreign_keys"), (
                "foreign keys can't be switched off within a transaction here"
            )
        if not self._ignored:
            db.execute("PRAGMA ignore_check_constraints = ON")
        self._legacy = legacy_off(self._cursor)

    def release(self) -> None:
        """Give the connection back as it was."""
        set_text_factory(self._db, self._text_factory)
        if self._triggers:
            sqlite_api.config(self._db, ENABLE_TRIGGERS, True)
        if self._enforced and sqlite_api.config(self._db, ENABLE_FOREIGN_KEYS, True) is None:
            self._db.execute("PRAGMA foreign_keys = ON")
        if not self._ignored:
            self._db.execute("PRAGMA ignore_check_constraints = OFF")
        set_legacy(self._cursor, self._legacy)

    def apply(self, transaction: Transaction) -> None:
        """Do what the transaction did. DatabaseDamaged when the file isn't what the log made."""
        version = _setting(self._cursor, "schema_version")
        if version != self._schema_version:
            self._schema_version = version
            self._plans.clear()
        rows: list[RowChange] = []
        sequences: list[SequenceChange] = []
        for step in transaction.steps:
            if isinstance(step, RowChange):
                rows.append(step)
            elif isinstance(step, SequenceChange):
                sequences.append(step)
            else:
                self._apply_run(transaction.layouts, rows, sequences)
                rows, sequences = [], []
                self._change_schema(step)
        self._apply_run(transaction.layouts, rows, sequences)

    def _change_schema(self, step: SchemaChange) -> None:
        self._plans.clear()
        with _diverging("a statement that changed the schema"):
            change_schema(self._db, self._cursor, step.sql)

    def _apply_run(
        self, layouts: Sequence[Layout], rows: Sequence[RowChange], sequences: Sequence[SequenceChange]
    ) -> None:
        """What happened between two changes of the schema."""
        effects = [(self._plan(effect.layout), effect) for effect in net_effect(layouts, rows)]
        with _diverging("rows of a transaction"):
            counted = {plan.table: self._sequence(plan.table) for plan, _ in effects if plan.counts}
            with self._without_triggers([plan.table for plan, _ in effects]):
                for plan, effect in effects:
                    self._delete(plan, effect.deleted)
                for plan, effect in effects:
                    self._insert(plan, effect.inserted)
            for table, value in counted.items():
                if self._sequence(table) != value:
                    self._set_sequence(table, value)
            for change in sequences:
                self._set_sequence(change.table, change.value)

    # Rows ------------------------------------------------------------------------------------------------------

    def _plan(self, layout: Layout) -> _Plan:
        plan = self._plans.get(layout)
        if plan is None:
            plan = self._plans[layout] = _read_plan(self._cursor, layout)
        return plan

    def _delete(self, plan: _Plan, rows: Sequence[Located]) -> None:
        for sql, parameters in _grouped(plan.deletes, plan.delete, rows, with_rowid=not plan.key):
            before = self._changes()
            self._cursor.executemany(sql, parameters)
            found = self._changes() - before
            if found != len(parameters):
                raise DatabaseDamaged(
                    f"table {plan.table!r} isn't what the log made: expected {len(parameters)} rows as a "
                    f"transaction found them, found {found}"
                )

    def _insert(self, plan: _Plan, rows: Sequence[Located]) -> None:
        for sql, parameters in _grouped(plan.inserts, plan.insert, rows, with_rowid=plan.names_rowid):
            self._cursor.executemany(sql, parameters)

    def _changes(self) -> int:
        return int(cast(Any, self._db).total_changes)

    @contextmanager
    def _without_triggers(self, tables: Sequence[str]) -> Iterator[None]:
        """Where they can't be switched off, they are dropped meanwhile."""
        if self._triggers is not None:
            yield
            return
        mark("sql.triggers_dropped")
        marks = ", ".join("?" * len(tables))
        triggers = self._cursor.execute(
            f"SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name COLLATE NOCASE IN ({marks}) "
            "ORDER BY rowid",
            tables,
        ).fetchall()
        for name, _ in triggers:
            self._cursor.execute(f"DROP TRIGGER main.{quote(name)}")
        yield
        for _, sql in triggers:
            self._cursor.execute(sql)

    # Sequences -------------------------------------------------------------------------------------------------

    def _sequence(self, table: str) -> int | None:
        row = self._cursor.execute("SELECT seq FROM main.sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return None if row is None else cast(int, row[0])

    def _set_sequence(self, table: str, value: int | None) -> None:
        if value is None:
            self._cursor.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", (table,))
        elif not self._cursor.execute(
            "UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?", (value, table)
        ).rowcount:
            self._cursor.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (table, value))


@define
class _Plan:
    """How rows of a layout are deleted and inserted. The statements are made once for each choice of raw texts."""

    table: str
    columns: tuple[str, ...]
    key: tuple[int, ...]
    """Columns of the primary key, where that is what tells a row from others; empty: the rowid does."""
    rowid: str
    """What the rowid is called; empty: there is none."""
    alias: bool
    """That is a column's name."""
    counts: bool
    """AUTOINCREMENT."""
    deletes: dict[tuple[int, ...], str] = field(factory=dict)
    inserts: dict[tuple[int, ...], str] = field(factory=dict)

    @property
    def names_rowid(self) -> bool:
        """Whether a row's rowid stands beside its columns."""
        return bool(self.rowid) and not self.alias

    def delete(self, raw: tuple[int, ...]) -> str:
        """Parameters: the image; then the rowid, if that is what tells rows apart."""
        parameters = [_parameter(index, raw) for index in range(len(self.columns))]
        found = [f"{quote(self.columns[index])} = {parameters[index]}" for index in self.key]
        if not self.key:
            found = [f"{self.rowid} = ?{len(self.columns) + 1}"]
        compared = [
            f"{quote(name)} COLLATE BINARY IS {parameter}"
            for name, parameter in zip(self.columns, parameters, strict=True)
        ]
        chunks = [
            f"({' AND '.join(compared[start : start + _TERMS_IN_A_ROW])})"
            for start in range(0, len(compared), _TERMS_IN_A_ROW)
        ]
        return f"DELETE FROM main.{quote(self.table)} WHERE {' AND '.join(found + chunks)}"

    def insert(self, raw: tuple[int, ...]) -> str:
        """Parameters: the image; then the rowid, unless it is in the image."""
        names = [quote(name) for name in self.columns]
        values = [_parameter(index, raw) for index in range(len(self.columns))]
        if self.names_rowid:
            names.append(self.rowid)
            values.append(f"?{len(self.columns) + 1}")
        return f"INSERT INTO main.{quote(self.table)} ({', '.join(names)}) VALUES ({', '.join(values)})"


def _read_plan(cursor: Any, layout: Layout) -> _Plan:
    table = read_table(cursor, layout.table)
    if table is None or table.columns != layout.columns or table.without_rowid is layout.rowid:
        raise DatabaseDamaged(
            f"table {layout.table!r} isn't what the log made: expected the columns {', '.join(layout.columns)}, "
            f"found {', '.join(table.columns) if table is not None else 'no such table'}"
        )
    alias = len(layout.key) == 1 and table.rowid == quote(layout.key[0])
    return _Plan(
        table=layout.table,
        columns=layout.columns,
        key=() if layout.rowid else tuple(layout.columns.index(name) for name in layout.key),
        rowid=table.rowid or "",
        alias=alias,
        counts=alias and _is_counted(cursor, layout.table),
    )


def _is_counted(cursor: Any, table: str) -> bool:
    """Whether the table may have AUTOINCREMENT: its text says so, if only in a comment."""
    row = cursor.execute(
        "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE "
        "AND sql LIKE '%AUTOINCREMENT%'",
        (table,),
    ).fetchone()
    return bool(row[0]) and bool(
        cursor.execute("SELECT count(*) FROM main.sqlite_master WHERE name = 'sqlite_sequence'").fetchone()[0]
    )


def _grouped(
    statements: dict[tuple[int, ...], str],
    build: Callable[[tuple[int, ...]], str],
    rows: Sequence[Located],
    *,
    with_rowid: bool,
) -> Iterable[tuple[str, list[tuple[Value, ...]]]]:
    """The rows by the statement that they need: texts that aren't UTF-8 are bound as blobs and cast."""
    groups: dict[tuple[int, ...], list[tuple[Value, ...]]] = {}
    for rowid, image in rows:
        raw: tuple[int, ...] = ()
        parameters = (*image, rowid) if with_rowid else tuple(image)
        if RawText in map(type, image):
            raw = tuple(index for index, value in enumerate(image) if isinstance(value, RawText))
            parameters = tuple(value.data if isinstance(value, RawText) else value for value in parameters)
        groups.setdefault(raw, []).append(parameters)
    for raw, group in groups.items():
        sql = statements.get(raw)
        if sql is None:
            sql = statements[raw] = build(raw)
        yield sql, group


def _parameter(index: int, raw: tuple[int, ...]) -> str:
    return f"CAST(?{index + 1} AS TEXT)" if index in raw else f"?{index + 1}"


def _setting(cursor: Any, pragma: str) -> int:
    return int(cursor.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextmanager
def _diverging(what: str) -> Iterator[None]:
    """A statement that fails though the log has it: the file differs, unless it is the disk."""
    try:
        yield
    except SqliteError as error:
        if storage_error(error, "") is not None:
            raise
        raise DatabaseDamaged(f"the file isn't what the log made: {what}: {error}") from None
