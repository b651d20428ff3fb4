"""Cursors: parameters, rows, what they say of a statement, and uses that must not crash."""

from __future__ import annotations

import datetime
import sqlite3
import weakref
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vdb.dbapi
from vdb.dbapi import IntegrityError, OperationalError, ProgrammingError

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=("Cs",))),
    st.binary(),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_values_come_back_as_they_were(values: list[Any]) -> None:
    connection = vdb.dbapi.connect(":memory:")
    connection.execute("CREATE TABLE v (x)")
    connection.executemany("INSERT INTO v VALUES (?)", [(value,) for value in values])
    connection.commit()
    found = [value for (value,) in connection.execute("SELECT x FROM v ORDER BY rowid")]
    assert [(type(value), value) for value in found] == [(type(value), value) for value in values]
    connection.close()


def test_parameters_by_place_and_by_name(connection: Any) -> None:
    ask = connection.execute
    assert ask("SELECT ?, ?", (1, "a")).fetchone() == (1, "a")
    assert ask("SELECT ?, ?", [1, b"a"]).fetchone() == (1, b"a")
    assert ask("SELECT :x, :y, :x", {"x": 1, "y": None}).fetchone() == (1, None, 1)
    for sql, parameters, message in (
        ("SELECT ?", (), "Incorrect number of bindings supplied"),
        ("SELECT ?", (1, 2), "Incorrect number of bindings supplied"),
        ("SELECT :x", {}, "did not supply a value for binding"),
        ("SELECT ?", 42, "parameters are of unsupported type"),
        ("SELECT ?", (object(),), "type 'object' is not supported"),
    ):
        with pytest.raises(ProgrammingError, match=message):
            ask(sql, parameters)
    with pytest.raises(OverflowError, match="too large"):
        ask("SELECT ?", (2**63,))
    with pytest.raises(UnicodeEncodeError):
        ask("SELECT ?", ("\ud800",))


def test_dates_are_adapted_and_converted(connect: Any) -> None:
    connection = connect(detect_types=vdb.dbapi.PARSE_DECLTYPES | vdb.dbapi.PARSE_COLNAMES)
    connection.execute("CREATE TABLE d (day date, at timestamp, n INTEGER)")
    day, at = datetime.date(2026, 11, 22), datetime.datetime(2026, 11, 22, 9, 30, 0, 250)
    connection.execute("INSERT INTO d VALUES (?, ?, ?)", (day, at, 1))
    for _ in range(2):  # the second time the text is known
        assert connection.execute("SELECT * FROM d").fetchall() == [(day, at, 1)]
    cursor = connection.execute('SELECT at AS "at [date]" FROM d WHERE 0')
    assert cursor.description == (("at", None, None, None, None, None, None),)


