"""Who may see the data of some subjects, by their consent or as a glass was broken for them, sees theirs alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb
import vdb.dbapi
from vdb.audit.entry import AuditEntry, Kind, decode_entry
from vdb.errors import AccessDenied, PolicyChanged
from vdb.node.gate import by_subject
from vdb.types import GroupId, TenantId

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
MIGRATIONS = {
    "0001_clinic.sql": """
-- vdb: subject patients.id
-- vdb: subject notes.patient
CREATE TABLE patients (id TEXT COLLATE NOCASE, name TEXT, ssn TEXT, ward TEXT);
CREATE TABLE notes (id INTEGER PRIMARY KEY, patient, text TEXT);
CREATE TABLE wards (name TEXT, head TEXT);
CREATE VIEW charts AS SELECT p.id, p.name, n.text FROM patients AS p JOIN notes AS n ON n.patient = p.id;
INSERT INTO patients VALUES
    ('p-1', 'Ada', '123-45-6789', 'A'), ('p-2', 'Bob', '987-65-4321', 'B'), ('P-2', 'Not Bob', '1', 'B'),
    (NULL, 'Nobody', '2', 'B'), ('7', 'Sue', '777-77-7777', 'B'), ('O''Hara', 'Cyd', '3', 'A');
INSERT INTO notes (patient, text) VALUES
    ('p-1', 'cough'), ('p-2', 'HIV'), ('P-2', 'flu'), (7, 'seven'), ('7', 'as text'), (7.0, 'real'), (x'07', 'blob'),
    (NULL, 'loose');
INSERT INTO wards VALUES ('A', 'kim');
"""
}
POLICY = """
name = "clinic"

[roles]
program = []
officer = []

[break-glass]
roles = ["program"]
reviewers = ["officer"]

[[binding]]
principals = ["embedded"]
roles = ["program"]

[[rule]]
name = "governs"
principals = ["embedded"]
actions = ["policy", "schema"]

[[rule]]
name = "glass"
effect = "break-glass"
roles = ["program"]
actions = ["query", "append"]

[[rule]]
name = "by-consent"
roles = ["program"]
actions = ["query"]
purposes = ["HRESCH"]
consent = true
masks = { ssn = "last-four" }

