"""`vdb migrate` on a data directory, and on a node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vdb
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
    ran = run_vdb("migrate", "check", *data, "--compare")
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
    assert (
        run_vdb("migrate", "check", *data, "--compare").out
        == "error: 0001_patients.sql: changed since it was applied\n"
    )


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


def test_help_has_examples(run_vdb: Callable[..., Any]) -> None:
    for command in ("apply", "status", "check"):
        assert f"vdb migrate {command} --" in run_vdb("migrate", command, "--help").out


def test_on_a_node(run_vdb: Callable[..., Any], start_node: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    node = start_node(tmp_path / "node")
    where = ["--address", node.address, "--db", "clinic", "--dir", str(folder)]
    (folder / "0002_visits.sql").write_text(VISITS)
    ran = run_vdb("migrate", "apply", *where)
    assert (ran.code, ran.out, ran.err) == (0, "applied 0001_patients.sql\napplied 0002_visits.sql\n", "")
    assert run_vdb("migrate", "apply", *where, "--json").object == {"applied": [], "total": 2}
    assert [each["state"] for each in run_vdb("migrate", "status", *where, "--json").objects] == ["applied", "applied"]
    assert run_vdb("migrate", "check", *where, "--compare", "--no-phi").out == "nothing to say\n"
    (folder / "0003_half.sql").write_text("CREATE TABLE half (a);\nCREATE TABLE half (a);")
    ran = run_vdb("migrate", "apply", *where)
    assert (ran.code, ran.err) == (1, "error: 0003_half.sql, line 2: table half already exists\n")
    with vdb.connect_sync(node.address) as client, client.sql("clinic") as session:
        session.execute("CREATE TABLE by_hand (a)")
        tables = "SELECT count(*) FROM sqlite_master WHERE name = 'half'"
        assert session.execute(tables).fetchall() == [(0,)]
    ran = run_vdb("migrate", "check", *where, "--compare", "--no-phi")
    assert ran.code == 1
    (folder / "0003_half.sql").unlink()
    ran = run_vdb("migrate", "check", *where, "--compare", "--no-phi")
    assert (ran.code, ran.out) == (0, "warning: not by a migration: added table by_hand\n")
    (folder / "0001_patients.sql").unlink()
    ran = run_vdb("migrate", "status", *where)
    assert ran.out == "migration\tstate\n0001_patients.sql\tmissing\n0002_visits.sql\tapplied\n"
