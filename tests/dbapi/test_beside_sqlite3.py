"""The same program on `vdb.dbapi` and on Python's `sqlite3`: same rows, counts, errors and states."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import vdb.dbapi

SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b TEXT NOT NULL DEFAULT 'b', CHECK (a <> 13));
    CREATE TABLE log (what TEXT);
    CREATE TABLE c (t REFERENCES t ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id || ':' || old.a); END;
"""

KEYS = st.integers(1, 5)
VALUES = st.one_of(st.integers(10, 14), st.sampled_from(["x", None, b"\x00", 1.5]))


def with_parameters(*texts: str) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.sampled_from(texts), st.tuples(KEYS, VALUES))


STATEMENTS = with_parameters(
    "INSERT INTO t (id, a) VALUES (?, ?)",
    "INSERT OR REPLACE INTO t (id, a) VALUES (?, ?)",
    "REPLACE INTO t (id, a) VALUES (?, ?)",
    "INSERT OR IGNORE INTO t (id, a) VALUES (?, ?)",
    "INSERT OR ROLLBACK INTO t (id, a) VALUES (?, ?)",
    "INSERT OR FAIL INTO t (id, a) SELECT id + ?, ? FROM t",
    "INSERT INTO t (id, a) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET a = excluded.a",
    "INSERT INTO t (id, a) VALUES (?, ?) RETURNING id, a, b",
    "UPDATE t SET a = ?2 WHERE id = ?1",
    "UPDATE t SET id = id + ?, b = ?",
    "UPDATE t SET b = b || ?2 WHERE id >= ?1 RETURNING id",
    "DELETE FROM t WHERE id > ? AND a IS NOT ?",
    "WITH x (k, v) AS (SELECT ?, ?) INSERT INTO t (id, a) SELECT k, v FROM x",
    "INSERT INTO c SELECT ? WHERE ? IS NOT NULL",
    "SELECT ?, ?",
    "SELECT count(*), total(id), ?, ? FROM t",
    "INSERT INTO missing VALUES (?, ?)",
    "SELEC ?, ?",
)
STEPS = st.one_of(
    st.tuples(st.just("execute"), STATEMENTS),
    st.tuples(st.just("executemany"), st.tuples(STATEMENTS, st.lists(st.tuples(KEYS, VALUES), max_size=3))),
    st.tuples(
        st.just("plain"),
        st.sampled_from(
            [
                *("BEGIN", "BEGIN IMMEDIATE", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "RELEASE a"),
                *("ROLLBACK TO a", "ROLLBACK TO b", "RELEASE b", "SELECT * FROM t ORDER BY id", "SELECT * FROM log"),
                *("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "SELECT * FROM c", "DELETE FROM log", "; -- no"),
                *("CREATE INDEX IF NOT EXISTS i ON t (b)", "DROP INDEX IF EXISTS i", "ALTER TABLE log ADD COLUMN more"),
                *("CREATE TEMP TABLE IF NOT EXISTS own (x)", "INSERT INTO own VALUES (1)", "SELECT count(*) FROM own"),
            ]
        ),
    ),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("rollback"), st.none()),
    st.tuples(st.just("level"), st.sampled_from([None, "", "IMMEDIATE", "EXCLUSIVE"])),
    st.tuples(st.just("context"), st.tuples(STATEMENTS, st.booleans())),
    st.tuples(st.just("script"), st.sampled_from(["DELETE FROM log; SELECT 1", "BEGIN; DELETE FROM t;", "x", ""])),
)

WORDED_ALIKE = ("IntegrityError", "OperationalError")


def attempt(work: Callable[[], Any]) -> Any:
    """What it gives, or the error that it raises: its class, and its message where SQLite worded it."""
    try:
        return work()
    except (sqlite3.Error, vdb.dbapi.Error) as error:
        kind = type(error).__name__
        return (kind, str(error)) if kind in WORDED_ALIKE else (kind,)


def told(cursor: Any, sql: str) -> Any:
    described = None if cursor.description is None else [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    return described, rows, None if sql.startswith("WITH") else cursor.rowcount  # sqlite3 doesn't count those


class Program:
    """One connection, its cursor, and what each step gave."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        connection.executescript(SCHEMA)

    def step(self, kind: str, argument: Any) -> Any:
        connection, cursor = self.connection, self.cursor
        match kind:
            case "execute":
                return attempt(lambda: told(cursor.execute(*argument), argument[0]))
            case "executemany":
                (sql, _), sets = argument
                return attempt(lambda: told(cursor.executemany(sql, sets), sql)[: 2 if "RETURNING" in sql else 3])
            case "plain":
                return attempt(lambda: told(cursor.execute(argument), argument))
            case "commit":
                return attempt(connection.commit)
            case "rollback":
                return attempt(connection.rollback)
            case "level":
                return attempt(lambda: setattr(connection, "isolation_level", argument))
            case "script":
                return attempt(lambda: connection.executescript(argument) is None)
            case _:
                return attempt(lambda: self.within(*argument))

    def within(self, statement: Any, fail: bool) -> Any:
        try:
            with self.connection:
                found = told(self.cursor.execute(*statement), statement[0])
                if fail:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return "rolled back"
        return found

    def state(self) -> Any:
        connection = self.connection
        tables = [connection.execute(f"SELECT rowid, * FROM {name}").fetchall() for name in ("t", "log", "c")]
        last = connection.execute("SELECT last_insert_rowid()").fetchone()
        return tables, last, connection.in_transaction, connection.isolation_level


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14))
def test_programs_do_the_same(steps: list[tuple[str, Any]]) -> None:
    ours = Program(vdb.dbapi.connect(":memory:"))
    theirs = Program(sqlite3.connect(":memory:"))
    try:
        for number, (kind, argument) in enumerate(steps):
            found, expected = ours.step(kind, argument), theirs.step(kind, argument)
            assert found == expected, (number, kind, argument)
            assert ours.state() == theirs.state(), (number, kind, argument)
    finally:
        ours.connection.close()
        theirs.connection.close()
