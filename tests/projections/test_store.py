"""Tests of the door to SQLCipher."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdb.errors import DatabaseDamaged, DiskFailed, DiskFull, WrongKey
from vdb.projections.store import (
    SqliteError,
    close_sqlcipher,
    in_transaction,
    open_plain_memory,
    open_sqlcipher,
    storage_error,
    total_changes,
)

KEY = bytes(range(32))


def test_nothing_on_the_disk_is_readable(tmp_path: Path) -> None:
    connection = open_sqlcipher(str(tmp_path / "x.db"), KEY)
    connection.execute("CREATE TABLE patients (name TEXT)")
    connection.execute("INSERT INTO patients VALUES ('Ada Canary')")
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    close_sqlcipher(connection)
    files += [path.read_bytes() for path in tmp_path.iterdir()]
    assert files
    assert not any(word in content for content in files for word in (b"Ada Canary", b"patients", b"SQLite format"))


def test_a_wrong_key_names_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "x.db")
    connection = open_sqlcipher(path, KEY)
    connection.execute("CREATE TABLE t (a)")
    close_sqlcipher(connection)
    with pytest.raises(WrongKey, match=r"x\.db: the key doesn't fit"):
        open_sqlcipher(path, bytes(32))
    with pytest.raises(WrongKey, match="32 bytes; found 16"):
        open_sqlcipher(path, bytes(16))
    assert capfd.readouterr().err == "", "SQLCipher's own log stays quiet"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(WrongKey, match="isn't an encrypted database"):
        open_sqlcipher(str(tmp_path / "x.db"), KEY)


def test_a_missing_directory_is_a_failed_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match="unable to open"):
        open_sqlcipher(str(tmp_path / "nowhere" / "x.db"), KEY)


def test_a_read_only_connection_refuses_to_write(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    writer = open_sqlcipher(path, KEY)
    writer.execute("CREATE TABLE t (a)")
    reader = open_sqlcipher(path, KEY, read_only=True)
    with pytest.raises(SqliteError, match="readonly"):
        reader.execute("INSERT INTO t VALUES (1)")
    close_sqlcipher(reader)
    close_sqlcipher(writer)


def test_transactions_are_begun_by_sql_alone() -> None:
    connection = open_plain_memory()
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    assert not in_transaction(connection)
    connection.execute("BEGIN")
    assert in_transaction(connection)
    close_sqlcipher(connection)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("database or disk is full", DiskFull),
        ("disk I/O error", DiskFailed),
        ("database disk image is malformed", DatabaseDamaged),
        ("file is not a database", DatabaseDamaged),
        ("malformed JSON", type(None)),
        ("no such table: t", type(None)),
    ],
)
def test_failures_of_the_disk_are_told_from_those_of_a_statement(message: str, expected: type) -> None:
    assert type(storage_error(SqliteError(message), "x.db")) is expected


def test_a_closed_connection_has_no_transaction() -> None:
    connection = open_plain_memory()
    connection.execute("BEGIN")
    assert in_transaction(connection)
    close_sqlcipher(connection)
    assert not in_transaction(connection)


def test_a_connection_that_was_closed_has_no_transaction_and_no_changes() -> None:
    """Its file may be replaced between a statement and its answer."""
    connection = open_plain_memory()
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1), (2)")
    assert total_changes(connection) == 2
    close_sqlcipher(connection)
    assert total_changes(connection) == 0
    assert not in_transaction(connection)
