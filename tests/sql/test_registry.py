"""What migrations make, and how schemas differ."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.errors import MigrationError
from vdb.projections.store import close_sqlcipher, open_plain_memory
from vdb.sql.diff import Schema, compare, normal_text, read_schema
from vdb.sql.migrations import Applied
from vdb.sql.registry import SchemaRegistry

FILES = {
    "0001_patients.sql": "-- vdb: subject patients.id\nCREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);",
    "0002_index.sql": "CREATE INDEX by_name ON patients (name); CREATE VIEW names AS SELECT name FROM patients;",
}


def schema_of(script: str) -> Schema:
    db: Any = open_plain_memory()
    db.executescript(script)
    try:
        return read_schema(db)
    finally:
        close_sqlcipher(db)


def test_schema_and_subjects() -> None:
    registry = SchemaRegistry.from_files(FILES)
    assert list(registry.schema()) == [("index", "by_name"), ("table", "patients"), ("view", "names")]
    table = registry.schema()["table", "patients"]
    assert [column.text() for column in table.columns] == ["id TEXT primary key 1", "name TEXT"]
    assert registry.schema()["index", "by_name"].table == "patients"
    assert registry.subjects() == {"patients": "id"}
    assert registry.schema() is registry.schema()


def test_an_empty_registry() -> None:
    assert SchemaRegistry().schema() == {}
    assert SchemaRegistry().pending([]) == []


def test_pending() -> None:
    registry = SchemaRegistry.from_files(FILES)
    first = registry.migrations[0]
    had = [Applied(number=1, name=first.name, checksum=first.checksum)]
    assert [migration.name for migration in registry.pending(had)] == ["0002_index.sql"]
    with pytest.raises(MigrationError, match=r"0002_index\.sql was applied, and its file is missing"):
        SchemaRegistry([first]).pending([*had, Applied(number=2, name="0002_index.sql", checksum="")])


def test_what_is_not_taken_is_an_error() -> None:
    with pytest.raises(MigrationError, match=r"^0001_a\.sql, line 1: VACUUM is refused: "):
        SchemaRegistry.from_files({"0001_a.sql": "VACUUM"}).schema()


def test_drift() -> None:
    registry = SchemaRegistry.from_files(FILES)
    same = "create table [patients](id text primary key, /* full */ name text); " + FILES["0002_index.sql"]
    assert registry.drift(schema_of(same + "create table vdb_migrations(number)")) == []
    other = (
        "CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '', born AS (name) );"
        "CREATE VIEW names AS SELECT id FROM patients; CREATE TRIGGER t AFTER INSERT ON patients BEGIN SELECT 1; END;"
    )
    assert [difference.text() for difference in registry.drift(schema_of(other))] == [
        "changed table patients: column name TEXT is now name TEXT NOT NULL DEFAULT ''; column born generated added",
        "removed index by_name",
        "changed view names",
        "added trigger t",
    ]


def test_differences_of_tables() -> None:
    before = schema_of("CREATE TABLE a (b, c); CREATE TABLE gone (x)")
    assert [found.text() for found in compare(before, schema_of("CREATE TABLE a (c, b); CREATE TABLE new (x)"))] == [
        "changed table a: its constraints or the order of its columns",
        "removed table gone",
        "added table new",
    ]
    (found,) = compare(schema_of("CREATE TABLE a (b, c)"), schema_of("CREATE TABLE a (B)"))
    assert found.text() == "changed table a: column b is now B; column c removed"


def test_normal_text() -> None:
    assert normal_text("CREATE  TABLE \"A b\" (c -- x\n DEFAULT 'Y')") == "create table a b ( c default 'Y' )"
