"""Connections of which the audit log is told, and policies are asked, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import vdb
import vdb.dbapi
from vdb.audit.entry import AuditEntry, Kind, decode_entry
from vdb.embedded.crud import open_local
from vdb.errors import AccessDenied, AuditUnavailable, PolicyChanged
from vdb.types import GroupId, TenantId

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
MIGRATIONS = {
    "0001_clinic.sql": """
-- vdb: subject patients.id
CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT, ssn TEXT, ward TEXT);
CREATE TABLE wards (name TEXT);
CREATE TABLE trails (what TEXT);
INSERT INTO patients VALUES ('p-1', 'Ada', '123-45-6789', 'A'), ('p-2', 'Bob', '987-65-4321', 'B');
"""
}
POLICY = """
name = "clinic"
[roles]
program = []
[[binding]]
principals = ["embedded"]
roles = ["program"]
[[rule]]
name = "governs"
roles = ["program"]
actions = ["policy"]
[[rule]]
name = "ward-a-for-treatment"
roles = ["program"]
actions = ["query"]
tables = ["patients"]
purposes = ["TREAT"]
rows = "ward = 'A'"
masks = { ssn = "last-four" }
"""


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[vdb.SqlDatabase]:
    """A database on the disk."""
    with vdb.open_crud(tmp_path / "data", MIGRATIONS, KEY) as database:
        yield database


def entries(database: vdb.SqlDatabase) -> list[AuditEntry]:
    """The tenant's audit log."""
    audit = database.local.node.guard.service.audit
    page = database.local.call(lambda: audit.records(TenantId(1), GroupId("ap-southeast-2"), 0, 1000))
    return [decode_entry(entry) for record in page.records for entry in record.entries]


def reads(database: vdb.SqlDatabase) -> list[AuditEntry]:
    return [entry for entry in entries(database) if entry.kind is Kind.QUERY]


def test_each_read_of_a_data_directory_is_written_down(clinic: vdb.SqlDatabase) -> None:
    with clinic.connect(actor="dr lee", purpose="TREAT") as connection:
        cursor = connection.execute("SELECT name FROM patients WHERE id = ?", ("p-1",))
        assert [column[0] for column in cursor.description] == ["name"]
        assert reads(clinic) == []  # nothing has left yet
        assert cursor.fetchone() == ("Ada",)
        (entry,) = reads(clinic)
        assert (entry.actor, entry.on_behalf_of, entry.purpose) == ("embedded", "dr lee", "TREAT")
        assert (entry.subjects, entry.count, entry.tables, entry.rule) == (("p-1",), 1, ("patients",), "no-policy")
        assert cursor.fetchone() is None
        assert list(connection.execute("SELECT id, name FROM patients ORDER BY id")) == [("p-1", "Ada"), ("p-2", "Bob")]
        connection.row_factory = vdb.dbapi.Row
        assert dict(connection.execute("SELECT name FROM patients WHERE id = 'p-2'").fetchone()) == {"name": "Bob"}
        assert [entry.subjects for entry in reads(clinic)[1:]] == [("p-1", "p-2"), ("p-2",)]
        connection.row_factory = None
        connection.text_factory = bytes
        assert connection.execute("SELECT name FROM patients WHERE id = 'p-2'").fetchall() == [(b"Bob",)]
        assert reads(clinic)[-1].subjects == ("*",)


def test_what_a_connection_writes_is_noted(clinic: vdb.SqlDatabase) -> None:
    with clinic.connect(actor="dr lee", purpose="TREAT") as connection:
        connection.execute("INSERT INTO patients (id, name) VALUES ('p-3', 'Cyd')")
        connection.execute("INSERT INTO wards VALUES ('C')")
        connection.commit()
        found = [entry for entry in entries(clinic) if entry.kind is Kind.WRITE][-1]
        assert (found.actor, found.on_behalf_of, found.purpose) == ("embedded", "dr lee", "TREAT")
        assert found.tables == ("patients", "wards")
        assert (found.subjects, found.detail["rows"]) == (("*",), "2")
        told = connection.execute("UPDATE patients SET ward = 'C' WHERE id = 'p-3' RETURNING name").fetchall()
        assert told == [("Cyd",)]
        assert reads(clinic)[-1].count == 1
        with connection.blobopen("patients", "name", 3) as blob:
            assert blob.read() == b"Cyd"
        assert len(reads(clinic)) > 1
        lines = list(connection.iterdump())
        assert any("Cyd" in line for line in lines)
        assert reads(clinic)[-1].subjects == ("*",)


