"""Who may change the schema, and not see the rows, gets at none of them by changing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vdb
import vdb.dbapi
from vdb.errors import AccessDenied

MIGRATIONS = {
    "0001_clinic.sql": """
-- vdb: subject patients.id
CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT, ssn TEXT, ward TEXT);
CREATE TABLE secrets (what TEXT);
CREATE TABLE visits (id INTEGER PRIMARY KEY, patient TEXT);
CREATE VIEW tellers AS SELECT what FROM secrets;
INSERT INTO patients VALUES ('p-1', 'Ada', '123-45-6789', 'A'), ('p-2', 'Bob', '987-65-4321', 'B');
INSERT INTO secrets VALUES ('the code is 7');
"""
}
POLICY = """
name = "clinic"

[[rule]]
name = "no-secrets"
effect = "deny"
principals = ["embedded"]
actions = ["query"]
tables = ["secrets"]

[[rule]]
name = "governs"
principals = ["embedded"]
actions = ["policy", "schema", "append"]

[[rule]]
name = "sees-ward-a"
principals = ["embedded"]
actions = ["query"]
tables = ["patients"]
rows = "ward = 'A'"
masks = { ssn = "hide" }

[[rule]]
name = "sees-the-rest"
principals = ["embedded"]
actions = ["query"]
tables = ["visits", "copied", "other", "found", "people"]
"""
OPENS = [
    "CREATE TABLE copied AS SELECT what FROM secrets",
    "CREATE TABLE copied AS SELECT * FROM tellers",
    "CREATE TABLE copied AS SELECT id, ssn FROM patients",
    "CREATE TABLE copied AS WITH s AS (SELECT * FROM main.secrets) SELECT * FROM s",
    "INSERT INTO visits (patient) SELECT what FROM secrets",
    "INSERT INTO visits (patient) VALUES ((SELECT what FROM secrets))",
    "UPDATE visits SET patient = (SELECT what FROM secrets)",
    "DELETE FROM visits WHERE EXISTS (SELECT 1 FROM secrets WHERE what LIKE 'the%')",
    "CREATE TRIGGER leaks AFTER INSERT ON visits BEGIN UPDATE visits SET patient = (SELECT what FROM secrets); END",
    "CREATE TRIGGER leaks AFTER INSERT ON visits BEGIN UPDATE visits SET patient = (SELECT what FROM tellers); END",
    "CREATE TRIGGER leaks AFTER UPDATE ON secrets BEGIN INSERT INTO visits (patient) VALUES (new.what); END",
    "CREATE TRIGGER leaks AFTER UPDATE ON patients BEGIN INSERT INTO visits (patient) VALUES (new.ssn); END",
    'CREATE TRIGGER leaks INSTEAD OF UPDATE ON "tellers" BEGIN INSERT INTO visits (patient) VALUES (old.what); END',
    "ALTER TABLE secrets RENAME TO other",
    "ALTER TABLE patients RENAME COLUMN ssn TO number",
    'ALTER TABLE "patients" RENAME TO people',
    "ALTER TABLE patients DROP COLUMN ward",
    "/* so */ ALTER TABLE main.patients DROP ward",
    "SELECT what FROM secrets",
]


@pytest.fixture
def clinic() -> Iterator[vdb.SqlDatabase]:
    """With the policy applied."""
    with vdb.open_crud(":memory:", MIGRATIONS) as database:
        database.local.call(lambda: database.local.node.guard.apply_policy(POLICY, 0))
        yield database


def by_migration(clinic: vdb.SqlDatabase, sql: str) -> None:
    clinic.migrate({**MIGRATIONS, "0002_more.sql": f"CREATE TABLE made_before (x);\n{sql};"})


def by_connection(clinic: vdb.SqlDatabase, sql: str) -> None:
    with clinic.connect(isolation_level=None) as connection:
        connection.execute(sql)


@pytest.mark.parametrize("sql", OPENS)
def test_a_migration_copies_nothing_that_its_author_may_not_query(clinic: vdb.SqlDatabase, sql: str) -> None:
    with pytest.raises(AccessDenied, match=r"0002_more\.sql, line 2: "):
        by_migration(clinic, sql)
    assert [one.name for one in clinic.migrations()] == ["0001_clinic.sql"]
    with clinic.connect() as connection:  # and nothing of it was kept
        names = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('made_before', 'copied', 'found')")
        assert names.fetchall() == []


REDECLARES = [
    "-- vdb: subject patients.whose\nALTER TABLE patients ADD COLUMN whose TEXT DEFAULT 'p-1'",
    "-- vdb: subject PATIENTS.ward\nSELECT 1",
    "-- vdb: no subject patients\nSELECT 1",
    "-- vdb: no subject patients\n-- vdb: subject patients.id\nSELECT 1",
    "-- vdb: subject secrets.what\nSELECT 1",
    "-- vdb: subject secrets.what\nCREATE TABLE IF NOT EXISTS secrets (what TEXT)",
    "-- vdb: subject patients.name\nCREATE TEMP TABLE patients (id, name)",
]


@pytest.mark.parametrize("sql", REDECLARES)
def test_whose_rows_are_isnt_said_by_who_may_not_see_them(clinic: vdb.SqlDatabase, sql: str) -> None:
    with pytest.raises(AccessDenied, match=r"0002_more\.sql, the subject column of (?i:patients|secrets): "):
        by_migration(clinic, sql)
    with clinic.connect() as connection:
        found = connection.execute("SELECT tbl, col FROM vdb_subject_columns")
        assert found.fetchall() == [("patients", "id")]


DECLARES = [
    "-- vdb: subject patients.ID\nSELECT 1",
    "-- vdb: subject made.whose\nCREATE TABLE made (whose TEXT); INSERT INTO made VALUES ('p-1')",
    "-- vdb: subject visits.patient\nINSERT INTO visits (patient) VALUES ('p-1')",
    "-- vdb: subject visits.id\nSELECT 1",
]


def test_but_of_new_tables_and_of_those_that_one_may_read(clinic: vdb.SqlDatabase) -> None:
    files = {f"{2 + number:04}_more.sql": sql for number, sql in enumerate(DECLARES)}
    assert len(clinic.migrate(MIGRATIONS | files)) == len(DECLARES)


@pytest.mark.parametrize("sql", OPENS)
def test_nor_does_a_connection(clinic: vdb.SqlDatabase, sql: str) -> None:
    with pytest.raises(vdb.dbapi.DatabaseError) as caught:
        by_connection(clinic, sql)
    assert isinstance(caught.value.__cause__, AccessDenied)


HARMLESS = [
    "ALTER TABLE patients ADD COLUMN born TEXT",
    "ALTER TABLE secrets ADD COLUMN kept TEXT",
    "CREATE TRIGGER counts AFTER INSERT ON visits BEGIN UPDATE visits SET patient = new.patient; END",
    "CREATE TABLE copied AS SELECT * FROM visits",
    "ALTER TABLE copied RENAME TO other",
    "ALTER TABLE other DROP COLUMN id",
    'ALTER TABLE patients ADD COLUMN "drop" TEXT',
    "CREATE INDEX by_name ON visits (patient)",
    "INSERT INTO secrets (what) VALUES ('another')",
]


def test_what_opens_nothing_is_the_authors_to_change(clinic: vdb.SqlDatabase) -> None:
    files = {f"{2 + number:04}_more.sql": sql for number, sql in enumerate(HARMLESS)}
    assert len(clinic.migrate(MIGRATIONS | files)) == len(HARMLESS)
    by_connection(clinic, "DROP TRIGGER counts")
    by_connection(clinic, "ALTER TABLE other RENAME COLUMN patient TO whose")


def test_nothing_of_a_migration_is_done_by_half(clinic: vdb.SqlDatabase) -> None:
    by_connection(clinic, "UPDATE patients SET ward = upper(ward)")  # of the rows that are shown
    with pytest.raises(AccessDenied):
        by_migration(clinic, "UPDATE patients SET ward = lower(ward)")
    with pytest.raises(AccessDenied):
        by_migration(clinic, "INSERT INTO visits (patient) SELECT id FROM patients")


def test_without_a_policy_migrations_do_as_they_like() -> None:
    more: dict[str, Any] = {"0002_more.sql": ";\n".join(sql for sql in OPENS[2:8] if "copied" not in sql)}
    with vdb.open_crud(":memory:", {**MIGRATIONS, **more}, receipts=True) as database:
        assert len(database.migrations()) == 2
