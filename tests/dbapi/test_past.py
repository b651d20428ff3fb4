"""A database as it was, through `vdb.open_crud` and connections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

import vdb
import vdb.dbapi
from vdb.changes import Operation
from vdb.dbapi.database import SqlDatabase
from vdb.errors import InvalidArgument, StreamExists

MIGRATIONS = {"0001_patients.sql": "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT);"}


@pytest.fixture
def clinic() -> Iterator[SqlDatabase]:
    with vdb.open_crud(":memory:", MIGRATIONS) as database:
        yield database


@pytest.fixture
def offsets(clinic: SqlDatabase) -> list[int]:
    """After an insert, an update and a delete of the one row."""
    found = []
    connection = clinic.connect(isolation_level=None, actor="dr.lee", purpose="treatment", metadata={"request": "7"})
    for statement in (
        "INSERT INTO patients VALUES (1, 'Ada')",
        "UPDATE patients SET name = 'Ada L.'",
        "DELETE FROM patients",
    ):
        connection.execute(statement)
        found.append(clinic.offset)
    connection.close()
    return found


def test_each_moment_has_its_rows(clinic: SqlDatabase, offsets: list[int]) -> None:
    for offset, rows in zip(offsets, ([(1, "Ada")], [(1, "Ada L.")], []), strict=True):
        past = clinic.as_of(offset)
        assert past.execute("SELECT * FROM patients").fetchall() == rows
        past.close()
    before_all = clinic.as_of(0)
    assert before_all.execute("SELECT count(*) FROM sqlite_master WHERE name = 'patients'").fetchall() == [(0,)]
    before_all.close()


def test_an_offset_within_a_transaction_is_the_end_of_the_one_before(clinic: SqlDatabase, offsets: list[int]) -> None:
    past = clinic.as_of(offsets[1] - 1)
    assert past.execute("SELECT name FROM patients").fetchall() == [("Ada",)]
    past.close()


def test_times_and_positions(clinic: SqlDatabase, offsets: list[int]) -> None:
    inserted, updated, _ = clinic.history("patients", 1)
    past = clinic.as_of(datetime.fromtimestamp(inserted.time / 1e6, UTC).replace(microsecond=inserted.time % 1_000_000))
    assert past.execute("SELECT name FROM patients").fetchall() == [("Ada",)]
    past.close()
    past = vdb.dbapi.connect(clinic.local, as_of=f"ap-southeast-2:{updated.position}")
    assert past.execute("SELECT name FROM patients").fetchall() == [("Ada L.",)]
    past.close()


def test_the_past_isnt_written(clinic: SqlDatabase, offsets: list[int]) -> None:
    past = clinic.as_of(offsets[0], isolation_level=None)
    with pytest.raises(vdb.dbapi.Error, match=f"as it was at offset {offsets[0]}: it can be read, and not written"):
        past.execute("DELETE FROM patients")
    assert past.execute("SELECT count(*) FROM patients").fetchall() == [(1,)]
    past.close()


def test_what_never_was_is_told(clinic: SqlDatabase, offsets: list[int]) -> None:
    with pytest.raises(vdb.dbapi.Error, match=f"has {offsets[2]} events: expected an offset up to that, found 99"):
        clinic.as_of(99)
    with pytest.raises(InvalidArgument, match="a moment is"):
        clinic.diff("then", 3)


def test_history_says_who_when_and_why(clinic: SqlDatabase, offsets: list[int]) -> None:
    versions = clinic.history("patients", 1)
    assert [version.operation for version in versions] == [Operation.INSERT, Operation.UPDATE, Operation.DELETE]
    assert [version.next_offset for version in versions] == offsets
    assert versions[1].before == {"id": 1, "name": "Ada"}
    assert versions[1].after == {"id": 1, "name": "Ada L."}
    for version in versions:
        said = version.attribution
        assert (said.actor, said.purpose, dict(said.metadata)) == ("dr.lee", "treatment", {"request": "7"})
    assert len({version.transaction for version in versions}) == 3
    connection = clinic.connect()
    assert connection.history("patients", 1) == versions
    assert connection.history("patients", 2) == []
    connection.close()


def test_diff(clinic: SqlDatabase, offsets: list[int]) -> None:
    (table,) = clinic.diff(offsets[0], offsets[1])
    assert (table.table, [row.operation for row in table.rows]) == ("patients", [Operation.UPDATE])
    assert [row.operation for table in clinic.diff(offsets[2], offsets[0]) for row in table.rows] == [Operation.INSERT]
    assert clinic.diff(offsets[0], offsets[0]) == []


def test_connections_tell_of_it_as_well(clinic: SqlDatabase, offsets: list[int]) -> None:
    connection = clinic.connect(actor="ops")
    assert connection.diff(offsets[0], offsets[1]) == clinic.diff(offsets[0], offsets[1])
    connection.restore("then", offsets[0])
    with pytest.raises(vdb.dbapi.Error):
        connection.restore("then", offsets[0])
    with pytest.raises(vdb.dbapi.Error, match="a moment is"):
        connection.diff("then", 1)
    connection.close()


def test_restore_makes_a_database_of_its_own(clinic: SqlDatabase, offsets: list[int]) -> None:
    clinic.restore("then", offsets[0], actor="ops")
    with pytest.raises(StreamExists):
        clinic.restore("then", offsets[0])
    session = clinic.local.call(lambda: clinic.local.databases.open(1, "then"))
    assert session.name == "then"


def test_explain_says_what_would_happen(clinic: SqlDatabase) -> None:
    connection = clinic.connect()
    lines = connection.explain("UPDATE patients SET name = 'x' WHERE id = 1").lines()
    assert ("writes", "patients: update (name)") in lines
    assert connection.execute("SELECT count(*) FROM patients").fetchall() == [(0,)]
    connection.close()
