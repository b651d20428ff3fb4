"""`vdb migrate` on a data directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdb.embedded.crud import open_local
from vdb.embedded.migrating import migrate, migration_facts, read_migration_files
from vdb.errors import ConfigError, MigrationError
from vdb.sql.host import run_inline
from vdb.world.keys import generate_root_key

PATIENTS = "-- vdb: subject patients.id\nCREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);\n"
VISITS = "CREATE TABLE visits (id INTEGER PRIMARY KEY, patient REFERENCES patients);\n"
NO_SUBJECT = (
    "table visits has no subject column: its rows fall under the database's key, and can't be erased per subject; "
    "say `-- vdb: subject visits.COLUMN` if a column names the subject"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "migrations"
    found.mkdir()
    (found / "0001_patients.sql").write_text(PATIENTS)
    (found / "README.md").write_text("about")
    return found


@pytest.fixture
def data(tmp_path: Path, folder: Path) -> list[str]:
    """Arguments that name data directory, key, database and folder."""
    key = tmp_path / "root.key"
    key.touch(mode=0o600)
    key.write_text(generate_root_key())
    place = str(tmp_path / "data")
    return ["--data-dir", place, "--key-file", str(key), "--db", "clinic", "--dir", str(folder)]


def test_from_nothing_to_applied(run_vdb: Callable[..., Any], folder: Path, data: list[str]) -> None:
    ran = run_vdb("migrate", "apply", *data)
    assert (ran.code, ran.out, ran.err) == (0, "applied 0001_patients.sql\n", "")
    (folder / "0002_visits.sql").write_text(VISITS)
    assert run_vdb("migrate", "status", *data).out == (
        "migration\tstate\n0001_patients.sql\tapplied\n0002_visits.sql\tpending\n"
    )
    assert run_vdb("migrate", "apply", *data, "--json").object == {"applied": ["0002_visits.sql"], "total": 2}
    assert run_vdb("migrate", "apply", *data).out == "nothing to apply: database 'clinic' has all of 2\n"
    assert run_vdb("migrate", "status", *data, "--json").objects == [
        {"number": 1, "name": "0001_patients.sql", "state": "applied"},
        {"number": 2, "name": "0002_visits.sql", "state": "applied"},
    ]
    ran = run_vdb("migrate", "check", *data)
    assert (ran.code, ran.out) == (0, f"warning: {NO_SUBJECT}\n")
    ran = run_vdb("migrate", "check", *data, "--no-phi")
    assert (ran.code, ran.out) == (0, "nothing to say\n")


def test_what_changed_is_named(run_vdb: Callable[..., Any], folder: Path, data: list[str]) -> None:
    run_vdb("migrate", "apply", *data)
    (folder / "0001_patients.sql").write_text(PATIENTS + "-- one more line\n")
    ran = run_vdb("migrate", "apply", *data)
    assert ran.code == 1
    assert ran.err == (
        "error: 0001_patients.sql has changed since it was applied: restore it, and write what is new into another "
        "one\n"
    )
    assert run_vdb("migrate", "apply", *data, "--json").error["code"] == "MIGRATION_ERROR"
    assert run_vdb("migrate", "check", *data).out == "error: 0001_patients.sql: changed since it was applied\n"


def test_check_without_a_database(run_vdb: Callable[..., Any], folder: Path) -> None:
    (folder / "0002_bad.sql").write_text("CREATE TABLE a (b);\nATTACH 'x' AS x;\n")
    ran = run_vdb("migrate", "check", "--dir", str(folder), "--json")
    assert ran.code == 1
    assert ran.objects[0] == {
        "severity": "error",
        "file": "",
        "line": 0,
        "message": "0002_bad.sql, line 2: ATTACH is refused: other database files can't be attached: a transaction is "
        "one database's, in the log as in the file",
    }


def test_what_is_missing(run_vdb: Callable[..., Any], folder: Path, data: list[str]) -> None:
    ran = run_vdb("migrate", "check", "--dir", str(folder / "none"))
    assert (ran.code, ran.err) == (2, f"error: no folder of migrations: {folder / 'none'} isn't a directory\n")
    ran = run_vdb("migrate", "status", *data)
    assert (ran.code, ran.err) == (2, f"error: --data-dir: there is no directory {data[1]}\n")
    assert run_vdb("migrate", "apply").code == 2


def test_help_has_examples(run_vdb: Callable[..., Any]) -> None:
    for command in ("apply", "status", "check"):
        assert f"vdb migrate {command} --" in run_vdb("migrate", command, "--help").out


def test_in_process(folder: Path) -> None:
    database = open_local(":memory:")
    try:
        assert [migration.name for migration in migrate(database, folder)] == ["0001_patients.sql"]
        assert migrate(database, folder) == []
        session = database.session()
        run_inline(session.execute("CREATE TABLE by_hand (a)"))
        database.end(session)
        applied, schema = migration_facts(database)
        assert [migration.name for migration in applied] == ["0001_patients.sql"]
        assert list(schema) == [("table", "by_hand"), ("table", "patients")]
        (folder / "0002_bad.sql").write_text("CREATE TABLE half (a);\nCREATE TABLE half (a);")
        with pytest.raises(MigrationError, match=r"^0002_bad\.sql, line 2: table half already exists$"):
            migrate(database, folder)
        assert ("table", "half") not in migration_facts(database)[1]
    finally:
        database.close()


def test_files(folder: Path) -> None:
    assert read_migration_files(folder) == {"0001_patients.sql": PATIENTS}
    (folder / "0002_latin.sql").write_bytes(b"-- caf\xe9")
    with pytest.raises(MigrationError, match=r"^0002_latin\.sql: not UTF-8 at byte 6$"):
        read_migration_files(folder)
    with pytest.raises(ConfigError, match="isn't a directory"):
        read_migration_files(folder / "none")
