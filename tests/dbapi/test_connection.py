"""Connections: transactions as `sqlite3` begins them, closing, threads, forks, what isn't taken."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

import vdb.dbapi
from vdb.dbapi import LEGACY_TRANSACTION_CONTROL, NotSupportedError, OperationalError, ProgrammingError
from vdb.errors import SqlRefused

INSERT = "INSERT INTO t (a) VALUES (1)"


def count(connection: Any) -> int:
    (found,) = connection.execute("SELECT count(*) FROM t").fetchone()
    return int(found)


def test_a_transaction_begins_before_rows_change_and_not_before_the_schema_does(connection: Any) -> None:
    assert not connection.in_transaction
    for sql in (INSERT, "UPDATE t SET a = 2", "DELETE FROM t", "REPLACE INTO t VALUES (1, 1)", "/* why */ " + INSERT):
        connection.execute(sql)
        assert connection.in_transaction
        connection.rollback()
    connection.execute("SELECT * FROM t")
    connection.execute("CREATE INDEX i ON t (a)")
    assert not connection.in_transaction
    assert count(connection) == 0


def test_a_context_commits_or_rolls_back(connection: Any) -> None:
    with connection:
        connection.execute(INSERT)
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute(INSERT).fetchall()[1 // 0]
    assert count(connection) == 1


def test_a_commit_that_fails_in_a_context_is_rolled_back(connect: Any) -> None:
    connection = connect()
    connection.executescript(
        """PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)"""
    )
    with pytest.raises(vdb.dbapi.IntegrityError, match="FOREIGN KEY constraint failed"), connection:
        connection.execute("INSERT INTO c VALUES (7)")
    assert not connection.in_transaction


@pytest.mark.parametrize("level", [None, "", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_isolation_levels_say_how_transactions_begin(connect: Any, level: str | None) -> None:
    connection = connect(isolation_level=level)
    connection.execute("CREATE TABLE t (a)")
    traced: list[str] = []
    connection.set_trace_callback(traced.append)
    with connection:
        connection.execute(INSERT)
    assert traced == ([INSERT] if level is None else [f"BEGIN {level}", INSERT, "COMMIT"])


def test_without_autocommit_a_transaction_is_always_open(connect: Any) -> None:
    connection = connect(autocommit=False)
    assert connection.in_transaction
    assert connection.autocommit is False
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    assert connection.in_transaction
    connection.execute(INSERT)
    connection.rollback()
    assert count(connection) == 0


def test_with_autocommit_each_statement_is_a_transaction(connect: Any) -> None:
    connection = connect(autocommit=True)
    connection.execute("CREATE TABLE t (a)")
    connection.execute(INSERT)
    assert not connection.in_transaction
    connection.rollback()
    connection.commit()
    assert count(connection) == 1
    connection.execute("BEGIN")
    connection.commit()  # does nothing, as in sqlite3
    assert connection.in_transaction


def test_autocommit_can_be_changed(connection: Any) -> None:
    assert connection.autocommit == LEGACY_TRANSACTION_CONTROL
    connection.execute(INSERT)
    connection.autocommit = True
    assert not connection.in_transaction
    connection.autocommit = False
    assert connection.in_transaction
    with pytest.raises(ValueError, match="autocommit must be"):
        connection.autocommit = 7


def test_two_connections_share_a_named_memory_database(connect: Any) -> None:
    url = "file:both?mode=memory&cache=shared"
    first, second = connect(url, uri=True), connect(url, uri=True, timeout=0)
    with first:
        first.execute("CREATE TABLE t (a)")
        first.execute(INSERT)
        assert second.execute("SELECT name FROM sqlite_master WHERE name = 't'").fetchall() == [("t",)]
        assert count(second) == 0
        with pytest.raises(OperationalError, match="database is locked") as caught:
            second.execute(INSERT)
        assert caught.value.sqlite_errorname == "SQLITE_BUSY"
        assert caught.value.definite
        second.rollback()
    assert count(second) == 1
    first.close()
    second.close()
    assert connect(url, uri=True).execute("SELECT count(*) FROM sqlite_master WHERE name = 't'").fetchone() == (0,)


def test_statements_that_aren_t_taken_say_why(connection: Any) -> None:
    for sql in (
        "VACUUM",
        "ATTACH ':memory:' AS x",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "PRAGMA journal_mode = OFF",
    ):
        with pytest.raises(NotSupportedError) as caught:
            connection.execute(sql)
        assert isinstance(caught.value.__cause__, SqlRefused)
    with pytest.raises(NotSupportedError, match="extensions can't be loaded"):
        connection.enable_load_extension(True)


def test_total_changes_are_the_programs_own(connection: Any) -> None:
    before = connection.total_changes
    connection.executemany("INSERT INTO t (a) VALUES (?)", [(n,) for n in range(10)])
    connection.execute("UPDATE t SET a = 0 WHERE id < 4")
    connection.commit()
    connection.execute(INSERT)
    assert connection.total_changes - before == 14
    connection.rollback()
    assert connection.total_changes - before == 14


def test_limits_are_the_programs_own(connection: Any) -> None:
    assert connection.setlimit(vdb.dbapi.SQLITE_LIMIT_VARIABLE_NUMBER, 1) == 250_000
    with pytest.raises(OperationalError, match="too many SQL variables"):
        connection.execute("SELECT ?, ?", (1, 2))
    connection.setlimit(vdb.dbapi.SQLITE_LIMIT_SQL_LENGTH, 60)
    with connection:
        connection.execute(INSERT)
    assert connection.getlimit(vdb.dbapi.SQLITE_LIMIT_SQL_LENGTH) == 60
    with pytest.raises(vdb.dbapi.DataError, match="query string is too large"):
        connection.execute("SELECT 1".ljust(61))


def test_a_connection_is_for_its_thread(connection: Any, connect: Any) -> None:
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    anyone = connect(check_same_thread=False)
    found: list[Any] = []

    def elsewhere() -> None:
        for call in (connection.commit, connection.cursor, cursor.fetchone, cursor.fetchall, lambda: list(cursor)):
            try:
                call()
            except ProgrammingError as error:
                found.append(str(error).split(".")[0])
        found.append(anyone.execute("SELECT 3").fetchall())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == ["SQLite objects created in a thread can only be used in that same thread"] * 5 + [[(3,)]]


def test_threads_that_share_a_connection_take_turns(connect: Any) -> None:
    connection = connect(check_same_thread=False)
    connection.execute("CREATE TABLE t (a)")
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(60):
                connection.execute("INSERT INTO t VALUES (?)", (number,))
                assert connection.execute("SELECT a FROM t WHERE a = ?", (number,)).fetchone() == (number,)
                connection.commit()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert count(connection) == 240


def test_a_closed_connection_can_t_be_used(connection: Any) -> None:
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    connection.close()
    connection.close()
    uses = (
        *(connection.commit, connection.cursor, connection.interrupt, connection.iterdump, cursor.fetchall),
        *(
            lambda: connection.execute("SELECT 1"),
            lambda: cursor.execute("SELECT 1"),
            lambda: connection.in_transaction,
        ),
        *(lambda: connection.create_function("f", 0, int), lambda: connection.blobopen("t", "a", 1), cursor.fetchone),
    )
    for use in uses:
        with pytest.raises(ProgrammingError, match="closed database"):
            use()


def test_what_closes_while_a_statement_runs_is_refused(connection: Any) -> None:
    connection.execute(INSERT)

    def close() -> None:
        connection.close()

    connection.create_function("shut", 0, close)
    with pytest.raises(OperationalError, match="user-defined function raised exception"):
        connection.execute("SELECT shut() FROM t")
    assert count(connection) == 1


def test_an_interrupted_statement_says_so(connection: Any) -> None:
    timer = threading.Timer(0.1, connection.interrupt)
    timer.start()
    with pytest.raises(OperationalError, match="interrupted"):
        connection.execute(
            "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 1000000000) SELECT max(x) FROM r"
        )
    timer.join()
    assert count(connection) == 0


def test_a_connection_ends_in_a_forked_child(connection: Any) -> None:
    with connection:
        connection.execute(INSERT)
    cursor = connection.execute("SELECT a FROM t")
    child = os.fork()
    if child == 0:
        outcome = 0
        for use in (connection.commit, cursor.fetchone, lambda: connection.execute("SELECT 1")):
            try:
                use()
                outcome = 1
            except ProgrammingError as error:
                outcome |= 0 if "before a fork" in str(error) else 2
        os._exit(outcome)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cursor.fetchall() == [(1,)]


def test_subclasses_and_factories_get_what_the_program_said() -> None:
    given: dict[str, Any] = {}

    class Mine(vdb.dbapi.Connection):
        def __init__(self, database: Any, **options: Any) -> None:
            given.update(options)
            super().__init__(database, **options)

    with vdb.dbapi.connect(":memory:", factory=Mine, isolation_level=None) as connection:
        assert type(connection) is Mine
    connection.close()
    assert given == {"isolation_level": None}
