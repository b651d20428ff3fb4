"""What a cursor did can be asked for once it is closed: frameworks do, SQLAlchemy for the rowcount of a statement."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from vdb import dbapi

ONE = (
    "INSERT INTO t VALUES (1), (2)",
    "UPDATE t SET a = 3",
    "DELETE FROM t WHERE a = 9",
    "DELETE FROM t",
    "SELECT a AS b, 1 FROM t",
    "SELECT * FROM t WHERE a = 5",
    "PRAGMA user_version",
    "CREATE TABLE u (a)",
)


def after_closing(module: Any, sql: str, rows: list[tuple[int]] | None) -> tuple[Any, ...]:
    connection = module.connect(":memory:")
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(5,), (6,)])
    cursor = connection.cursor()
    if rows is None:
        cursor.execute(sql)
    else:
        cursor.executemany(sql, rows)
    cursor.close()
    cursor.close()
    with pytest.raises(module.ProgrammingError, match="closed cursor"):
        cursor.fetchall()
    found = cursor.rowcount, cursor.description
    connection.close()
    return found


@pytest.mark.parametrize("sql", ONE)
def test_one_statement(sql: str) -> None:
    assert after_closing(dbapi, sql, None) == after_closing(sqlite3, sql, None)


def test_many() -> None:
    sql, rows = "INSERT INTO t VALUES (?)", [(1,), (2,), (3,)]
    assert after_closing(dbapi, sql, rows) == after_closing(sqlite3, sql, rows) == (3, None)