def test_adapters_and_converters_of_a_program(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.dbapi.adapting.adapters", adapters := dict(vdb.dbapi.adapters))
    monkeypatch.setitem(vdb.dbapi.converters, "MONEY", lambda data: Decimal(data.decode()))
    vdb.dbapi.register_adapter(Decimal, str)
    assert (Decimal, vdb.dbapi.PrepareProtocol) in adapters
    connection = connect(detect_types=vdb.dbapi.PARSE_DECLTYPES)
    connection.execute("CREATE TABLE m (x money(9, 2), y money, z REAL)")
    connection.execute("INSERT INTO m VALUES (?, 0.1, 0.5)", (Decimal("12.50"),))
    assert connection.execute("SELECT * FROM m").fetchone() == (Decimal("12.50"), Decimal("0.1"), 0.5)
    assert connection.execute("SELECT x + 1, NULL FROM m").fetchone() == (13.5, None)


def test_an_object_may_conform(connection: Any) -> None:
    class Point:
        def __conform__(self, protocol: Any) -> str | None:
            return "1;2" if protocol is vdb.dbapi.PrepareProtocol else None

    assert connection.execute("SELECT ?", (Point(),)).fetchone() == ("1;2",)


def test_row_factories(connection: Any) -> None:
    connection.row_factory = vdb.dbapi.Row
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    for sql in ("SELECT id, a AS Name FROM t", "INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING id"):
        cursor = connection.execute(sql)
        rows = cursor.fetchall()
        assert all(isinstance(row, vdb.dbapi.Row) for row in rows)
    row = connection.execute("SELECT id, a AS Name FROM t").fetchone()
    assert (row["id"], row["NAME"], row[1], row.keys(), tuple(row)) == (1, "x", "x", ["id", "Name"], (1, "x"))
    returned = connection.execute("UPDATE t SET a = 'y' RETURNING a, id").fetchone()
    assert dict(returned) == {"a": "y", "id": 1}
    connection.row_factory = lambda cursor, row: {cursor.description[0][0]: row[0]}
    assert next(iter(connection.execute("SELECT id FROM t"))) == {"id": 1}


def test_text_factories(connection: Any) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'é'), (2, CAST(x'ff' AS TEXT))")
    with pytest.raises(OperationalError, match="Could not decode to UTF-8"):
        connection.execute("SELECT a FROM t").fetchall()
    connection.text_factory = bytes
    assert connection.execute("SELECT a FROM t ORDER BY id").fetchall() == [("é".encode(),), (b"\xff",)]
    connection.commit()
    connection.text_factory = lambda data: data.decode(errors="replace")
    assert connection.execute("SELECT a FROM t ORDER BY id").fetchall() == [("é",), ("�",)]


def test_what_a_cursor_says_of_its_statement(connection: Any) -> None:
    cursor = connection.cursor()
    assert (cursor.rowcount, cursor.lastrowid, cursor.description, cursor.fetchall()) == (-1, None, None, [])
    cursor.execute("INSERT INTO t (a) VALUES (1), (2)")
    assert (cursor.rowcount, cursor.lastrowid, cursor.description) == (2, 2, None)
    cursor.executemany("UPDATE t SET a = ? WHERE id = ?", [(5, 1), (6, 2), (7, 3)])
    assert (cursor.rowcount, cursor.lastrowid) == (2, 2)
    cursor.execute("SELECT id, a FROM t")
    assert cursor.rowcount == -1
    assert [column[0] for column in cursor.description] == ["id", "a"]
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: t\.id") as caught:
        cursor.execute("INSERT INTO t VALUES (1, 1)")
    assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT_PRIMARYKEY"
    assert caught.value.sqlite_errorcode == vdb.dbapi.SQLITE_CONSTRAINT_PRIMARYKEY
    assert caught.value.definite
    assert cursor.lastrowid == 2
    cursor.execute("DELETE FROM t RETURNING id")
    assert sorted(cursor.fetchall()) == [(1,), (2,)]
    assert cursor.rowcount == 2


def test_many_runs_of_a_statement_that_returns_rows(connection: Any) -> None:
    cursor = connection.executemany("INSERT INTO t VALUES (?, ?) RETURNING id", [(1, 1), (2, 2)])
    assert (cursor.rowcount, cursor.fetchall()) == (2, [])
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_rows_are_fetched_as_they_are_asked_for(connection: Any) -> None:
    numbers = "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r"
    cursor = connection.execute(numbers)
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany(2) == [(2,), (3,)]
    cursor.arraysize = 3
    assert cursor.fetchmany() == [(4,), (5,), (6,)]
    assert next(cursor) == (7,)
    for row in cursor:
        if row[0] == 9:
            break
    assert cursor.fetchone() == (10,)
    cursor.close()
    with pytest.raises(ProgrammingError, match="closed cursor"):
        cursor.fetchone()


def test_a_loop_goes_on_with_what_its_cursor_runs_next(connection: Any) -> None:
    for sql in ("SELECT 1 UNION SELECT 2", "SELECT 7 UNION SELECT 8"):
        connection.execute(sql)
    cursor = connection.cursor()
    seen = []
    for row in cursor.execute("SELECT 1 UNION SELECT 2"):
        seen.append(row[0])
        if row[0] == 1:
            cursor.execute("SELECT 7 UNION SELECT 8")
    assert seen == [1, 7, 8]