[[rule]]
name = "ward-a"
roles = ["program"]
actions = ["query"]
tables = ["patients"]
purposes = ["TREAT", "BTG"]
rows = "ward = 'A'"
masks = { ssn = "hide" }
"""


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[vdb.SqlDatabase]:
    """With the policy applied."""
    with vdb.open_crud(tmp_path / "data", MIGRATIONS, KEY) as database:
        database.local.call(lambda: database.local.node.guard.apply_policy(POLICY, 0))
        yield database


def consent(clinic: vdb.SqlDatabase, subject: str, *purposes: str, until: int = 0, withdraw: bool = False) -> None:
    guard = clinic.local.node.guard
    clinic.local.call(lambda: guard.put_consent(1, "", subject, purposes, until, withdraw=withdraw))


def break_glass(clinic: vdb.SqlDatabase, subject: str, seconds: int = 0) -> int:
    guard = clinic.local.node.guard
    opened = clinic.local.call(lambda: guard.break_glass(1, "", subject, "she is unconscious", seconds))
    return opened.grant


def entries(clinic: vdb.SqlDatabase, kind: Kind) -> list[AuditEntry]:
    audit = clinic.local.node.guard.service.audit
    page = clinic.local.call(lambda: audit.records(TenantId(1), GroupId("ap-southeast-2"), 0, 1000))
    found = [decode_entry(entry) for record in page.records for entry in record.entries]
    return [entry for entry in found if entry.kind is kind]


def receipts(clinic: vdb.SqlDatabase) -> list[AuditEntry]:
    return entries(clinic, Kind.QUERY)


def rows(clinic: vdb.SqlDatabase, purpose: str, sql: str, *parameters: Any) -> list[Any]:
    with clinic.connect(purpose=purpose) as connection:
        found: list[Any] = connection.execute(sql, parameters).fetchall()
        return found


def test_rows_of_those_who_consent_are_shown_and_no_others(clinic: vdb.SqlDatabase) -> None:
    with pytest.raises(vdb.dbapi.DatabaseError, match="would with the subject's consent"):
        rows(clinic, "HRESCH", "SELECT name FROM patients")
    consent(clinic, "p-2", "HRESCH")
    consent(clinic, "p-1", "HMARKT")
    assert rows(clinic, "HRESCH", "SELECT name, ssn FROM patients") == [("Bob", "***4321")]
    (entry,) = receipts(clinic)
    assert (entry.rule, entry.subjects, entry.grant, entry.detail) == ("by-consent", ("p-2",), 0, {})
    assert rows(clinic, "HRESCH", "SELECT count(*), max(name) FROM patients") == [(1, "Bob")]
    assert rows(clinic, "HRESCH", "SELECT name, text FROM charts") == [("Bob", "HIV")]
    assert rows(clinic, "HRESCH", "SELECT text FROM notes WHERE patient <> 'p-2' OR 1") == [("HIV",)]
    assert rows(clinic, "HRESCH", "SELECT (SELECT group_concat(text) FROM notes) FROM patients") == [("HIV",)]
    with pytest.raises(vdb.dbapi.DatabaseError, match="not authorized"):
        rows(clinic, "HMARKT", "SELECT name FROM patients")  # no rule lets anybody see it for that
    consent(clinic, "7", "HRESCH")
    assert rows(clinic, "HRESCH", "SELECT text FROM notes ORDER BY id") == [("HIV",), ("seven",), ("as text",)]
    consent(clinic, "07", "HRESCH")  # a blob is called by its hex digits
    consent(clinic, "O'Hara", "HRESCH")
    assert len(rows(clinic, "HRESCH", "SELECT text FROM notes")) == 4
    assert [name for (name,) in rows(clinic, "HRESCH", "SELECT name FROM patients")] == ["Bob", "Sue", "Cyd"]
    consent(clinic, "p-2", withdraw=True)
    assert [name for (name,) in rows(clinic, "HRESCH", "SELECT name FROM patients")] == ["Sue", "Cyd"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM main.patients",
        "SELECT head FROM wards",
        "SELECT name, head FROM patients, wards",
        "CREATE TABLE copied AS SELECT * FROM patients",
        "CREATE TRIGGER t AFTER DELETE ON notes BEGIN DELETE FROM notes WHERE id IN (SELECT 1 FROM patients); END",
        "UPDATE patients SET name = 'x'",
        "DELETE FROM notes",
        "INSERT INTO notes (patient, text) VALUES ('p-1', 'x')",
    ],
)
def test_what_a_consent_doesnt_open(clinic: vdb.SqlDatabase, sql: str) -> None:
    consent(clinic, "p-2", "HRESCH")
    with pytest.raises(vdb.dbapi.Error):
        rows(clinic, "HRESCH", sql)
    assert rows(clinic, "HRESCH", "SELECT name FROM patients") == [("Bob",)]


def test_a_table_that_doesnt_say_whose_its_rows_are_shows_none(clinic: vdb.SqlDatabase) -> None:
    consent(clinic, "p-2", "HRESCH")
    with pytest.raises(vdb.dbapi.DatabaseError) as caught:
        rows(clinic, "HRESCH", "SELECT * FROM wards")
    assert isinstance(caught.value.__cause__, AccessDenied)
    assert "declares no subject column" in str(caught.value.__cause__)


def test_a_broken_glass_shows_its_subject_and_the_receipt_names_it(clinic: vdb.SqlDatabase) -> None:
    sql = "SELECT name, ssn FROM patients ORDER BY name"
    ward_a = [("Ada", None), ("Cyd", None)]
    assert rows(clinic, "BTG", sql) == ward_a
    grant = break_glass(clinic, "p-2")
    assert rows(clinic, "TREAT", sql) == ward_a  # not for another purpose
    assert rows(clinic, "BTG", sql) == [("Ada", None), ("Bob", "987-65-4321"), ("Cyd", None)]
    entry = receipts(clinic)[-1]
    assert (entry.rule, entry.grant, entry.detail) == ("glass, ward-a", grant, {"broke-glass": "true"})
    assert entry.subjects == ("p-1", "p-2", "O'Hara")
    assert rows(clinic, "BTG", "SELECT ssn FROM patients WHERE name = 'Ada'") == [(None,)]
    entry = receipts(clinic)[-1]
    assert (entry.rule, entry.grant, entry.detail) == ("ward-a", 0, {})
    assert rows(clinic, "BTG", "SELECT text FROM notes") == [("HIV",)]  # what nobody sees otherwise
    assert receipts(clinic)[-1].grant == grant
    other = break_glass(clinic, "7")
    assert len(rows(clinic, "BTG", "SELECT text FROM notes")) == 3
    assert receipts(clinic)[-1].detail == {"broke-glass": "true", "grants": f"{grant}, {other}"}
    with clinic.connect(purpose="BTG", isolation_level=None) as connection:
        assert connection.execute("UPDATE notes SET text = 'read'").rowcount == 3
        assert connection.execute("DELETE FROM notes WHERE patient = 'p-1'").rowcount == 0
    wrote = entries(clinic, Kind.WRITE)[-1]
    assert (wrote.rule, wrote.grant) == ("glass", grant)
    assert wrote.detail == {"rows": "3", "broke-glass": "true", "grants": f"{grant}, {other}"}
    everybody = break_glass(clinic, "")
    assert len(rows(clinic, "BTG", "SELECT text FROM notes")) == 8
    assert len(rows(clinic, "BTG", sql)) == 6
    assert receipts(clinic)[-1].grant in (grant, other, everybody)


def test_it_ends_with_the_grant_and_with_the_consent(clinic: vdb.SqlDatabase) -> None:
    many = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10100)"
    clinic.local.call(lambda: clinic.local.node.guard.apply_policy(POLICY + _WRITES, 1))
    with clinic.connect(isolation_level=None) as connection:
        connection.execute(f"{many} INSERT INTO patients SELECT 'p-2', 'Cyd', '', 'B' FROM n")
    consent(clinic, "p-2", "HRESCH")
    with clinic.connect(purpose="HRESCH") as connection:
        cursor = connection.execute("SELECT name FROM patients")
        assert cursor.fetchone() == ("Bob",)
        consent(clinic, "p-2", withdraw=True)
        with pytest.raises(vdb.dbapi.DatabaseError) as caught:
            cursor.fetchall()
        assert isinstance(caught.value.__cause__, AccessDenied)
        consent(clinic, "p-2", "HRESCH")
        consent(clinic, "p-1", "HRESCH")
        cursor = connection.execute("SELECT name FROM patients")
        assert cursor.fetchone() == ("Ada",)
        consent(clinic, "p-1", withdraw=True)
        with pytest.raises(vdb.dbapi.OperationalError) as caught:
            cursor.fetchall()
        assert isinstance(caught.value.__cause__, PolicyChanged)


_WRITES = """
[[rule]]
name = "writes"
roles = ["program"]
actions = ["append"]
"""


def test_a_database_is_opened_by_whom_a_consent_lets_see_a_row(tmp_path: Path) -> None:
    with vdb.open_crud(tmp_path / "data", MIGRATIONS, KEY) as clinic:
        clinic.local.call(lambda: clinic.local.node.guard.apply_policy(POLICY.replace('"schema"', '"keys"'), 0))
        with vdb.dbapi.connect(tmp_path / "data", keys=KEY, purpose="TREAT") as connection:
            assert len(connection.execute("SELECT name FROM patients").fetchall()) == 2
        with pytest.raises(vdb.dbapi.DatabaseError, match="not authorized"):
            vdb.dbapi.connect(tmp_path / "data", keys=KEY, principal="nobody")


def test_what_was_found_is_remembered_until_something_changes(
    clinic: vdb.SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ruling = by_subject._ruling

    def counted(*arguments: Any, **options: Any) -> Any:
        asked.append(arguments)
        return ruling(*arguments, **options)

    monkeypatch.setattr(by_subject, "_ruling", counted)
    consent(clinic, "p-2", "HRESCH")
    with clinic.connect(purpose="HRESCH") as connection:
        for _ in range(3):
            assert connection.execute("SELECT name FROM patients").fetchall() == [("Bob",)]
        assert len(asked) == 1
        consent(clinic, "7", "HRESCH")
        assert len(connection.execute("SELECT name FROM patients").fetchall()) == 2
        assert len(asked) == 2
        monkeypatch.setattr(by_subject, "SUBJECTS_MAX", 1)
        consent(clinic, "p-1", "HRESCH")
        with pytest.raises(vdb.dbapi.DatabaseError) as caught:
            connection.execute("SELECT name FROM patients")
        assert "more than 1 subjects would have to be told apart" in str(caught.value.__cause__)
