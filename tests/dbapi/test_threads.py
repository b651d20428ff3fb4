"""What another thread may do with a connection, on `vdb.dbapi` as on Python's `sqlite3`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from vdb import dbapi

Asked = Callable[[Any], Any]

ASKED: dict[str, Asked] = {
    "in_transaction": lambda db: db.in_transaction,
    "total_changes": lambda db: db.total_changes,
    "isolation_level": lambda db: db.isolation_level,
    "isolation_level to none": lambda db: setattr(db, "isolation_level", None),
    "isolation_level to some": lambda db: setattr(db, "isolation_level", "IMMEDIATE"),
    "text_factory": lambda db: db.text_factory,
    "row_factory": lambda db: setattr(db, "row_factory", None),
    "interrupt": lambda db: db.interrupt(),
    "enter": lambda db: db.__enter__() is db,
    "exit": lambda db: db.__exit__(None, None, None),
    "cursor": lambda db: db.cursor(),
    "execute": lambda db: db.execute("SELECT 1"),
    "commit": lambda db: db.commit(),
    "backup from it": lambda db: db.backup(type(db)(":memory:")),
    "getlimit": lambda db: db.getlimit(0),
    "close": lambda db: db.close(),
}


def outcome(connection: Any, asked: Asked) -> Any:
    try:
        return asked(connection)
    except (sqlite3.ProgrammingError, dbapi.ProgrammingError) as error:
        return str(error).split(".")[0]


@pytest.mark.parametrize("what", ASKED)
def test_in_another_thread(what: str) -> None:
    found = []
    with ThreadPoolExecutor(1) as thread:
        for module in (sqlite3, dbapi):
            made = thread.submit(module.connect, ":memory:").result()
            thread.submit(made.execute, "CREATE TABLE t (a)").result()
            thread.submit(made.execute, "INSERT INTO t VALUES (1)").result()
            found.append(outcome(made, ASKED[what]))
            thread.submit(made.close).result()
    assert found[0] == found[1]


def test_a_copy_goes_into_a_connection_of_another_thread() -> None:
    with ThreadPoolExecutor(1) as thread:
        target = thread.submit(dbapi.connect, ":memory:").result()
        source = dbapi.connect(":memory:")
        source.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        source.backup(target)
        assert thread.submit(lambda: target.execute("SELECT a FROM t").fetchall()).result() == [(1,)]
        with pytest.raises(dbapi.ProgrammingError, match="can only be used in that same thread"):
            target.execute("SELECT a FROM t")
        thread.submit(target.close).result()
        source.close()
