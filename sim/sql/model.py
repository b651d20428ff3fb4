"""Plain SQLite, in memory: runs deeds as their clients said them, and tells what a database holds.

The model has a table like `projection_meta`, so that reads of a snapshot's place in the log can be compared as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from attrs import frozen

from sim.sql.deeds import Answer, Deed, row_text
from sim.sql.script import Statement
from vdb.ports import Connection
from vdb.projections.store import SqliteError, close_sqlcipher, in_transaction, open_plain_memory
from vdb.sql.names import META_TABLE, is_internal

_SCHEMA = "SELECT type, name, tbl_name, sql FROM main.sqlite_master ORDER BY type, name"


@frozen
class Dump:
    """All that a database holds: its schema without VerityDB's own tables, and each table's rows with their rowids."""

    schema: tuple[str, ...]
    tables: dict[str, tuple[str, ...]]

    def differs(self, other: Dump) -> str:
        """In what it differs from what is due; '' if in nothing."""
        if self.schema != other.schema:
            return f"schema: {_difference(self.schema, other.schema)}"
        for name, rows in other.tables.items():
            if self.tables.get(name) != rows:
                return f"{name}: {_difference(self.tables.get(name, ()), rows)}"
        return "" if self.tables.keys() == other.tables.keys() else "other tables"


def _difference(found: Sequence[str], due: Sequence[str]) -> str:
    surplus = [row for row in found if row not in due]
    missing = [row for row in due if row not in found]
    return f"surplus {surplus[:3]}, missing {missing[:3]}"


class _Text:
    """Text as its bytes, told from a blob."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"t{self.data!r}"


def dump(db: Connection) -> Dump:
    """What a database holds."""
    raw = cast(Any, db)
    before, raw.text_factory = raw.text_factory, str
    try:
        masters = [row for row in db.execute(_SCHEMA).fetchall() if not is_internal(row[2])]
        tables = [row[1] for row in masters if row[0] == "table"]
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            tables.append("sqlite_sequence")
        tables = list(dict.fromkeys(tables))
        without = {row[1] for row in masters if row[3] and row[3].rstrip().upper().endswith("WITHOUT ROWID")}
        raw.text_factory = _Text
        rows = {name: _rows(db, name, rowid=name not in without and name != "sqlite_sequence") for name in tables}
    finally:
        raw.text_factory = before
    schema = tuple(repr(row) for row in masters if row[1] != "sqlite_sequence")
    return Dump(schema, {name: found for name, found in rows.items() if found or name != "sqlite_sequence"})


def _rows(db: Connection, table: str, *, rowid: bool) -> tuple[str, ...]:
    columns = "rowid, *" if rowid else "*"
    return tuple(sorted(row_text(row) for row in db.execute(f'SELECT {columns} FROM main."{table}"').fetchall()))


class Model:
    """One database. `next_offset` is what its own `projection_meta` says."""

    def __init__(self, db: Connection | None = None) -> None:
        self.db = db if db is not None else open_plain_memory()
        if db is None:
            self.db.execute(f"CREATE TABLE {META_TABLE} (next_offset INTEGER)")
            self.db.execute(f"INSERT INTO {META_TABLE} VALUES (0)")

    def copy(self) -> Model:
        """Another one that holds the same."""
        other = open_plain_memory()
        cast(Any, self.db).backup(other)
        return Model(other)

    def close(self) -> None:
        close_sqlcipher(self.db)

    def move_to(self, next_offset: int) -> None:
        self.db.execute(f"UPDATE {META_TABLE} SET next_offset = ?", (next_offset,))

    def run(self, deed: Deed, *, whole: bool) -> list[Answer]:
        """Say what the client said, one after the other; a transaction that is left open is rolled back.

        Not `whole`: only what was answered, up to the first that wasn't.
        """
        for pragma in deed.pragmas:
            self.db.execute(pragma)
        answers: list[Answer] = []
        for said in deed.said:
            if said.answer is None and not whole:
                break
            answers.append(answer_of(self.db, said.statement))
        if in_transaction(self.db):
            self.db.execute("ROLLBACK")
        return answers


def answer_of(db: Connection, statement: Statement) -> Answer:
    """Run one statement in plain SQLite."""
    raw = cast(Any, db)
    try:
        run = raw.executemany if statement.many else raw.execute
        if statement.many and not in_transaction(db):
            return _many_alone(raw, statement)
        cursor = run(statement.sql, statement.parameters)
        rows = None if cursor.description is None else tuple(row_text(row) for row in cursor.fetchall())
    except SqliteError as error:
        return failed(db, error)
    return Answer(rows=rows, rowcount=cursor.rowcount, rowid=cursor.lastrowid, open=in_transaction(db))


def _many_alone(raw: Any, statement: Statement) -> Answer:
    """executemany outside of a transaction is one."""
    raw.execute("BEGIN")
    try:
        cursor = raw.executemany(statement.sql, statement.parameters)
    except SqliteError as error:
        if in_transaction(raw):
            raw.execute("COMMIT")
        return failed(raw, error)
    try:
        raw.execute("COMMIT")
    except SqliteError as error:
        raw.execute("ROLLBACK")
        return failed(raw, error)
    return Answer(rowcount=cursor.rowcount, rowid=cursor.lastrowid, open=False)


def failed(db: Connection, error: BaseException) -> Answer:
    """What an error of SQLite's says."""
    return Answer(error=f"{type(error).__name__}: {error}", open=in_transaction(db))
