"""Which copies are kept, so that no way is long; and a database as transactions, which make the same database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count, pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.changes import Attribution, SchemaChange, Transaction
from vdb.ports import Connection
from vdb.projections.store import open_plain_memory
from vdb.sql.applying import apply_transaction
from vdb.sql.diffing import diff_databases
from vdb.sql.restore import COPIES_MAX, SPACING_MIN, contents, nearest, spacing, surplus, wants_copy
from vdb.wire.sql import TransactionReader, encode_transaction


def test_the_nearest_copy_is_the_last_one_before() -> None:
    assert nearest([10, 20, 30], 25) == 20
    assert nearest([10, 20, 30], 20) == 20
    assert nearest([10], 9) is None
    assert nearest([], 9) is None


def test_copies_are_left_so_that_they_span_the_log() -> None:
    assert spacing(0) == spacing(COPIES_MAX * SPACING_MIN) == SPACING_MIN
    assert spacing(COPIES_MAX * SPACING_MIN + 1) == SPACING_MIN + 1
    head = 10**7
    copies: list[int] = []
    for offset in range(0, head, 1000):
        if wants_copy(copies, offset, head):
            copies.append(offset)
    assert len(copies) <= COPIES_MAX
    assert max(b - a for a, b in zip([0, *copies], [*copies, head], strict=True)) <= spacing(head) + 1000


def test_the_copy_goes_whose_neighbours_are_closest() -> None:
    assert surplus({3: False, 10: False, 11: False, 20: False}, 30, keep=3) == [10]
    assert surplus({10: False, 20: False, 50: False}, 60, keep=2) == [10]
    assert surplus({10: False, 20: False}, 60, keep=2) == []


@given(st.dictionaries(st.integers(0, 1000), st.booleans(), max_size=30), st.integers(0, 10))
def test_what_is_in_use_stays_and_the_rest_is_bounded(copies: dict[int, bool], keep: int) -> None:
    removed = surplus(copies, 1000, keep=keep)
    assert not any(copies[offset] for offset in removed)
    left = [offset for offset in copies if offset not in removed and not copies[offset]]
    assert len(left) == min(keep, sum(not used for used in copies.values()))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60))
def test_after_any_questions_the_way_to_the_next_is_bounded(offsets: list[int]) -> None:
    """A build from the beginning leaves copies; however many states are asked for then, no gap grows beyond two."""
    head = 10**6
    copies: dict[int, bool] = dict.fromkeys(range(spacing(head), head, spacing(head)), False)
    for offset in offsets:
        copies[offset] = False
        for gone in surplus(copies, head):
            del copies[gone]
    points = [0, *sorted(copies), head]
    assert max(b - a for a, b in pairwise(points)) <= 3 * spacing(head)


# A whole database as transactions ---------------------------------------------------------------------------------


@pytest.fixture
def source() -> Iterator[Connection]:
    db = open_plain_memory()
    with closing(cast(Any, db)):
        for sql in (
            "CREATE TABLE projection_meta (n)",
            "CREATE TABLE bare (a, rowid TEXT)",
            "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, up TEXT AS (upper(a)) STORED, a TEXT)",
            "CREATE TABLE pairs (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID",
            "CREATE UNIQUE INDEX by_a ON counted (a)",
            "CREATE VIEW seen AS SELECT * FROM bare",
            "CREATE TRIGGER more AFTER INSERT ON counted BEGIN INSERT INTO bare VALUES (new.a, 'trigger'); END",
            "INSERT INTO bare (oid, a, rowid) VALUES (-5, 1.5, 'x'), (2, CAST(x'ff' AS TEXT), NULL)",
            "INSERT INTO counted (id, a) VALUES (7, 'seven'), (900, 'gone')",
            "DELETE FROM counted WHERE id = 900",
            "INSERT INTO pairs VALUES (1, 2), (x'00', 'b')",
            "PRAGMA user_version = 12",
            "ANALYZE",
        ):
            db.execute(sql)
        yield db


def taken(db: Connection, size_max: int) -> list[Transaction]:
    numbers = count()
    return list(
        contents(
            db,
            attribution=Attribution(actor="dr"),
            new_id=lambda: next(numbers).to_bytes(16, "big"),
            size_max=size_max,
        )
    )


@pytest.mark.parametrize("size_max", [1, 200, 10**6])
def test_its_contents_make_the_same_database(source: Connection, size_max: int) -> None:
    transactions = taken(source, size_max)
    assert (len(transactions) == 1) is (size_max == 10**6)
    reader = TransactionReader()
    target = open_plain_memory()
    with closing(cast(Any, target)):
        for transaction in transactions:
            assert transaction.attribution == Attribution(actor="dr")
            payloads = encode_transaction(transaction)
            found = [reader.feed(payload.data) for payload in payloads][-1]
            assert found == transaction
            target.execute("BEGIN")
            apply_transaction(target, found)
            target.execute("COMMIT")
        assert diff_databases(source, target) == []
        schema = (
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' AND name <> ? ORDER BY name"
        )
        assert (
            target.execute(schema, ("projection_meta",)).fetchall()
            == source.execute(schema, ("projection_meta",)).fetchall()
        )
        assert target.execute("SELECT * FROM sqlite_sequence").fetchall() == [("counted", 900)]
        assert (
            target.execute("SELECT oid FROM bare ORDER BY 1").fetchall()
            == source.execute("SELECT oid FROM bare ORDER BY 1").fetchall()
        )
        assert target.execute("PRAGMA user_version").fetchone() == (12,)


def test_an_empty_database_has_no_contents() -> None:
    db = open_plain_memory()
    with closing(cast(Any, db)):
        assert taken(db, 100) == []
        db.execute("CREATE TABLE t (a)")
        (transaction,) = taken(db, 100)
        assert transaction.steps == (SchemaChange(sql="CREATE TABLE t (a)"),)
