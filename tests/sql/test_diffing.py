"""Rows that differ: from transactions, and from two databases, which must agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.changes import Operation, RawText, Transaction
from vdb.ports import Connection
from vdb.projections.store import open_plain_memory
from vdb.sql.capture import Capture
from vdb.sql.diffing import ChangeFold, TableDiff, diff_databases

INS, UPD, DEL = Operation.INSERT, Operation.UPDATE, Operation.DELETE
SCHEMA = (
    "CREATE TABLE people (id TEXT PRIMARY KEY, n)",
    "CREATE TABLE pairs (a, b, c, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "CREATE TABLE bare (a)",
    "CREATE TABLE projection_meta (n)",
)
KEYS = st.sampled_from(["k", "l", "m"])
VALUES = st.sampled_from([1, 1.0, "1", b"1", None])
PROGRAMS = st.lists(
    st.one_of(
        st.tuples(st.just("INSERT OR REPLACE INTO people VALUES (?, ?)"), st.tuples(KEYS, VALUES)),
        st.tuples(st.just("UPDATE people SET n = ? WHERE id = ?"), st.tuples(VALUES, KEYS)),
        st.tuples(st.just("UPDATE OR IGNORE people SET id = ? WHERE id = ?"), st.tuples(KEYS, KEYS)),
        st.tuples(st.just("DELETE FROM people WHERE id = ?"), st.tuples(KEYS)),
        st.tuples(st.just("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)"), st.tuples(KEYS, KEYS, VALUES)),
        st.tuples(st.just("DELETE FROM pairs WHERE a = ?"), st.tuples(KEYS)),
        st.tuples(st.just("INSERT INTO bare VALUES (?)"), st.tuples(VALUES)),
        st.tuples(st.just("UPDATE bare SET a = ?"), st.tuples(VALUES)),
        st.tuples(st.just("DELETE FROM bare"), st.just(())),
    ),
    max_size=12,
)


def run(db: Connection, capture: Capture, program: list[tuple[str, tuple[Any, ...]]]) -> list[Transaction]:
    """Each statement is a transaction."""
    transactions = []
    for sql, parameters in program:
        db.execute("BEGIN IMMEDIATE")
        capture.prepare()
        db.execute(sql, parameters)
        layouts, steps = capture.drain()
        db.execute("COMMIT")
        transactions.append(Transaction(id=bytes(16), layouts=layouts, steps=tuple(steps)))
    return transactions


@pytest.fixture
def two() -> Iterator[tuple[Connection, Connection]]:
    with closing(cast(Any, open_plain_memory())) as old, closing(cast(Any, open_plain_memory())) as new:
        yield old, new


def sorted_rows(diffs: list[TableDiff]) -> dict[str, list[str]]:
    return {diff.table: sorted(repr((row.operation, row.before, row.after)) for row in diff.rows) for diff in diffs}


@given(before=PROGRAMS, program=PROGRAMS)
def test_transactions_and_databases_tell_the_same(before: list[Any], program: list[Any]) -> None:
    with closing(cast(Any, open_plain_memory())) as old, closing(cast(Any, open_plain_memory())) as new:
        for sql in SCHEMA:
            new.execute(sql)
        capture = Capture(new)
        run(new, capture, before)
        new.backup(old)
        fold = ChangeFold()
        for transaction in run(new, capture, program):
            fold.feed(transaction)
        capture.uninstall()
        assert sorted_rows(fold.diff()) == sorted_rows(diff_databases(old, new))


def test_rows_are_told_by_name(two: tuple[Connection, Connection]) -> None:
    old, new = two
    for db in two:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        db.execute("INSERT INTO t VALUES (1, 'same'), (2, 'old'), (3, 'gone')")
    new.execute("DELETE FROM t WHERE id = 3")
    new.execute("UPDATE t SET a = CAST(x'ff' AS TEXT) WHERE id = 2")
    new.execute("INSERT INTO t VALUES (4, 'new')")
    (diff,) = diff_databases(old, new)
    assert diff.table == "t"
    assert [(row.operation, row.before, row.after) for row in diff.rows] == [
        (UPD, {"id": 2, "a": "old"}, {"id": 2, "a": RawText(b"\xff")}),
        (DEL, {"id": 3, "a": "gone"}, None),
        (INS, None, {"id": 4, "a": "new"}),
    ]
    assert [diff.count(operation) for operation in (INS, UPD, DEL)] == [1, 1, 1]
    assert "gone" not in repr(diff)


def test_tables_that_come_go_or_change_are_told_by_their_rows(two: tuple[Connection, Connection]) -> None:
    old, new = two
    old.execute("CREATE TABLE went (a)")
    old.execute("INSERT INTO went VALUES (1)")
    old.execute("CREATE TABLE altered (id INTEGER PRIMARY KEY, a, b)")
    old.execute("INSERT INTO altered VALUES (1, 'x', 'lost'), (2, 'y', 'lost')")
    new.execute("CREATE TABLE came (a)")
    new.execute("INSERT INTO came VALUES (2)")
    new.execute("CREATE TABLE altered (id INTEGER PRIMARY KEY, a, c DEFAULT 5)")
    new.execute("INSERT INTO altered VALUES (1, 'x', 5), (2, 'z', 5)")
    assert sorted_rows(diff_databases(old, new)) == {
        "went": [repr((DEL, {"a": 1}, None))],
        "came": [repr((INS, None, {"a": 2}))],
        "altered": [repr((UPD, {"id": 2, "a": "y", "b": "lost"}, {"id": 2, "a": "z", "c": 5}))],
    }


def test_a_key_that_was_renamed_still_tells_rows(two: tuple[Connection, Connection]) -> None:
    old, new = two
    old.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    new.execute("CREATE TABLE t (number INTEGER PRIMARY KEY, a)")
    for db in two:
        db.execute("INSERT INTO t VALUES (1, 'x')")
    assert diff_databases(old, new) == []


def test_a_changed_schema_is_for_databases() -> None:
    fold = ChangeFold()
    db = open_plain_memory()
    with closing(cast(Any, db)):
        capture = Capture(db)
        db.execute("BEGIN IMMEDIATE")
        sql = "CREATE TABLE t (a)"
        capture.before_schema_change(sql)
        db.execute(sql)
        capture.after_schema_change(sql)
        layouts, steps = capture.drain()
        db.execute("COMMIT")
    fold.feed(Transaction(id=bytes(16), layouts=layouts, steps=tuple(steps)))
    assert fold.schema_changed
    with pytest.raises(AssertionError, match="a schema that changed"):
        fold.diff()
