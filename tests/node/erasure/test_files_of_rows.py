"""Projections and SQL databases are built anew without what was erased, under other keys; the old ones go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

import vdb
from vdb.dbapi.errors import OperationalError
from vdb.kernel.command import KeyScope

LIMITS = vdb.Limits(
    message_size_max=64 * 1024, wal_slots=64, checkpoint_interval=32, segment_size=256 * 1024, read_bytes_max=64 * 1024
)
KEY = bytes(range(32))
MIGRATIONS = {
    "0001_patients.sql": (
        "-- vdb: subject patients.id\n-- vdb: subject visits.patient\n"
        "CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);\n"
        "CREATE TABLE visits (number INTEGER PRIMARY KEY, patient TEXT, note TEXT);\n"
        "CREATE TABLE rooms (number INTEGER PRIMARY KEY, name TEXT);\n"
    )
}


@vdb.event("rows-note-written", subject="patient")
@attrs.frozen(kw_only=True)
class NoteWritten:
    patient: str
    text: str = attrs.field(repr=False)


NOTES = vdb.Table(name="notes", columns=(vdb.Column("at"), vdb.Column("text")), key=("at",))


def notes() -> vdb.Projection:
    projection = vdb.Projection("notes", streams=["chart-*"], tables=[NOTES])

    @projection.on(NoteWritten)
    def written(event: NoteWritten, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO notes VALUES (?, ?)", (str(context.position), event.text))

    @projection.on(vdb.Erased)
    def erased(_event: vdb.Erased, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO notes VALUES (?, ?)", (str(context.position), "(erased)"))

    return projection


def latest() -> vdb.TableProjection:
    table = vdb.Table(name="texts", columns=(vdb.Column("patient"), vdb.Column("text")), key=("patient",))
    return vdb.TableProjection("texts", table, streams=["chart-*"]).map(NoteWritten, text="text")


def file_keys(service: Any) -> list[bytes]:
    return [
        bytes(row.wrapped)
        for group in service.groups.values()
        for row in group.state.keys()  # noqa: SIM118 - rows of the key store
        if row.scope is KeyScope.PROJECTION and not row.is_destroyed
    ]


def texts_of(db: vdb.EmbeddedDatabase, projection: str, table: str) -> list[str]:
    return [row["text"] for row in db.rows(projection, table, order_by=["text"]).dicts()]


def test_projections_are_built_anew(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with vdb.open(data, keys=vdb.RootKeys(KEY), limits=LIMITS, projections=[notes(), latest()]) as db:
        for number in range(3):
            for patient in ("alice", "bob"):
                event = NoteWritten(patient=patient, text=f"{patient}'s secret {number}")
                last = db.append(f"chart-{patient}", event, create="phi")
        for name in ("notes", "texts"):
            assert db.wait_for(name, last.position)
        assert len(texts_of(db, "notes", "notes")) == 6
        keys = file_keys(db._audits._service)
        done = db.wait_erased(db.erase("alice", "asked for").erasure, timeout=60)
        assert texts_of(db, "notes", "notes") == ["(erased)"] * 3 + [f"bob's secret {number}" for number in range(3)]
        assert texts_of(db, "texts", "texts") == ["bob's secret 2"]
        assert not [key for key in keys if key in file_keys(db._audits._service)]
        assert "projection notes" in done.certificate
        files = [
            path.name for path in (data / "projections").rglob("*.db*") if not path.name.endswith(("-wal", "-shm"))
        ]
        assert sorted(files) == ["notes.2.db", "texts.2.db"]
        last = db.append("chart-bob", NoteWritten(patient="bob", text="bob goes on"))
        assert db.wait_for("notes", last.position)
    for path in data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [key for key in keys if key in content], path.name
    with vdb.open(data, keys=vdb.RootKeys(KEY), limits=LIMITS, projections=[notes(), latest()]) as db:
        db.wait_for("notes", last.position)
        assert texts_of(db, "notes", "notes")[0] == "(erased)"
        assert "bob goes on" in texts_of(db, "notes", "notes")


def test_rows_of_a_subject_leave_a_sql_database(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with vdb.open_crud(data, migrations=MIGRATIONS, keys=vdb.RootKeys(KEY)) as clinic:
        with clinic.connect(actor="dr-lee") as connection:
            connection.execute("INSERT INTO rooms VALUES (1, 'east')")
            for patient in ("alice", "bob"):
                connection.execute("INSERT INTO patients VALUES (?, ?)", (patient, f"{patient}'s name"))
                connection.execute("INSERT INTO visits (patient, note) VALUES (?, ?)", (patient, f"{patient} coughs"))
        before = clinic.offset
        with clinic.connect(actor="mx-poe") as connection:
            connection.execute("UPDATE patients SET name = 'Alice B.' WHERE id = 'alice'")
            connection.execute("UPDATE visits SET patient = 'bob' WHERE patient = 'alice'")  # from one to the other
            connection.execute("INSERT INTO visits (patient, note) VALUES ('alice', ?)", ("x" * 20_000,))
        with clinic.as_of(before) as old:
            assert old.execute("SELECT count(*) FROM patients").fetchone() == (2,)
        _erase(clinic, "alice")
        assert not list((data / "restore_points").rglob("*.db"))
        _check_rows(clinic, before)
        with clinic.connect() as connection:
            connection.execute("INSERT INTO patients VALUES ('carol', 'Carol')")
        refused = clinic.connect()
        with pytest.raises(OperationalError, match="were erased"), refused:
            refused.execute("INSERT INTO patients VALUES ('alice', 'again')")
        refused.close()
    with vdb.open_crud(data, migrations=MIGRATIONS, keys=vdb.RootKeys(KEY)) as clinic:
        _check_rows(clinic, before, more=("carol",))


def _erase(clinic: Any, subject: str) -> None:
    node = clinic.local.node
    done = node.wait_erased(node.erase(subject, "asked for").erasure, timeout=60)
    assert "database" in done.certificate


def _check_rows(clinic: Any, before: int, more: tuple[str, ...] = ()) -> None:
    with clinic.connect() as connection:
        found = connection.execute("SELECT id FROM patients ORDER BY id").fetchall()
        assert [row[0] for row in found] == ["bob", *more]
        # A visit that was moved from one to the other is the other's, from then on.
        notes_left = connection.execute("SELECT patient, note FROM visits ORDER BY number").fetchall()
        assert [tuple(row) for row in notes_left] == [("bob", "alice coughs"), ("bob", "bob coughs")]
        assert connection.execute("SELECT name FROM rooms").fetchall() == [("east",)]
    with clinic.as_of(before) as old:
        assert [row[0] for row in old.execute("SELECT id FROM patients")] == ["bob"]
        assert [row[0] for row in old.execute("SELECT note FROM visits")] == ["bob coughs"]
    erased = clinic.history("patients", "alice")
    assert [(one.operation.name, one.table, one.before, one.after) for one in erased] == [
        ("ERASED", "patients", None, None)
    ] * 2
    assert [one.attribution.actor for one in erased] == ["dr-lee", "mx-poe"]
    assert erased[0].time < erased[1].time
    assert len(clinic.history("patients", "bob")) == 1