def test_a_policy_holds_for_the_program_too(clinic: vdb.SqlDatabase) -> None:
    clinic.local.call(lambda: clinic.local.node.guard.apply_policy(POLICY, 0))
    with clinic.connect(purpose="TREAT") as connection:
        assert connection.execute("SELECT id, ssn FROM patients").fetchall() == [("p-1", "***6789")]
        with pytest.raises(vdb.dbapi.NotSupportedError):
            connection.execute("SELECT * FROM main.patients")
        for sql in ("SELECT * FROM wards", "DELETE FROM patients", "CREATE TABLE t (x)"):
            with pytest.raises(vdb.dbapi.DatabaseError, match="not authorized") as caught:
                connection.execute(sql)
            assert isinstance(caught.value.__cause__, AccessDenied)
            assert caught.value.sqlite_errorname == "SQLITE_AUTH"
        with pytest.raises(vdb.dbapi.DatabaseError, match="not authorized"):
            connection.history("patients", "p-1")
        with pytest.raises(vdb.dbapi.Error):
            list(connection.iterdump())
    with clinic.connect(purpose="HMARKT") as connection, pytest.raises(vdb.dbapi.DatabaseError):
        connection.execute("SELECT id FROM patients")
    with pytest.raises(AccessDenied):
        clinic.history("patients", "p-1")
    with pytest.raises(AccessDenied):
        clinic.diff(0, 1)
    with pytest.raises(AccessDenied):
        clinic.restore("other", 1)
    with pytest.raises(vdb.dbapi.DatabaseError), clinic.as_of(1) as connection:
        connection.execute("SELECT * FROM patients")
    denied = [entry for entry in entries(clinic) if entry.kind is Kind.DENY]
    assert len(denied) >= 8


@pytest.mark.parametrize("receipts", [True, False])
def test_the_first_policy_ends_cursors_that_are_open(tmp_path: Path, receipts: bool) -> None:
    many = ",".join(f"('p-{number}', 'Cyd', '', 'B')" for number in range(3, 700))
    files = {**MIGRATIONS, "0002_more.sql": f"INSERT INTO patients VALUES {many}"}
    with vdb.open_crud(tmp_path / "data", files, KEY, receipts=receipts) as clinic, clinic.connect() as connection:
        cursors = [connection.execute("SELECT name, ssn FROM patients ORDER BY rowid") for _ in range(4)]
        for cursor in cursors:
            assert cursor.fetchone() == ("Ada", "123-45-6789")
        clinic.local.call(lambda: clinic.local.node.guard.apply_policy(POLICY, 0))
        fetches = (lambda one: one.fetchone(), lambda one: one.fetchmany(2), lambda one: one.fetchall(), list)
        for cursor, fetch in zip(cursors, fetches, strict=True):
            with pytest.raises(vdb.dbapi.OperationalError, match="run it again") as caught:
                fetch(cursor)
            assert isinstance(caught.value.__cause__, PolicyChanged)


CONSENTED = POLICY.replace('rows = "ward = \'A\'"\nmasks = { ssn = "last-four" }', "consent = true")


