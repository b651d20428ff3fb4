"""Dumps, copies into other connections, and blobs."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from vdb.dbapi import DatabaseError, OperationalError

SCRIPT = """
    CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT, y AS (upper(x)));
    CREATE TABLE b (k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
    CREATE TABLE c (n REAL);
    INSERT INTO a (x) VALUES ('one'), ('it''s'), (NULL);
    DELETE FROM a WHERE id = 3;
    INSERT INTO b VALUES ('k', x'00ff');
    INSERT INTO c (rowid, n) VALUES (7, 0.5), (9, NULL);
    CREATE INDEX i ON a (x);
    CREATE VIEW w AS SELECT x FROM a;
    CREATE TRIGGER r AFTER INSERT ON c BEGIN INSERT INTO a (x) VALUES ('from c'); END;
"""
QUESTIONS = (
    "SELECT * FROM a",
    "SELECT * FROM b",
    "SELECT rowid, n FROM c",
    "SELECT * FROM w",
    "SELECT * FROM sqlite_sequence WHERE name = 'a'",
    "SELECT type, name, sql FROM sqlite_master WHERE name IN ('a', 'b', 'c', 'i', 'w', 'r') ORDER BY name",
)


@pytest.fixture
def filled(connect: Any) -> Any:
    connection = connect()
    connection.executescript(SCRIPT)
    connection.commit()
    return connection


def answers(connection: Any) -> list[Any]:
    return [connection.execute(question).fetchall() for question in QUESTIONS]


def test_a_dump_makes_the_same_database(filled: Any, connect: Any) -> None:
    script = list(filled.iterdump())
    assert not any("vdb_" in line or "projection_meta" in line for line in script)
    other = connect()
    other.executescript("".join(script))
    assert answers(other)[3:] == answers(filled)[3:]
    plain = sqlite3.connect(":memory:")
    plain.executescript("".join(script))
    assert answers(plain)[3:] == answers(filled)[3:]
    plain.close()


def test_a_backup_makes_another_database_the_same(filled: Any, connect: Any) -> None:
    target = connect()
    target.executescript("CREATE TABLE old (x); CREATE VIEW v AS SELECT x FROM old")
    told: list[tuple[int, int, int]] = []
    filled.backup(target, pages=2, progress=lambda *state: told.append(state))
    assert answers(target) == answers(filled)
    assert target.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('old', 'v')").fetchone() == (0,)
    assert told == [(0, 2, 4), (101, 0, 4)]


def test_a_backup_into_python_s_own_sqlite3(filled: Any) -> None:
    plain = sqlite3.connect(":memory:")
    filled.backup(plain)
    assert answers(plain) == answers(filled)
    plain.close()


def test_a_database_as_the_bytes_of_a_file(filled: Any, connect: Any) -> None:
    data = filled.serialize()
    plain = sqlite3.connect(":memory:")
    plain.deserialize(data)
    assert answers(plain) == answers(filled)
    plain.close()
    other = connect()
    other.execute("CREATE TABLE old (x)")
    other.deserialize(data)
    assert answers(other) == answers(filled)
    with pytest.raises(DatabaseError, match="not a database"):
        other.deserialize(b"nonsense" * 200)
    assert answers(other) == answers(filled)
    with pytest.raises(OperationalError, match="unknown database x"):
        other.serialize(name="x")


def test_a_backup_that_fails_leaves_the_target_as_it_was(filled: Any, connect: Any) -> None:
    target = connect()
    target.execute("CREATE TABLE old (x)")

    def fail(*_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        filled.backup(target, pages=1, progress=fail)
    assert target.execute("SELECT count(*) FROM old").fetchone() == (0,)
    assert not target.in_transaction
    with pytest.raises(TypeError):
        filled.backup("elsewhere.db")
    with pytest.raises(ValueError, match="same connection"):
        filled.backup(filled)


def test_blobs_are_read_piece_by_piece(connection: Any) -> None:
    with connection:
        connection.execute("INSERT INTO t VALUES (1, ?)", (bytes(range(100)),))
    with connection.blobopen("t", "a", 1) as blob:
        assert (len(blob), blob.read(3), blob.tell()) == (100, b"\x00\x01\x02", 3)
        blob.seek(-2, 2)
        assert (blob.read(), blob.read(5)) == (b"\x62\x63", b"")
        assert (blob[5], blob[-1], blob[5:8], blob[10:4:-3]) == (5, 99, b"\x05\x06\x07", b"\x0a\x07")
        with pytest.raises(OperationalError, match="use UPDATE"):
            blob[0] = 1
        blob.seek(0)
        with pytest.raises(OperationalError, match="blobs are readonly"):
            blob.write(b"x")
        connection.execute("UPDATE t SET a = x'01'")
        with pytest.raises(OperationalError, match="the row was changed"):
            blob.read()
    for what, message in ((("t", "a", 9), "no such rowid: 9"), (("t", "b", 1), "no such"), (("u", "a", 1), "no such")):
        with pytest.raises(OperationalError, match=message):
            connection.blobopen(*what)
