"""Programs that look through the schema find what they made in it, and none of VerityDB's own tables."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path

import pytest

from vdb import dbapi
from vdb.sql.hiding import without_own

SCRIPT = """
CREATE TEMP TABLE drafts (text TEXT);
CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE Notes (id INTEGER PRIMARY KEY AUTOINCREMENT, patient REFERENCES patients);
CREATE INDEX by_patient ON notes (patient);
CREATE VIEW names AS SELECT name FROM patients;
CREATE TRIGGER kept AFTER DELETE ON patients BEGIN SELECT 1; END;
INSERT INTO patients VALUES (1, 'Ada'), (2, 'Bo');
"""

ASKING = (
    "SELECT name FROM sqlite_master",
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name",
    "select NAME from SQLITE_MASTER where type='table'",
    "SELECT name FROM sqlite_schema ORDER BY name",
    "SELECT count(*) FROM main.sqlite_master",
    'SELECT name FROM "main".sqlite_master ORDER BY name',
    'SELECT m.name FROM "main"."sqlite_master" m JOIN [sqlite_master] AS n ON m.tbl_name = n.name ORDER BY 1',
    "SELECT main.sqlite_master.name FROM main . sqlite_master",
    "SELECT sqlite_master.name, 'a%' FROM sqlite_master WHERE name LIKE 'n%'",
    "/* all */ SELECT count(*) FROM sqlite_master -- of them",
    "WITH t AS (SELECT * FROM sqlite_master) SELECT count(*) FROM t, sqlite_schema",
    "WITH RECURSIVE t(n) AS (SELECT count(*) FROM main.sqlite_master) SELECT n FROM t",
    "SELECT 1 UNION ALL SELECT count(*) FROM (SELECT * FROM sqlite_master)",
    "WITH sqlite_master AS (SELECT 1 AS one) SELECT * FROM sqlite_master",
    "WITH sqlite_master(one) AS (SELECT 1) SELECT * FROM sqlite_master",
    "SELECT p.name FROM sqlite_master AS m, pragma_table_info(m.name) AS p ORDER BY 1",
    "SELECT 'sqlite_master'",
    "SELECT name FROM sqlite_temp_master",
    "SELECT schema, name, type, ncol FROM pragma_table_list WHERE schema = 'main' ORDER BY name",
    "SELECT name FROM pragma_table_list('notes')",
    "SELECT m.name, p.name FROM sqlite_master AS m, pragma_table_list AS p WHERE m.name = p.name ORDER BY 1",
    "SELECT name, type FROM sqlite_temp_schema UNION SELECT name, type FROM sqlite_master ORDER BY 1, 2",
)


def both(script: str) -> tuple[sqlite3.Connection, dbapi.Connection]:
    plain, ours = sqlite3.connect(":memory:"), dbapi.connect(":memory:")
    for connection in (plain, ours):
        connection.executescript(script)
    return plain, ours


@pytest.mark.parametrize("sql", ASKING)
def test_the_schema_is_what_the_program_made(sql: str) -> None:
    plain, ours = both(SCRIPT)
    expected = plain.execute(sql).fetchall()
    for _ in range(2):  # the first and the second run of a text take different ways
        cursor = ours.execute(sql)
        assert cursor.fetchall() == expected
        assert cursor.description == plain.execute(sql).description
    plain.close()
    ours.close()


def test_a_database_without_tables_is_empty() -> None:
    plain, ours = both("")
    assert ours.execute("SELECT * FROM sqlite_master").fetchall() == []
    assert ours.execute("SELECT name FROM sqlite_master WHERE name = ?", ("a",)).fetchall() == []
    plain.close()
    ours.close()


def test_a_program_can_drop_all_that_it_finds() -> None:
    plain, ours = both(SCRIPT)
    found = ours.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'")
    for (name,) in found.fetchall():
        ours.execute(f'DROP TABLE "{name}"')
    assert ours.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("sqlite_sequence",)]
    plain.close()
    ours.close()


def test_who_names_them_sees_them() -> None:
    plain, ours = both("")
    asked = "SELECT name FROM sqlite_master WHERE name = 'projection_meta'"
    assert ours.execute(asked).fetchall() == [("projection_meta",)]
    plain.close()
    ours.close()


@pytest.mark.parametrize("sql", ["PRAGMA table_list", "pragma main.table_list;", "PRAGMA table_list(patients)"])
def test_a_list_of_tables_without_ours(sql: str) -> None:
    plain, ours = both(SCRIPT)
    expected, found = ([row for row in each.execute(sql) if row[0] == "main"] for each in (plain, ours))
    assert sorted(found) == sorted(expected)
    plain.close()
    ours.close()


def test_statistics_are_of_the_programs_tables() -> None:
    plain, ours = both(f"{SCRIPT} ANALYZE")
    for sql in (
        "SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl",
        "SELECT count(*) FROM main.sqlite_stat1 AS s JOIN sqlite_master AS m ON m.name = s.tbl",
    ):
        assert ours.execute(sql).fetchall() == plain.execute(sql).fetchall()
    plain.close()
    ours.close()


def test_the_file_is_never_mapped_into_memory() -> None:
    plain, ours = both("")
    for sql in (
        "PRAGMA mmap_size = 134217728",
        "pragma main.mmap_size(134217728);",
        "PRAGMA/* ! */[mmap_size] = -- ?\n5",
        "PRAGMA mmap_size",
    ):
        assert ours.execute(sql).fetchall() == [(0,)]
    with pytest.raises(dbapi.DatabaseError, match="not authorized"):
        ours.execute("EXPLAIN PRAGMA mmap_size = 5")
    assert ours.execute("PRAGMA mmap_size").fetchall() == [(0,)]
    plain.close()
    ours.close()


@pytest.mark.parametrize(("name", "value"), [("page_size", 512), ("auto_vacuum", "FULL"), ("auto_vacuum", 2)])
def test_a_file_that_has_tables_keeps_its_layout(name: str, value: object) -> None:
    plain, ours = both(SCRIPT)
    before = ours.execute(f"PRAGMA {name}").fetchone()
    for connection in (plain, ours):
        assert connection.execute(f"PRAGMA {name} = {value}").fetchall() == []
        assert connection.execute(f"PRAGMA {name}").fetchone() == before
    plain.close()
    ours.close()


def test_rows_with_their_numbers_are_sqlites_own() -> None:
    sql = "SELECT rowid, name FROM sqlite_master"
    assert without_own(sql) is sql


def test_a_statement_is_traced_that_asks_for_the_schema() -> None:
    plain, ours = both(SCRIPT)
    told: list[str] = []
    ours.set_trace_callback(told.append)
    assert ours.execute("SELECT count(*) FROM sqlite_master").fetchone() is not None
    assert len(told) == 1
    assert told[0].endswith("SELECT count(*) FROM sqlite_master")
    plain.close()
    ours.close()


def test_in_a_data_directory_too(tmp_path: Path) -> None:
    key = tmp_path / "root.key"
    key.write_bytes(base64.b64encode(bytes(32)))
    key.chmod(0o600)
    with dbapi.connect(tmp_path / "data", keys=key) as ours:
        ours.executescript(SCRIPT)
        found = ours.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        assert found == [("Notes",), ("patients",), ("sqlite_sequence",)]
        assert ours.execute("PRAGMA page_size").fetchall() == [(4096,)]
        assert ours.execute("PRAGMA mmap_size = 134217728").fetchall() == [(0,)]
        assert ours.execute("PRAGMA mmap_size").fetchall() == [(0,)]
    ours.close()
