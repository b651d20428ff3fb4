"""Transactions of the log in a file: net effects, what stays quiet meanwhile, and what can't be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import pytest
from attrs import evolve

from vdb.changes import Layout, Operation, RawText, RowChange, SchemaChange, SequenceChange, Transaction
from vdb.errors import DatabaseDamaged
from vdb.ports import Connection
from vdb.projections.store import SqliteError, open_plain_memory
from vdb.sql import sqlite_api
from vdb.sql.applying import apply_transaction


@contextmanager
def opened() -> Iterator[Connection]:
    db = open_plain_memory()
    with closing(cast(Any, db)):
        yield db


def shape(db: Connection) -> list[tuple[Any, ...]]:
    return list(db.execute("SELECT type, name, tbl_name, sql FROM main.sqlite_master ORDER BY type, name"))


def rows(db: Connection) -> dict[str, list[str]]:
    found = {}
    tables = db.execute("SELECT name, sql LIKE '%WITHOUT ROWID%' FROM main.sqlite_master WHERE type = 'table'")
    for table, without in tables.fetchall():
        columns = [row[1] for row in db.execute(f"PRAGMA table_xinfo({table})").fetchall()]
        shown = [f"typeof({name}), hex({name}), CASE typeof({name}) WHEN 'real' THEN {name} END" for name in columns]
        rowid = [] if without or table == "sqlite_sequence" else ["_rowid_"]
        listed = db.execute(f"SELECT {', '.join(rowid + shown)} FROM main.{table}").fetchall()
        found[table] = sorted(map(repr, listed))
    return found


# One at a time ---------------------------------------------------------------------------------------------------

T = Layout(table="t", columns=("id", "a"), key=("id",))


def transaction(*steps: Any, layouts: tuple[Layout, ...] = (T,)) -> Transaction:
    return Transaction(id=bytes(16), layouts=layouts, steps=steps)


def inserted(rowid: int | None, *image: Any) -> RowChange:
    return RowChange(layout=0, operation=Operation.INSERT, rowid_after=rowid, after=image)


def updated(rowid: int | None, before: tuple[Any, ...], after: tuple[Any, ...], to: int | None = None) -> RowChange:
    rowid_after = rowid if to is None else to
    return RowChange(
        layout=0, operation=Operation.UPDATE, rowid_before=rowid, rowid_after=rowid_after, before=before, after=after
    )


def deleted(rowid: int | None, *image: Any) -> RowChange:
    return RowChange(layout=0, operation=Operation.DELETE, rowid_before=rowid, before=image)


@pytest.fixture
def db() -> Iterator[Connection]:
    with opened() as db:
        yield db


def run(db: Connection, *steps: Any, layouts: tuple[Layout, ...] = (T,)) -> None:
    db.execute("BEGIN")
    try:
        apply_transaction(db, transaction(*steps, layouts=layouts))
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def table(db: Connection) -> list[tuple[Any, ...]]:
    return list(db.execute("SELECT * FROM t ORDER BY 1"))


def test_keys_that_are_swapped_do_not_meet(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)")
    run(db, inserted(1, 1, "x"), inserted(2, 2, "y"))
    run(db, updated(1, (1, "x"), (2, "x"), to=2), updated(2, (2, "y"), (1, "y"), to=1))
    assert table(db) == [(1, "y"), (2, "x")]
    run(db, updated(1, (1, "y"), (1, "x")), updated(2, (2, "x"), (2, "y")))
    assert table(db) == [(1, "x"), (2, "y")]


def test_a_row_whose_own_update_cascades_to_it_is_logged_the_second_half_first(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER UNIQUE REFERENCES t ON UPDATE CASCADE)")
    run(db, inserted(1, 1, 1))
    run(db, updated(2, (2, 1), (2, 2)), updated(1, (1, 1), (2, 1), to=2))
    assert table(db) == [(2, 2)]


def test_what_comes_and_goes_leaves_nothing(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    run(db, inserted(1, 1, "x"), deleted(1, 1, "x"))
    assert table(db) == []
    run(db, inserted(1, 1, "x"), updated(1, (1, "x"), (1, "y")), updated(1, (1, "y"), (1, "z")))
    assert table(db) == [(1, "z")]
    run(db, updated(1, (1, "z"), (1, "q")), updated(1, (1, "q"), (1, "z")))
    run(db, deleted(1, 1, "z"), inserted(1, 1, "z"))
    assert table(db) == [(1, "z")]


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), (0.0, -0.0), ("1", 1), (b"a", "a"), ("a", RawText(b"a\xff"))])
def test_equal_values_of_other_classes_are_other_values(db: Connection, old: Any, new: Any) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    run(db, inserted(1, 1, old))
    before = rows(db)
    run(db, updated(1, (1, old), (1, new)))
    assert rows(db) != before
    run(db, updated(1, (1, new), (1, old)))
    assert rows(db) == before


def test_rowids_that_no_column_shows_are_kept(db: Connection) -> None:
    db.execute("CREATE TABLE t (rowid TEXT, oid TEXT)")
    layout = Layout(table="t", columns=("rowid", "oid"))
    run(db, inserted(2**62, "a", "b"), inserted(-5, "c", "d"), layouts=(layout,))
    run(db, deleted(-5, "c", "d"), updated(2**62, ("a", "b"), ("a", "B"), to=7), layouts=(layout,))
    assert db.execute("SELECT _rowid_, * FROM t").fetchall() == [(7, "a", "B")]


def test_a_sequence_is_what_the_log_says_and_not_what_is_inserted(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)")
    run(db, inserted(100, 100, "x"), SequenceChange(table="t", value=7))
    assert db.execute("SELECT * FROM sqlite_sequence").fetchall() == [("t", 7)]
    run(db, updated(100, (100, "x"), (100, "y")))
    assert db.execute("SELECT * FROM sqlite_sequence").fetchall() == [("t", 7)]
    run(db, SequenceChange(table="t", value=None))
    run(db, updated(100, (100, "y"), (100, "x")))
    assert db.execute("SELECT * FROM sqlite_sequence").fetchall() == []


@pytest.mark.parametrize("with_api", [True, False])
def test_triggers_keys_and_checks_stay_quiet_and_come_back(
    db: Connection, with_api: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_api:
        monkeypatch.setattr(sqlite_api, "_library", lambda: None)
    db.execute(f"PRAGMA foreign_keys = {int(with_api)}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a CHECK (a <> 'forbidden'))")
    db.execute("CREATE TABLE child (t REFERENCES t ON DELETE CASCADE)")
    db.execute("CREATE TABLE log (what)")
    for event in ("INSERT", "UPDATE", "DELETE"):
        db.execute(f"CREATE TRIGGER on_{event} AFTER {event} ON t BEGIN INSERT INTO log VALUES ('{event}'); END")
    db.execute("INSERT INTO t VALUES (1, 'x')")
    db.execute("INSERT INTO child VALUES (1)")
    before = shape(db)
    run(db, updated(1, (1, "x"), (1, "forbidden")))
    assert db.execute("SELECT count(*) FROM log").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM child").fetchone() == (1,)
    assert shape(db) == before
    with pytest.raises(SqliteError, match="CHECK"):
        db.execute("UPDATE t SET a = 'forbidden'")
    db.execute("DELETE FROM t")
    assert db.execute("SELECT what FROM log").fetchall() == [("INSERT",), ("DELETE",)]
    assert db.execute("SELECT count(*) FROM child").fetchone() == (1 - with_api,)


def test_an_altered_table_has_one_layout_before_and_one_after(db: Connection) -> None:
    after = Layout(table="t", columns=("id", "renamed", "more"), key=("id",))
    run(
        db,
        SchemaChange(sql="CREATE TABLE t (id INTEGER PRIMARY KEY, a)"),
        inserted(1, 1, "x"),
        SchemaChange(sql="ALTER TABLE t RENAME COLUMN a TO renamed"),
        SchemaChange(sql="ALTER TABLE t ADD COLUMN more DEFAULT 5"),
        evolve(updated(1, (1, "x", 5), (1, "x", 6)), layout=1),
        layouts=(T, after),
    )
    assert table(db) == [(1, "x", 6)]


def test_a_table_of_very_many_columns(db: Connection) -> None:
    columns = tuple(f"c{n}" for n in range(1990))
    db.execute(f"CREATE TABLE t ({', '.join(columns)})")
    layout = Layout(table="t", columns=columns)
    image = tuple(range(1990))
    run(db, inserted(1, *image), layouts=(layout,))
    run(db, updated(1, image, image[::-1]), layouts=(layout,))
    assert table(db) == [image[::-1]]


def test_what_the_owner_of_the_connection_set_stays_and_does_no_harm(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)")
    connection = cast(Any, db)
    connection.row_factory = lambda cursor, row: {"row": row}
    connection.text_factory = bytes
    run(db, inserted(1, 1, "x"))
    run(db, updated(1, (1, "x"), (1, "y")))
    assert connection.text_factory is bytes
    assert db.execute("SELECT a FROM t").fetchall() == [{"row": (b"y",)}]


# What can't be -----------------------------------------------------------------------------------------------------


def test_an_old_image_that_is_not_there_is_damage(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE)")
    run(db, inserted(1, 1, "secret"))
    message = "table 't' isn't what the log made: expected 1 rows as a transaction found them, found 0"
    for step in (deleted(1, 1, "SECRET"), deleted(2, 2, "secret"), updated(1, (1, None), (1, "x"))):
        with pytest.raises(DatabaseDamaged, match=message):
            run(db, step)
    assert table(db) == [(1, "secret")]


def test_a_row_that_has_no_room_is_damage(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)")
    run(db, inserted(1, 1, "secret"))
    with pytest.raises(DatabaseDamaged, match=r"isn't what the log made: .*UNIQUE constraint failed: t.a") as caught:
        run(db, inserted(2, 2, "secret"))
    assert "secret" not in str(caught.value)


def test_a_schema_that_is_another_is_damage(db: Connection) -> None:
    with pytest.raises(DatabaseDamaged, match="expected the columns id, a, found no such table"):
        run(db, inserted(1, 1, "x"))
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, b)")
    with pytest.raises(DatabaseDamaged, match="expected the columns id, a, found id, b"):
        run(db, inserted(1, 1, "x"))
    with pytest.raises(DatabaseDamaged, match="a statement that changed the schema"):
        run(db, SchemaChange(sql="DROP TABLE nothing"))
    with pytest.raises(DatabaseDamaged, match=r"no such table: main\.sqlite_sequence"):
        run(db, SequenceChange(table="t", value=7))


def test_changes_that_do_not_fit_each_other_are_a_bug(db: Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    with pytest.raises(AssertionError, match="was added where another is"):
        run(db, inserted(1, 1, "x"), inserted(1, 1, "y"))
    with pytest.raises(AssertionError, match="removed more often than it was there"):
        run(db, deleted(1, 1, "x"), deleted(1, 1, "y"))
