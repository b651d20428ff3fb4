"""Migrations: reading files, what is to be done, applying each once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vdb.errors import MigrationError
from vdb.projections.store import SqliteError
from vdb.sql.host import run_inline
from vdb.sql.migrations import (
    Applied,
    MigrationState,
    Subject,
    apply_migrations,
    load_migrations,
    migration_status,
    plan,
    read_applied,
)
from vdb.sql.rehearsal import Rehearsal, rehearsal

PATIENTS = """-- Who is treated.
-- vdb: subject patients.id
CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);

/* One more;
   with a comment. */
INSERT INTO patients VALUES ('p-1', 'x;');
"""
VISITS = "CREATE TABLE visits (id INTEGER PRIMARY KEY, patient REFERENCES patients);\n"
FILES = {"0001_patients.sql": PATIENTS, "0005_visits.sql": VISITS, "README.md": "about"}


@pytest.fixture
def database() -> Iterator[Rehearsal]:
    with rehearsal() as found:
        yield found


def apply(database: Rehearsal, files: dict[str, str]) -> list[str]:
    return [migration.name for migration in run_inline(apply_migrations(database, load_migrations(files)))]


def rows(database: Rehearsal, sql: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = database.run(sql).fetchall()
    return found


def tables(database: Rehearsal) -> list[object]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'vdb%' ORDER BY name"
    return [name for (name,) in rows(database, sql)]


def test_files_are_read_in_order() -> None:
    first, second = load_migrations(dict(reversed(FILES.items())))
    assert (first.number, first.name) == (1, "0001_patients.sql")
    assert (second.number, second.name) == (5, "0005_visits.sql")
    assert first.subjects == (Subject(table="patients", column="id"),)
    assert [line for line, _ in first.statements()] == [3, 7]
    assert not first.foreign_keys_off
    assert len(first.checksum) == 64


def test_the_checksum_is_of_the_text_and_not_of_its_line_ends() -> None:
    (unix,) = load_migrations({"0001_a.sql": "SELECT 1;\nSELECT 2;\n"})
    (windows,) = load_migrations({"0001_a.sql": "\ufeffSELECT 1;\r\nSELECT 2;\r\n"})
    (other,) = load_migrations({"0001_a.sql": "SELECT 1;\nSELECT 2; \n"})
    assert unix.checksum == windows.checksum != other.checksum


def test_directives() -> None:
    (found,) = load_migrations(
        {"0001_a.sql": '--vdb: subject "my table" . [the id]\n  -- vdb:  no subject old\n-- vdb: foreign keys off\n'}
    )
    assert found.subjects == (Subject(table="my table", column="the id"), Subject(table="old", column=None))
    assert found.foreign_keys_off


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"1_a.sql": ""}, "1_a.sql: a migration is named NNNN_name.sql, four digits and a name"),
        ({"a.sql": ""}, "a.sql: a migration is named NNNN_name.sql, four digits and a name"),
        ({"0001_a.sql": "", "0001_b.sql": ""}, "0001_a.sql and 0001_b.sql have the same number"),
        (
            {"0001_a.sql": "SELECT 1;\n-- vdb: subjet a.b"},
            "0001_a.sql, line 2: expected `-- vdb: subject TABLE.COLUMN`, `-- vdb: no subject TABLE` or "
            "`-- vdb: foreign keys off`; found 'subjet a.b'",
        ),
        (
            {"0001_a.sql": "\n\nBEGIN;\nCOMMIT;"},
            "0001_a.sql, line 3: BEGIN is refused: a migration is one transaction by itself",
        ),
        (
            {"0001_a.sql": "SAVEPOINT a"},
            "0001_a.sql, line 1: SAVEPOINT is refused: a migration is one transaction by itself",
        ),
        (
            {"0001_a.sql": "PRAGMA foreign_keys=OFF;"},
            "0001_a.sql, line 1: PRAGMA foreign_keys does nothing within a transaction; "
            "write `-- vdb: foreign keys off` on a line of its own",
        ),
    ],
)
def test_files_that_are_no_migrations(files: dict[str, str], message: str) -> None:
    with pytest.raises(MigrationError) as error:
        load_migrations(files)
    assert str(error.value) == message


def applied(*names: str, checksum: str | None = None) -> list[Applied]:
    found = {migration.name: migration for migration in load_migrations(FILES)}
    return [
        Applied(number=int(name[:4]), name=name, checksum=checksum or found[name].checksum if name in found else "")
        for name in names
    ]


def test_what_is_to_be_done() -> None:
    found = load_migrations(FILES)
    assert plan([], found) == list(found)
    assert plan(applied("0001_patients.sql"), found) == [found[1]]
    assert plan(applied("0001_patients.sql", "0005_visits.sql"), found) == []


@pytest.mark.parametrize(
    ("had", "message"),
    [
        (applied("0001_patients.sql", "0003_gone.sql"), "0003_gone.sql was applied, and its file is missing"),
        (
            applied("0001_patients.sql", checksum="0"),
            "0001_patients.sql has changed since it was applied: restore it, and write what is new into another one",
        ),
        (
            applied("0005_visits.sql"),
            "0001_patients.sql comes before 0005_visits.sql, which was applied: give it a new number",
        ),
        (
            [Applied(number=1, name="0001_people.sql", checksum="")],
            "0001_patients.sql was applied as 0001_people.sql: files aren't renamed later",
        ),
    ],
)
def test_what_does_not_fit(had: list[Applied], message: str) -> None:
    with pytest.raises(MigrationError) as error:
        plan(had, load_migrations(FILES))
    assert str(error.value) == message


def test_status() -> None:
    had = [*applied("0005_visits.sql", checksum="0"), Applied(number=7, name="0007_gone.sql", checksum="")]
    files = {**FILES, "0009_more.sql": "SELECT 1"}
    found = [(status.name, status.state) for status in migration_status(had, load_migrations(files))]
    assert found == [
        ("0001_patients.sql", MigrationState.LATE),
        ("0005_visits.sql", MigrationState.CHANGED),
        ("0007_gone.sql", MigrationState.MISSING),
        ("0009_more.sql", MigrationState.PENDING),
    ]
    assert migration_status(applied("0005_visits.sql"), load_migrations(FILES))[1].state is MigrationState.APPLIED


def test_each_is_applied_once(database: Rehearsal) -> None:
    assert run_inline(read_applied(database)) == []
    assert apply(database, {"0001_patients.sql": PATIENTS}) == ["0001_patients.sql"]
    assert apply(database, FILES) == ["0005_visits.sql"]
    assert apply(database, FILES) == []
    assert tables(database) == ["patients", "visits"]
    assert rows(database, "SELECT * FROM patients") == [("p-1", "x;")]
    assert rows(database, "SELECT number, name FROM vdb_migrations") == [
        (1, "0001_patients.sql"),
        (5, "0005_visits.sql"),
    ]
    assert run_inline(read_applied(database)) == applied("0001_patients.sql", "0005_visits.sql")


def test_one_that_fails_leaves_nothing_and_those_before_it_stay(database: Rehearsal) -> None:
    bad = {
        **FILES,
        "0006_bad.sql": "CREATE TABLE half (a);\nINSERT INTO half VALUES (1);\n\nINSERT INTO patients VALUES;",
    }
    with pytest.raises(MigrationError) as error:
        apply(database, bad)
    assert str(error.value) == '0006_bad.sql, line 4: near ";": syntax error'
    assert isinstance(error.value.__cause__, SqliteError)
    assert not database.in_transaction
    assert tables(database) == ["patients", "visits"]
    assert apply(database, {**FILES, "0006_good.sql": "CREATE TABLE whole (a)"}) == ["0006_good.sql"]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("ATTACH 'x' AS x", "0001_a.sql, line 1: ATTACH is refused: other database files can't be attached: a "),
        ("SELECT 1;\nDROP TABLE vdb_migrations", "0001_a.sql, line 2: the name vdb_migrations is refused: names that "),
        ("INSERT INTO nowhere VALUES (1)", "0001_a.sql, line 1: no such table: nowhere"),
        (
            "CREATE TABLE a (b PRIMARY KEY);\nCREATE TABLE c (d REFERENCES a DEFERRABLE INITIALLY DEFERRED);\n"
            "INSERT INTO c VALUES (1)",
            "0001_a.sql, at its end: FOREIGN KEY constraint failed",
        ),
    ],
)
def test_what_fails_names_file_and_line(database: Rehearsal, sql: str, message: str) -> None:
    database.run("PRAGMA foreign_keys = ON")
    with pytest.raises(MigrationError) as error:
        apply(database, {"0000_first.sql": "SELECT 1", "0001_a.sql": sql})
    assert str(error.value).startswith(message)
    assert not database.in_transaction


def test_a_table_is_built_anew_with_foreign_keys_off(database: Rehearsal) -> None:
    database.run("PRAGMA foreign_keys = ON")
    rebuild = (
        "-- vdb: foreign keys off\nCREATE TABLE new (id TEXT PRIMARY KEY, name TEXT, born TEXT);\n"
        "INSERT INTO new (id, name) SELECT id, name FROM patients;\nDROP TABLE patients;\n"
        "ALTER TABLE new RENAME TO patients;"
    )
    visit = "INSERT INTO visits (patient) VALUES ('p-1')"
    files = {**FILES, "0006_visit.sql": visit, "0007_born.sql": rebuild}
    assert apply(database, files)[-1] == "0007_born.sql"
    assert rows(database, "PRAGMA foreign_keys") == [(1,)]
    assert rows(database, "SELECT patient FROM visits") == [("p-1",)]
    bad = "-- vdb: foreign keys off\nDELETE FROM patients;"
    with pytest.raises(MigrationError, match=r"^0008_bad.sql: 1 rows refer to others that aren't there, in visits$"):
        apply(database, {**files, "0008_bad.sql": bad})
    assert rows(database, "PRAGMA foreign_keys") == [(1,)]
    assert rows(database, "SELECT id FROM patients") == [("p-1",)]


def test_subject_columns(database: Rehearsal) -> None:
    apply(database, FILES)
    assert rows(database, "SELECT * FROM vdb_subject_columns") == [("patients", "id")]
    renamed = {**FILES, "0006_rename.sql": "ALTER TABLE patients RENAME TO people"}
    with pytest.raises(MigrationError) as error:
        apply(database, renamed)
    assert str(error.value) == (
        "0006_rename.sql: the subject column patients.id isn't there; declare another one, or "
        "`-- vdb: no subject patients`"
    )
    renamed["0006_rename.sql"] += ";\n-- vdb: no subject Patients\n-- vdb: subject people.ID\n"
    apply(database, renamed)
    assert rows(database, "SELECT * FROM vdb_subject_columns") == [("people", "ID")]
    with pytest.raises(MigrationError, match=r"the subject column people\.nothing isn't there"):
        apply(database, {**renamed, "0007_x.sql": "-- vdb: subject people.nothing"})


def test_a_name_that_differs_by_a_capital_takes_no_declaration_of_anothers(database: Rehearsal) -> None:
    kin = "-- vdb: subject kin.id\nCREATE TABLE kin (id TEXT);"
    other = '-- vdb: subject "\u212ain".z\nCREATE TABLE "\u212ain" (z TEXT);'  # SQLite has both: it is KELVIN SIGN
    apply(database, {"0001_kin.sql": kin})
    with pytest.raises(
        MigrationError, match=r"0002_other\.sql: the tables kin and \u212ain can't both have a subject column"
    ):
        apply(database, {"0001_kin.sql": kin, "0002_other.sql": other})
    assert rows(database, "SELECT * FROM vdb_subject_columns") == [("kin", "id")]


class Racing(Rehearsal):
    """Somebody else applies the first migration just before this one's transaction begins."""

    raced = False

    async def execute(self, sql: str, parameters: object = ()) -> object:
        if sql == "BEGIN IMMEDIATE" and not self.raced:
            self.raced = True
            await apply_migrations(self, load_migrations({"0001_patients.sql": PATIENTS}))
        return await super().execute(sql, parameters)


def test_two_at_once(database: Rehearsal) -> None:
    racing = Racing(database.db)
    assert apply(racing, FILES) == ["0005_visits.sql"]
    assert tables(database) == ["patients", "visits"]