def test_one_statement_at_a_time(connection: Any) -> None:
    for sql in ("SELECT 1; SELECT 2", "SELECT 1; -- and\nSELECT 2", "SELECT 1; x"):
        with pytest.raises(ProgrammingError, match="You can only execute one statement at a time"):
            connection.execute(sql)
    assert connection.execute("SELECT 1; -- and no more").fetchone() == (1,)
    with pytest.raises(ProgrammingError, match=r"executemany.. can only execute DML"):
        connection.executemany("SELECT ?", [(1,)])
    with pytest.raises(ProgrammingError, match="null character"):
        connection.execute("SELECT 1\0")


def test_scripts_commit_what_was_open(connection: Any) -> None:
    connection.execute("INSERT INTO t VALUES (1, 1)")
    connection.executescript("CREATE TABLE u (x); BEGIN; INSERT INTO u VALUES (';'); SELECT * FROM u; ROLLBACK")
    connection.rollback()
    assert connection.execute("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)").fetchone() == (1, 0)
    with pytest.raises(OperationalError, match="no such table: missing"):
        connection.executescript("INSERT INTO u VALUES (1); INSERT INTO missing VALUES (1)")
    assert connection.execute("SELECT count(*) FROM u").fetchone() == (1,)


def test_parameters_that_change_while_they_are_bound_don_t_crash(connection: Any) -> None:
    class Clears:
        def __conform__(self, protocol: Any) -> str:
            given.clear()
            return "x"

    given: list[Any] = [Clears(), 0]
    with pytest.raises(IndexError):
        connection.execute("INSERT INTO t VALUES (?, ?)", given)


def test_a_cursor_can_t_be_used_from_within_its_own_statement(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    uses = (lambda: cursor.execute("SELECT 1"), cursor.fetchone, cursor.close, lambda: cursor.__init__(connection))
    for use in uses:
        raised: list[str] = []

        def inner(use: Any = use, raised: list[str] = raised) -> int:
            try:
                use()
            except ProgrammingError as error:
                raised.append(str(error))
            return 1

        connection.create_function("inner_use", 0, inner)
        for _ in range(2):
            assert cursor.execute("SELECT inner_use() FROM t").fetchall() == [(1,), (1,)]
        assert raised == ["Recursive use of cursors not allowed."] * 4


def test_rows_given_by_a_generator_that_uses_the_cursor(connection: Any) -> None:
    cursor = connection.cursor()

    def rows() -> Any:
        cursor.execute("INSERT INTO t VALUES (9, 9)")
        yield (1, 1)

    with pytest.raises(ProgrammingError, match="Recursive use of cursors"):
        cursor.executemany("INSERT INTO t VALUES (?, ?)", rows())


def test_what_was_never_made_can_t_be_used(connection: Any) -> None:
    class Lazy(vdb.dbapi.Cursor):
        def __init__(self, connection: Any) -> None:
            pass

    with pytest.raises(ProgrammingError, match=r"Base Cursor\.__init__ not called"):
        Lazy(connection).execute("SELECT 1")
    bare = vdb.dbapi.Connection.__new__(vdb.dbapi.Connection)
    with pytest.raises(ProgrammingError, match=r"Base Connection\.__init__ not called"):
        bare.execute("SELECT 1")
    with pytest.raises(TypeError, match="must be a Connection"):
        vdb.dbapi.Cursor(sqlite3.connect(":memory:"))  # type: ignore[arg-type]
    cursor = connection.cursor()
    reference = weakref.ref(cursor)
    cursor.__init__(connection)
    del cursor
    assert reference() is None


def test_a_savepoint_that_rolls_back_leaves_nothing(connection: Any) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1, 1)")
    connection.execute("SAVEPOINT s")
    connection.execute("INSERT INTO t VALUES (2, 2)")
    connection.execute("ROLLBACK TO s")
    connection.execute("RELEASE s")
    connection.commit()
    assert connection.execute("SELECT id FROM t").fetchall() == [(1,)]
