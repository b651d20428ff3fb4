"""The C API on connections: it agrees with the binding, and each function has its way without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vdb.ports import Connection
from vdb.projections.store import SqliteError, close_sqlcipher, open_plain_memory
from vdb.sql import sqlite_api
from vdb.sql.sqlite_api import ENABLE_FOREIGN_KEYS, ENABLE_TRIGGERS, GENERIC_ERROR

LIMIT_VARIABLE_NUMBER = 9


@pytest.fixture
def db() -> Iterator[Connection]:
    db = open_plain_memory()
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    db.execute("CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    yield db
    close_sqlcipher(db)


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_api, "_library", lambda: None)


def count(db: Connection, table: str) -> int:
    found: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def test_the_library_is_there() -> None:
    """Here, where the tests run; elsewhere everything works without."""
    assert sqlite_api.is_available()


def test_a_deferred_violation_is_known_before_the_commit(db: Connection) -> None:
    db.execute("BEGIN")
    assert not sqlite_api.deferred_violations(db)
    db.execute("INSERT INTO child VALUES (7)")
    assert sqlite_api.deferred_violations(db)
    db.execute("INSERT INTO parent VALUES (7)")
    assert not sqlite_api.deferred_violations(db)
    db.execute("COMMIT")


def test_rows_from_before_the_constraint_was_enforced_do_not_count(db: Connection) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("INSERT INTO child VALUES (7)")
    db.execute("PRAGMA foreign_keys = ON")
    assert not sqlite_api.deferred_violations(db)


def test_triggers_and_foreign_keys_are_switched_within_a_transaction(db: Connection) -> None:
    db.execute("CREATE TRIGGER copies AFTER INSERT ON parent BEGIN INSERT INTO child VALUES (new.id); END")
    assert sqlite_api.config(db, ENABLE_TRIGGERS) is True
    db.execute("BEGIN")
    assert sqlite_api.config(db, ENABLE_TRIGGERS, False) is False
    assert sqlite_api.config(db, ENABLE_FOREIGN_KEYS, False) is False
    db.execute("INSERT INTO parent VALUES (1)")
    db.execute("INSERT INTO child VALUES (9)")
    assert not sqlite_api.deferred_violations(db)
    assert count(db, "child") == 1
    assert sqlite_api.config(db, ENABLE_TRIGGERS, True) is True
    db.execute("INSERT INTO parent VALUES (2)")
    assert count(db, "child") == 2
    db.execute("COMMIT")


def test_an_unknown_switch_is_not_known(db: Connection) -> None:
    assert sqlite_api.config(db, 99_999, True) is None


def test_codes_rowids_and_limits(db: Connection) -> None:
    db.execute("INSERT INTO parent VALUES (1)")
    with pytest.raises(SqliteError):
        db.execute("INSERT INTO parent VALUES (1)")
    assert sqlite_api.extended_errcode(db) == 1555
    assert sqlite_api.set_last_insert_rowid(db, -(2**63))
    assert db.execute("SELECT last_insert_rowid()").fetchone() == (-(2**63),)
    before = sqlite_api.limit(db, LIMIT_VARIABLE_NUMBER, 2)
    assert before is not None
    assert sqlite_api.limit(db, LIMIT_VARIABLE_NUMBER) == 2
    with pytest.raises(SqliteError, match="too many SQL variables"):
        db.execute("SELECT ?, ?, ?", (1, 2, 3))
    assert sqlite_api.limit(db, 99) is None


def test_a_closed_connection_is_left_alone() -> None:
    db = open_plain_memory()
    close_sqlcipher(db)
    assert sqlite_api.config(db, ENABLE_TRIGGERS) is None
    assert sqlite_api.limit(db, LIMIT_VARIABLE_NUMBER) is None
    assert sqlite_api.extended_errcode(db) == GENERIC_ERROR
    assert not sqlite_api.set_last_insert_rowid(db, 1)


@pytest.mark.usefixtures("without_library")
def test_without_the_library_each_function_has_its_way(db: Connection) -> None:
    assert not sqlite_api.is_available()
    assert sqlite_api.config(db, ENABLE_TRIGGERS, False) is None
    assert sqlite_api.limit(db, LIMIT_VARIABLE_NUMBER) is None
    assert not sqlite_api.set_last_insert_rowid(db, 1)
    assert sqlite_api.extended_errcode(db) == GENERIC_ERROR
    db.execute("BEGIN")
    assert not sqlite_api.deferred_violations(db)
    db.execute("INSERT INTO child VALUES (7)")
    assert sqlite_api.deferred_violations(db)
    db.execute("ROLLBACK")
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("INSERT INTO child VALUES (7)")
    assert not sqlite_api.deferred_violations(db)


@pytest.mark.parametrize("found", [None, 24])
def test_a_word_that_is_no_pointer_is_not_followed(found: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Python whose objects are laid out otherwise."""
    fresh: Any = sqlite_api._library.__wrapped__
    monkeypatch.setattr(sqlite_api, "_handle", lambda _db: found)
    assert fresh() is None


def test_a_library_without_the_functions_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: Any = sqlite_api._library.__wrapped__
    monkeypatch.setattr(sqlite_api, "_FUNCTIONS", ("sqlite3_is_not_there",))
    assert fresh() is None
    monkeypatch.setattr(sqlite_api, "EXTENSION_FILE", "/nowhere/at/all.so")
    assert fresh() is None
