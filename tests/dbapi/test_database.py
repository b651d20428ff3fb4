"""`vdb.open_crud`: a SQL database in this process, with migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

import vdb
from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError, MigrationError

KEYS = RootKeys(bytes(range(32)))
FIRST = "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n"
SECOND = "ALTER TABLE patients ADD COLUMN born TEXT;\n"


def test_migrations_are_applied_once(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_patients.sql").write_text(FIRST)
    with vdb.open_crud(tmp_path / "data", folder, KEYS) as clinic:
        with clinic.connect() as connection:
            connection.execute("INSERT INTO patients (name) VALUES ('Ada')")
        connection.close()
    (folder / "0002_born.sql").write_text(SECOND)
    with vdb.open_crud(tmp_path / "data", folder, KEYS) as clinic:
        assert [applied.name for applied in clinic.migrations()] == ["0001_patients.sql", "0002_born.sql"]
        assert clinic.migrate(folder) == []
        connection = clinic.connect()
        assert connection.execute("SELECT * FROM patients").fetchall() == [(1, "Ada", None)]
        connection.close()


def test_a_migration_that_changed_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    with vdb.open_crud(tmp_path / "data", {"0001_patients.sql": FIRST}, KEYS) as clinic:
        offset = clinic.offset
    with pytest.raises(MigrationError, match=r"0001_patients\.sql"):
        vdb.open_crud(tmp_path / "data", {"0001_patients.sql": FIRST + "-- more"}, KEYS)
    with vdb.open_crud(tmp_path / "data", None, KEYS) as clinic:
        assert clinic.offset == offset


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    broken = {"0001_patients.sql": FIRST, "0002_broken.sql": "CREATE TABLE a (x);\nINSERT INTO nothing VALUES (1);\n"}
    with pytest.raises(MigrationError, match=r"0002_broken\.sql"):
        vdb.open_crud(tmp_path / "data", broken, KEYS)
    with vdb.open_crud(tmp_path / "data", None, KEYS) as clinic:
        connection = clinic.connect()
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('patients', 'a')").fetchall()
        assert tables == [("patients",)]
        connection.close()


def test_a_folder_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere isn't a directory"):
        vdb.open_crud(":memory:", tmp_path / "nowhere")


def test_connections_share_the_database_and_end_with_it() -> None:
    clinic = vdb.open_crud(":memory:", {"0001_patients.sql": FIRST})
    first, second = clinic.connect(isolation_level=None), clinic.connect()
    first.execute("INSERT INTO patients (name) VALUES ('Ada')")
    assert second.execute("SELECT name FROM patients").fetchall() == [("Ada",)]
    assert (clinic.name, str(clinic.position).partition(":")[0]) == ("main", "ap-southeast-2")
    clinic.close()
    with pytest.raises(vdb.dbapi.Error):
        second.execute("SELECT name FROM patients")
