"""Functions of a program that SQLite calls."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import vdb.dbapi
from vdb.dbapi import DatabaseError, DataError, OperationalError, ProgrammingError


class Total:
    def __init__(self) -> None:
        self.sum = 0

    def step(self, value: int) -> None:
        self.sum += value

    def inverse(self, value: int) -> None:
        self.sum -= value

    def value(self) -> int:
        return self.sum

    def finalize(self) -> int:
        return self.sum


@pytest.fixture
def filled(connection: Any) -> Any:
    with connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, n) for n in range(1, 5)])
    return connection


def test_functions_and_what_they_raise(filled: Any) -> None:
    filled.create_function("double", 1, lambda x: x * 2)
    assert filled.execute("SELECT double(a) FROM t WHERE id = 2").fetchone() == (4,)
    filled.create_function("double", 1, None)
    with pytest.raises(OperationalError, match="no such function: double"):
        filled.execute("SELECT double(a) FROM t WHERE id = 3")
    filled.create_function("fails", 0, lambda: 1 // 0)
    with pytest.raises(OperationalError, match="user-defined function raised exception"):
        filled.execute("SELECT fails()").fetchone()
    filled.create_function("large", 0, lambda: 2**70)
    with pytest.raises(DataError, match="too big"):
        filled.execute("SELECT large()").fetchone()
    filled.create_function("cut", 0, lambda: "a\0b")
    with pytest.raises(OperationalError, match="raised exception"):
        filled.execute("SELECT cut()").fetchone()


def test_what_functions_change_through_sql_is_logged_like_anything_else(filled: Any) -> None:
    filled.create_function("twice", 1, lambda x: 2 * x)
    with filled:
        assert filled.execute("UPDATE t SET a = twice(a)").rowcount == 4
    assert filled.execute("SELECT sum(a) FROM t").fetchone() == (20,)


def test_aggregates_and_window_functions(filled: Any) -> None:
    filled.create_aggregate("total_of", 1, Total)
    assert filled.execute("SELECT total_of(a) FROM t").fetchone() == (10,)
    filled.create_window_function("running", 1, Total)
    sql = "SELECT running(a) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t"
    assert filled.execute(sql).fetchall() == [(1,), (3,), (5,), (7,)]
    filled.create_aggregate("lame", 1, type("Lame", (), {"finalize": lambda self: 1}))
    with pytest.raises(OperationalError, match="'step' method not defined"):
        filled.execute("SELECT lame(a) FROM t").fetchall()
    with pytest.raises(ProgrammingError):
        filled.create_window_function("bad", -100, Total)


def test_collations(filled: Any) -> None:
    filled.create_collation("backwards", lambda x, y: (x < y) - (x > y))
    rows = filled.execute("SELECT 'a' AS x UNION SELECT 'b' ORDER BY x COLLATE backwards").fetchall()
    assert rows == [("b",), ("a",)]
    with pytest.raises(TypeError, match="parameter must be callable"):
        filled.create_collation("x", 42)


def test_an_authorizer_of_the_program_s_is_asked_after_ours(filled: Any) -> None:
    filled.execute("SELECT a FROM t").fetchall()
    filled.set_authorizer(lambda action, *_: int(action == vdb.dbapi.SQLITE_READ))
    with pytest.raises(DatabaseError, match="prohibited"):
        filled.execute("SELECT a FROM t")
    with filled:
        filled.execute("INSERT INTO t VALUES (9, 9)")
    filled.set_authorizer(None)
    assert filled.execute("SELECT count(a) FROM t").fetchone() == (5,)


def test_a_progress_handler_may_stop_a_statement(filled: Any) -> None:
    filled.set_progress_handler(lambda: 1, 1)
    with pytest.raises(OperationalError, match="interrupted"):
        filled.execute("SELECT sum(x.a) FROM t x, t y, t z").fetchall()
    filled.set_progress_handler(None, 1)
    assert filled.execute("SELECT sum(a) FROM t").fetchone() == (10,)


def test_a_trace_tells_of_the_program_s_statements_alone(connection: Any) -> None:
    traced: list[str] = []
    connection.set_trace_callback(traced.append)
    with connection:
        connection.execute("INSERT INTO t (a) VALUES (?)", ("x",))
        connection.executemany("INSERT INTO t (a) VALUES (?)", [(1,), (2,)])
    connection.execute("SELECT count(*) FROM t").fetchone()
    connection.set_trace_callback(None)
    connection.execute("SELECT 1")
    assert traced == [
        "BEGIN ",
        "INSERT INTO t (a) VALUES ('x')",
        "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO t (a) VALUES (2)",
        "COMMIT",
        "SELECT count(*) FROM t",
    ]


def test_tracebacks_of_callbacks_are_told_if_wanted(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", told.append)
    filled.create_function("fails", 0, lambda: 1 // 0)
    for enabled in (False, True, False):
        vdb.dbapi.enable_callback_tracebacks(enabled)
        with pytest.raises(OperationalError):
            filled.execute("SELECT fails()").fetchone()
    assert [each.exc_type for each in told] == [ZeroDivisionError]


def test_functions_don_t_keep_a_forgotten_connection_alive() -> None:
    connection = vdb.dbapi.connect(":memory:")
    connection.create_function("f", 0, lambda: 1)
    connection.create_aggregate("g", 1, Total)
    connection.set_trace_callback(lambda sql: None)
    reference = weakref.ref(connection)
    del connection
    gc.collect()
    assert reference() is None


def test_statements_with_a_program_s_functions_may_run_other_statements(filled: Any) -> None:
    filled.create_function("name_of", 1, lambda n: filled.execute("SELECT 'n' || ?", (n,)).fetchone()[0])
    assert filled.execute("SELECT name_of(a) FROM t").fetchall() == [("n1",), ("n2",), ("n3",), ("n4",)]


def test_handlers_can_t_use_their_connection(filled: Any) -> None:
    said: list[str] = []

    def use(*_: Any) -> int:
        for call in (filled.commit, filled.close, lambda: filled.execute("SELECT 1"), filled.cursor):
            try:
                call()
            except ProgrammingError as error:
                said.append(str(error))
        return 0

    filled.set_trace_callback(use)
    filled.execute("SELECT count(*) FROM t").fetchone()
    filled.set_trace_callback(None)
    filled.create_collation("c", use)
    filled.execute("SELECT a FROM t ORDER BY CAST(a AS TEXT) COLLATE c").fetchall()
    filled.set_progress_handler(use, 1)
    filled.execute("SELECT sum(a) FROM t").fetchone()
    filled.set_progress_handler(None, 1)
    assert len(said) > 12
    assert not [each for each in said if "can't be used from within" not in each and "Cannot close" not in each]


def test_a_statement_that_changes_rows_keeps_its_transaction(filled: Any) -> None:
    said: list[str] = []

    def end(value: int) -> int:
        writes = (lambda: filled.execute("CREATE TABLE x (a)"), lambda: filled.execute("INSERT INTO u VALUES (1)"))
        for call in (filled.commit, filled.rollback, *writes):
            try:
                call()
            except OperationalError as error:
                said.append(str(error))
        return int(filled.execute("SELECT ? * 10", (value,)).fetchone()[0])

    filled.execute("CREATE TABLE u (a)")
    filled.create_function("end_of", 1, end)
    with filled:
        filled.execute("UPDATE t SET a = end_of(a)")
    assert said == ["cannot change anything from within a statement that changes something"] * 16
    assert filled.execute("SELECT sum(a), (SELECT count(*) FROM u) FROM t").fetchone() == (100, 0)


def test_a_statement_that_reads_may_call_what_writes(filled: Any) -> None:
    filled.execute("CREATE TABLE u (a)")
    filled.create_function("keep", 1, lambda n: filled.execute("INSERT INTO u VALUES (?)", (n,)).rowcount)
    assert filled.execute("SELECT keep(a) FROM t").fetchall() == [(1,)] * 4
    filled.commit()
    assert filled.execute("SELECT sum(a) FROM u").fetchone() == (10,)