def test_each_chunk_is_asked_for_as_consents_are_then(clinic: vdb.SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.dbapi.telling.SQL_ROWS_PER_CHUNK", 1)
    guard, region = clinic.local.node.guard, "ap-southeast-2"
    clinic.local.call(lambda: guard.apply_policy(CONSENTED, 0))
    for subject in ("p-1", "p-2"):
        clinic.local.call(partial(guard.put_consent, 1, region, subject, ("TREAT",), 0, withdraw=False))
    with clinic.connect(purpose="TREAT") as connection:
        cursor = connection.execute("SELECT name FROM patients ORDER BY id")
        assert cursor.fetchone() == ("Ada",)
        clinic.local.call(partial(guard.put_consent, 1, region, "p-2", ("TREAT",), 0, withdraw=True))
        with pytest.raises(vdb.dbapi.OperationalError, match="run it again") as caught:
            cursor.fetchone()
        assert isinstance(caught.value.__cause__, PolicyChanged)
        assert connection.execute("SELECT name FROM patients").fetchall() == [("Ada",)]


def test_rows_stay_where_they_cant_be_written_down(clinic: vdb.SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise AuditUnavailable("the disk is full")

    with clinic.connect() as connection:
        monkeypatch.setattr(clinic.local.node.guard.service.permits, "record", fails)
        for fetch in ("fetchone", "fetchall", "fetchmany", "__next__"):
            cursor = connection.execute("SELECT name FROM patients")
            with pytest.raises(vdb.dbapi.OperationalError, match="the disk is full"):
                getattr(cursor, fetch)()


def test_each_handle_says_who_asks(tmp_path: Path) -> None:
    with vdb.open_crud(tmp_path / "data", MIGRATIONS, KEY) as clinic:
        with vdb.dbapi.connect(tmp_path / "data", keys=KEY, principal="nightly-report") as other:
            assert other.execute("SELECT count(*) FROM patients").fetchone() == (2,)
        assert (reads(clinic)[-1].actor, reads(clinic)[-1].subjects) == ("nightly-report", ("*",))
        with pytest.raises(vdb.dbapi.ProgrammingError, match="receipts=False"):
            vdb.dbapi.connect(tmp_path / "data", keys=KEY, receipts=False)
        with pytest.raises(vdb.dbapi.ProgrammingError, match="principal"):
            vdb.dbapi.connect(tmp_path / "data", keys=KEY, principal="dev:root")


def test_without_receipts_and_in_memory_nothing_is_read_twice(tmp_path: Path) -> None:
    with vdb.open_crud(tmp_path / "data", MIGRATIONS, KEY, receipts=False) as database:
        with database.connect() as connection:
            assert len(connection.execute("SELECT * FROM patients").fetchall()) == 2
        assert reads(database) == []
    with vdb.open_crud(":memory:", MIGRATIONS) as database, database.connect() as connection:
        assert len(connection.execute("SELECT * FROM patients").fetchall()) == 2
        assert reads(database) == []
    with vdb.open_crud(":memory:", MIGRATIONS, receipts=True) as database, database.connect() as connection:
        assert len(connection.execute("SELECT * FROM patients").fetchall()) == 2
        assert len(reads(database)) == 1


def test_a_write_that_waited_for_another_one_is_not_too_late(clinic: vdb.SqlDatabase) -> None:
    lease = clinic.local.crud._lease
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with clinic.connect(isolation_level=None) as connection:
                connection.execute("BEGIN")
                connection.execute("INSERT INTO wards VALUES (?)", (f"w-{number}",))
                connection.execute("COMMIT")
        except BaseException as error:
            failed.append(error)

    with clinic.connect(isolation_level=None) as first:
        first.execute("BEGIN IMMEDIATE")
        first.execute("INSERT INTO wards VALUES ('w-0')")
        threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
        for thread in threads:
            thread.start()

        async def wait_for_both() -> None:
            while len(lease._waiting) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.001)

        clinic.local.call(wait_for_both)
        assert first.execute("SELECT count(*) FROM patients").fetchall() == [(2,)]  # a receipt, with writers in line
        with clinic.connect() as reader:
            assert reader.execute("SELECT count(*) FROM wards").fetchall() == [(0,)]
        first.execute("COMMIT")
        for thread in threads:
            thread.join()
        assert failed == []
        found = first.execute("SELECT name FROM wards ORDER BY name").fetchall()
        assert found == [("w-0",), ("w-1",), ("w-2",)]


def test_what_reads_nothing_begins_no_snapshot(clinic: vdb.SqlDatabase) -> None:
    with clinic.connect(isolation_level=None) as one, clinic.connect(isolation_level=None) as other:
        for begin in ("BEGIN", "SAVEPOINT s"):
            one.execute(begin)
            assert one.execute("SELECT 1").fetchall() == [(1,)]
            other.execute("INSERT INTO wards VALUES ('A')")
            one.execute("INSERT INTO wards VALUES ('B')")
            one.execute("COMMIT")
        assert one.execute("SELECT count(*) FROM wards").fetchall() == [(4,)]
        one.execute("BEGIN")
        assert one.execute("SELECT count(*) FROM wards").fetchall() == [(4,)]
        other.execute("INSERT INTO wards VALUES ('A')")
        with pytest.raises(vdb.dbapi.OperationalError, match="database is locked"):
            one.execute("INSERT INTO wards VALUES ('B')")  # it can't write onto what it hasn't seen
        other.execute("INSERT INTO wards VALUES ('A')")  # nor does it stand in the way of others
        one.execute("ROLLBACK")


def test_a_note_names_the_rules_by_which_a_transaction_wrote(clinic: vdb.SqlDatabase) -> None:
    with clinic.connect(isolation_level=None) as connection:
        connection.execute("INSERT INTO wards VALUES ('C')")
        assert entries(clinic)[-1].rule == "no-policy"
        clinic.local.call(lambda: clinic.local.node.guard.apply_policy(POLICY + WRITING, 0))
        connection.execute("BEGIN")
        connection.execute("INSERT INTO wards VALUES ('D')")
        connection.execute("ROLLBACK")
        connection.execute("INSERT INTO trails VALUES ('x')")
        assert (entries(clinic)[-1].rule, entries(clinic)[-1].policy[:7]) == ("writes-trails", "sha256:")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO trails VALUES ('y')")
        connection.execute("CREATE TABLE made (x)")
        connection.execute("INSERT INTO wards VALUES ('E')")
        connection.execute("COMMIT")
        assert entries(clinic)[-1].rule == "writes-trails, shapes, writes-wards"


WRITING = """
[[rule]]
name = "shapes"
principals = ["embedded"]
actions = ["schema"]
[[rule]]
name = "writes-wards"
principals = ["embedded"]
actions = ["append"]
tables = ["wards"]
[[rule]]
name = "writes-trails"
principals = ["embedded"]
actions = ["append"]
tables = ["trails"]
"""


def test_for_whom_the_code_around_asks_stands_in_receipts_and_notes(clinic: vdb.SqlDatabase) -> None:
    with clinic.connect(isolation_level=None) as connection:
        with vdb.context(actor="dr.kim"):
            connection.execute("SELECT name FROM patients").fetchall()
            connection.execute("INSERT INTO wards VALUES ('C')")
        read, wrote = entries(clinic)[-2:]
        assert [(one.kind, one.actor, one.on_behalf_of) for one in (read, wrote)] == [
            (Kind.QUERY, "embedded", "dr.kim"),
            (Kind.WRITE, "embedded", "dr.kim"),
        ]
        connection.execute("SELECT name FROM patients").fetchall()
        assert entries(clinic)[-1].on_behalf_of == ""
        with vdb.context(actor="dr.kim"), vdb.dbapi.attributed(actor="dr.lee"):
            connection.execute("SELECT name FROM patients").fetchall()
        assert entries(clinic)[-1].on_behalf_of == "dr.lee"


def test_a_throw_away_database_asks_the_policy_that_it_has() -> None:
    local = open_local(":memory:", is_kept=False)
    try:
        before = vdb.dbapi.Connection(local)
        before.executescript(MIGRATIONS["0001_clinic.sql"])
        assert local.keeper() is None
        local.call(lambda: local.node.guard.apply_policy(POLICY, 0))
        with vdb.dbapi.Connection(local, purpose="TREAT") as connection:
            assert connection.execute("SELECT name, ssn FROM patients").fetchall() == [("Ada", "***6789")]
            with pytest.raises(vdb.dbapi.DatabaseError, match="not authorized"):
                connection.execute("DELETE FROM patients")
        before.close()
    finally:
        local.close()
