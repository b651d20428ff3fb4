"""A database as SQL: the text of a dump, and a copy into another connection, table by table; as a file's bytes.

VerityDB's own tables are left out: they say where a file stands in its log, and another database has another log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from vdb.dbapi.constants import SQLITE_DONE, SQLITE_OK
from vdb.dbapi.errors import DatabaseError, OperationalError
from vdb.sql.names import is_internal

_ROWS_AT_ONCE = 500
_OBJECTS = "SELECT name, type, sql FROM sqlite_master WHERE sql NOT NULL AND type {kinds} ORDER BY {order}"
_TABLES = _OBJECTS.format(kinds="= 'table'", order="name")
_OTHERS = _OBJECTS.format(kinds="IN ('index', 'trigger', 'view')", order="rowid")
_DROPPED = ("trigger", "view", "index", "table")
_SEQUENCE = "sqlite_sequence"


def dump(connection: Any) -> Iterator[str]:
    """Statements that make the same tables, rows, indexes, triggers and views, as text."""
    yield "BEGIN TRANSACTION;"
    sequences: list[str] = []
    for name, _, sql in _ask(connection, _TABLES):
        if name == _SEQUENCE:
            rows = _ask(connection, f"SELECT name, seq FROM {_SEQUENCE}")
            sequences = [f'DELETE FROM "{_SEQUENCE}";']
            sequences += [f"INSERT INTO \"{_SEQUENCE}\" VALUES('{table}',{value});" for table, value in rows]
        elif name == "sqlite_stat1":
            yield 'ANALYZE "sqlite_master";'
        elif not name.startswith("sqlite_") and not is_internal(name):
            yield f"{sql};"
            yield from _inserts(connection, name)
    for name, _, sql in _ask(connection, _OTHERS):
        if not is_internal(name):
            yield f"{sql};"
    yield from sequences
    yield "COMMIT;"


def copy_database(source: Any, target: Any, *, pages: int, progress: Callable[[int, int, int], Any] | None) -> None:
    """Make the target's database the same as the source's. One transaction; a failure leaves the target as it was."""
    steps = _copy_steps(source, target)
    total = 1 + len(_user_tables(source))
    level = target.isolation_level
    target.isolation_level = None
    try:
        target.execute("BEGIN IMMEDIATE")
        for done, _ in enumerate(steps, 1):
            if progress is not None and pages > 0 and done % pages == 0 and done < total:
                progress(SQLITE_OK, total - done, total)
        target.execute("COMMIT")
        if progress is not None:
            progress(SQLITE_DONE, 0, total)
    except BaseException:
        if target.in_transaction:
            target.execute("ROLLBACK")
        raise
    finally:
        target.isolation_level = level


def serialize(connection: Any, name: str) -> bytes:
    """The bytes of a SQLite file with the same tables and rows, made by Python's own `sqlite3`."""
    _check_name(name)
    with closing(sqlite3.connect(":memory:")) as plain:
        copy_database(connection, plain, pages=-1, progress=None)
        return plain.serialize()


def deserialize(connection: Any, data: Any, name: str) -> None:
    """Make a database the same as that of a SQLite file. DatabaseError if the bytes are none."""
    _check_name(name)
    with closing(sqlite3.connect(":memory:")) as plain:
        try:
            plain.deserialize(data)
            plain.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            raise DatabaseError(str(error)) from error
        copy_database(plain, connection, pages=-1, progress=None)


def _check_name(name: str) -> None:
    if name != "main":
        raise OperationalError(f"unknown database {name}")


def _copy_steps(source: Any, target: Any) -> Iterator[None]:
    """Each step is the schema, or a table's rows. Triggers and indexes come last."""
    _empty(target)
    tables = _user_tables(source)
    for _, _, sql in tables:
        target.execute(sql)
    yield
    for name, _, _ in tables:
        _copy_rows(source, target, name)
        yield
    for name, _, sql in _ask(source, _OTHERS):
        if not is_internal(name):
            target.execute(sql)
    if _ask(source, f"SELECT 1 FROM sqlite_master WHERE name = '{_SEQUENCE}'"):
        target.execute(f"DELETE FROM {_SEQUENCE}")
        rows = _ask(source, f"SELECT name, seq FROM {_SEQUENCE}")
        target.executemany(f"INSERT INTO {_SEQUENCE} VALUES (?, ?)", rows)


def _empty(target: Any) -> None:
    found = _ask(target, "SELECT type, name, sql FROM sqlite_master")
    for kind in _DROPPED:
        for each, name, sql in found:
            if each == kind and sql is not None and not name.startswith("sqlite_") and not is_internal(name):
                target.execute(f"DROP {kind.upper()} IF EXISTS {_quoted(name)}")


def _user_tables(connection: Any) -> list[tuple[Any, ...]]:
    return [row for row in _ask(connection, _TABLES) if not row[0].startswith("sqlite_") and not is_internal(row[0])]


def _copy_rows(source: Any, target: Any, table: str) -> None:
    columns = _columns(source, table)
    rowid = _rowid_name(source, table, columns)
    written = ([rowid] if rowid else []) + [_quoted(name) for name in columns]
    names = ", ".join(written)
    insert = f"INSERT INTO {_quoted(table)} ({names}) VALUES ({', '.join('?' * len(written))})"
    plain = source.cursor()
    plain.row_factory = None
    plain.execute(f"SELECT {names} FROM {_quoted(table)}")
    while rows := plain.fetchmany(_ROWS_AT_ONCE):
        target.executemany(insert, rows)


def _columns(connection: Any, table: str) -> list[str]:
    """The columns that hold values; generated ones don't."""
    return [row[1] for row in _ask(connection, f"PRAGMA table_xinfo({_quoted(table)})") if row[6] == 0]


def _rowid_name(connection: Any, table: str, columns: list[str]) -> str:
    """A name under which the rowid can be written; empty if there is none, or a column already is it."""
    info = _ask(connection, f"PRAGMA table_xinfo({_quoted(table)})")
    keys = [row for row in info if row[5]]
    if len(keys) == 1 and str(keys[0][2]).upper() == "INTEGER":
        return ""
    without = _ask(connection, f"SELECT wr FROM pragma_table_list({_text(table)}) WHERE schema = 'main'")
    if without and without[0][0]:
        return ""
    taken = [name.lower() for name in columns]
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), "")


def _inserts(connection: Any, table: str) -> Iterator[str]:
    columns = [row[1] for row in _ask(connection, f"PRAGMA table_info({_quoted(table)})")]
    values = ",".join(f"'||quote({_quoted(column)})||'" for column in columns)
    shown = _quoted(table).replace("'", "''")
    cursor = connection.cursor()
    cursor.row_factory = None
    for (text,) in cursor.execute(f"SELECT 'INSERT INTO {shown} VALUES({values})' FROM {_quoted(table)}"):
        yield f"{text};"


def _ask(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    rows: list[tuple[Any, ...]] = cursor.execute(sql).fetchall()
    return rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
