"""What handlers' statements may do, and why others are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vdb.errors import HandlerRefused
from vdb.projections.handle import ProjectionDb, refuse_clocks
from vdb.projections.store import IntegrityError, close_sqlcipher, in_transaction, open_plain_memory


@pytest.fixture
def db() -> Iterator[Any]:
    connection = open_plain_memory()
    refuse_clocks(connection)
    connection.execute("CREATE TABLE t (a TEXT PRIMARY KEY, b INTEGER)")
    connection.execute("CREATE TABLE projection_meta (position INTEGER)")
    connection.execute("BEGIN")
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    close_sqlcipher(connection)


@pytest.fixture
def handle(db: Any) -> Iterator[ProjectionDb]:
    found = ProjectionDb(db)
    with found.guarded():
        yield found


def test_rows_are_written_and_read(handle: ProjectionDb) -> None:
    assert handle.execute("INSERT INTO t VALUES (?, ?)", ("x", 1)) == 1
    assert handle.executemany("INSERT INTO t VALUES (?, ?)", [("y", 2), ("z", 3)]) == 2
    assert handle.execute("UPDATE t SET b = b + :more", {"more": 1}) == 3
    assert handle.all("SELECT a, b FROM t ORDER BY a") == [("x", 2), ("y", 3), ("z", 4)]
    assert handle.one("SELECT b FROM t WHERE a = ?", ("y",)) == (3,)
    assert handle.one("SELECT b FROM t WHERE a = ?", ("?",)) is None
    assert handle.one("DELETE FROM t WHERE a = 'x' RETURNING b") == (2,)
    assert handle.execute("SELECT 1") == 0


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT random()", r"random\(\) draws lots"),
        ("INSERT INTO t VALUES (hex(RandomBlob(4)), 1)", r"randomblob\(\) draws lots"),
        ("SELECT current_timestamp", r"current_timestamp\(\) reads the clock: use context.time"),
        ("INSERT INTO t VALUES (CURRENT_DATE, 1)", "reads the clock"),
        ("SELECT datetime('now')", "a date function reads the clock"),
        ("SELECT datetime(' NOW ')", "a date function reads the clock"),
        ("SELECT datetime(x'6e6f77')", "a date function reads the clock"),
        ("SELECT date()", "a date function reads the clock"),
        ("SELECT strftime('%s')", "a date function reads the clock"),
        ("SELECT strftime('%s', 'now')", "a date function reads the clock"),
        ("SELECT unixepoch('subsec')", "a date function reads the clock"),
        ("SELECT timediff('2026-01-01', 'now')", "a date function reads the clock"),
        ("SELECT datetime('2026-01-01', 'localtime')", "time zone"),
        ("SELECT julianday('2026-01-01', 'utc')", "time zone"),
        ("SELECT last_insert_rowid()", "depends on other events: use RETURNING"),
        ("SELECT changes()", "depends on other events"),
        ("SELECT sqlite_version()", "differs between nodes"),
        ("SELECT load_extension('x')", "isn't for handlers"),
        ("COMMIT", "rows and position commit together"),
        ("BEGIN", "rows and position commit together"),
        ("ROLLBACK", "rows and position commit together"),
        ("SAVEPOINT s", "raise an error, and what the event did is undone"),
        ("ATTACH ':memory:' AS other", "the projection's own file and no other"),
        ("DETACH other", "the projection's own file and no other"),
        ("PRAGMA synchronous = OFF", "PRAGMA isn't for handlers"),
        ("PRAGMA table_info(t)", "PRAGMA isn't for handlers"),
        ("CREATE TABLE u (a)", "tables are declared with the projection"),
        ("CREATE TEMP TABLE u (a)", "tables are declared with the projection"),
        ("CREATE INDEX i ON t (b)", "tables are declared with the projection"),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END", "tables are declared with the projection"),
        ("ALTER TABLE t ADD COLUMN c", "tables are declared with the projection"),
        ("DROP TABLE t", "tables are declared with the projection"),
        ("REINDEX t", "tables are declared with the projection"),
        ("UPDATE projection_meta SET position = 0", "projection_meta is the projection's own state"),
        ("SELECT position FROM projection_meta", "projection_meta is the projection's own state"),
        ("DELETE FROM projection_meta", "projection_meta is the projection's own state"),
    ],
)
def test_what_rows_must_not_depend_on_is_refused(db: Any, handle: ProjectionDb, sql: str, why: str) -> None:
    for ask in (handle.execute, handle.all, handle.one):
        with pytest.raises(HandlerRefused, match=why):
            ask(sql)
    assert in_transaction(db)
    assert handle.execute("INSERT INTO t VALUES ('after', 1)") == 1


@pytest.mark.parametrize("value", ["now", "subsec"])
def test_the_clock_is_refused_in_parameters_too(handle: ProjectionDb, value: str) -> None:
    with pytest.raises(HandlerRefused, match="a date function reads the clock"):
        handle.one("SELECT date(?)", (value,))


def test_dates_that_are_given_are_computed(handle: ProjectionDb) -> None:
    assert handle.one("SELECT datetime('2026-01-01 10:00', '+1 day', 'subsec'), date(0, 'unixepoch')") == (
        "2026-01-02 10:00:00.000",
        "1970-01-01",
    )
    assert handle.one("SELECT strftime('%Y', ?), unixepoch('1970-01-02')", ("2026-05-05",)) == ("2026", 86400)
    assert handle.one("SELECT date('nonsense'), julianday(NULL)") == (None, None)


def test_functions_that_do_no_harm_are_there(handle: ProjectionDb) -> None:
    assert handle.one("SELECT json_extract('{\"a\": 5}', '$.a'), upper('x'), coalesce(NULL, 1)") == (5, "X", 1)
    assert handle.all("SELECT value FROM json_each('[1, 2]')") == [(1,), (2,)]


def test_what_sqlite_itself_says_comes_through(handle: ProjectionDb) -> None:
    handle.execute("INSERT INTO t VALUES ('x', 1)")
    with pytest.raises(IntegrityError):
        handle.execute("INSERT INTO t VALUES ('x', 1)")
    with pytest.raises(IntegrityError):
        handle.executemany("INSERT INTO t VALUES (?, 1)", [("x",)])


def test_outside_of_handlers_nothing_is_refused(db: Any) -> None:
    with ProjectionDb(db).guarded():
        pass
    db.execute("UPDATE projection_meta SET position = 7")
    db.execute("COMMIT")
    assert not in_transaction(db)
