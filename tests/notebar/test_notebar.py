"""The synthetic day is consistent and reproducible, and its projections say what its events say."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from vdb.notebar import events as notebar
from vdb.notebar.events import APPOINTMENTS, NOTES, PATIENTS, PROVIDERS
from vdb.notebar.generator import DayEvent, generate_day
from vdb.notebar.projections import NOTEBAR_PROJECTIONS, PATIENT_TIMELINE
from vdb.projections.apply import fold
from vdb.projections.rows import dump_tables
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, StreamId, TenantId
from vdb.wire.event import encode_batch

STREAM_IDS = {PATIENTS: 1, APPOINTMENTS: 2, NOTES: 3, PROVIDERS: 4}


class SeededEntropy:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)


def as_runs(day: list[DayEvent]) -> list[OpenedRun]:
    offsets = dict.fromkeys(STREAM_IDS, 0)
    runs = []
    for position, one in enumerate(day):
        payload = notebar.REGISTRY.encode(
            one.event, event_id=one.event_id, time=one.time, actor=one.actor, subject=one.subject
        )
        runs.append(
            OpenedRun(
                tenant=TenantId(1), group=GroupId("eu-west-1"), stream=one.stream,
                stream_id=StreamId(STREAM_IDS[one.stream]), first_offset=offsets[one.stream],
                first_position=position, time=one.time, data_class=DataClass.PHI, schema_id=1,
                batch=encode_batch([payload]), event_ids=one.event_id, count=1,
            )
        )  # fmt: skip
        offsets[one.stream] += 1
    return runs


@pytest.fixture(scope="module")
def day() -> list[DayEvent]:
    return generate_day(SeededEntropy(7))


@pytest.fixture(scope="module")
def tables(day: list[DayEvent]) -> Iterator[dict[str, list[dict[str, Any]]]]:
    found = {}
    for config in NOTEBAR_PROJECTIONS:
        db = sqlite3.connect(":memory:", isolation_level=None)
        fold(as_runs(day), config, db)
        for table in config.tables:
            rows = dump_tables(db)[table.name]
            found[table.name] = [dict(zip(table.column_names, row, strict=True)) for row in rows]
        db.close()
    return found


def of_type(day: list[DayEvent], *types: type) -> list[Any]:
    return [one.event for one in day if isinstance(one.event, types)]


def test_a_day_has_a_few_thousand_events_of_every_kind(day: list[DayEvent]) -> None:
    assert 2_500 <= len(day) <= 5_000
    kinds = {type(one.event).__name__ for one in day}
    assert kinds == {cls.__name__ for cls in notebar.NotebarEvent.__args__}
    assert [one.time for one in day] == sorted(one.time for one in day)
    assert len({one.event_id for one in day}) == len(day)


def test_the_same_seed_gives_the_same_day(day: list[DayEvent]) -> None:
    assert generate_day(SeededEntropy(7)) == day
    assert generate_day(SeededEntropy(8)) != day


def test_subjects_are_the_patients(day: list[DayEvent]) -> None:
    for one in day:
        assert one.subject == getattr(one.event, "patient_id", "")
        assert (one.subject == "") == (one.stream == PROVIDERS)


def test_nothing_happens_before_what_it_needs(day: list[DayEvent]) -> None:
    known: set[str] = set()
    for one in day:
        event = one.event
        if isinstance(event, notebar.PatientCreated):
            known.add(event.patient_id)
            continue
        if isinstance(event, notebar.ProviderCreated):
            known.add(event.provider_id)
            continue
        if isinstance(event, notebar.AppointmentScheduled):
            known.add(event.appointment_id)
        if isinstance(event, notebar.NoteCreated):
            known.add(event.note_id)
        for name in ("patient_id", "provider_id", "appointment_id", "note_id"):
            value = getattr(event, name, None)
            assert value is None or value in known, (name, type(event))


def test_every_event_round_trips(day: list[DayEvent]) -> None:
    for one in day[:: len(day) // 200]:
        payload = notebar.REGISTRY.encode(one.event, event_id=one.event_id, time=one.time)
        assert notebar.REGISTRY.decode(payload) == one.event


def test_reprs_hold_no_name_and_no_text(day: list[DayEvent]) -> None:
    patient = of_type(day, notebar.PatientCreated)[0]
    note = of_type(day, notebar.NoteCreated)[0]
    assert patient.family_name not in repr(patient)
    assert note.text not in repr(note)


def test_notes_current(day: list[DayEvent], tables: dict[str, list[dict[str, Any]]]) -> None:
    notes = {row["note_id"]: row for row in tables["notes_current"]}
    created = of_type(day, notebar.NoteCreated)
    assert sorted(notes) == sorted(note.note_id for note in created)
    texts = {note.note_id: note.text for note in [*created, *of_type(day, notebar.NoteAmended)]}
    assert {note_id: row["text"] for note_id, row in notes.items()} == texts
    signed = {note.note_id for note in of_type(day, notebar.NoteSigned)}
    assert {note_id for note_id, row in notes.items() if row["status"] == "signed"} == signed
    assert all((row["signed_us"] is not None) == (note_id in signed) for note_id, row in notes.items())


def test_appointments_current(day: list[DayEvent], tables: dict[str, list[dict[str, Any]]]) -> None:
    appointments = {row["appointment_id"]: row for row in tables["appointments_current"]}
    assert len(appointments) == 900
    cancelled = {one.appointment_id for one in of_type(day, notebar.AppointmentCancelled)}
    assert {name for name, row in appointments.items() if row["status"] == "cancelled"} == cancelled
    for moved in of_type(day, notebar.AppointmentRescheduled):
        row = appointments[moved.appointment_id]
        assert row["status"] == "rescheduled"
        assert row["starts_at"] == moved.starts_at.isoformat()
        assert row["minutes"] > 0


def test_a_timeline_lists_a_patient_in_clinical_order(
    day: list[DayEvent], tables: dict[str, list[dict[str, Any]]]
) -> None:
    rows = tables["patient_timeline"]
    notes, visits = of_type(day, notebar.NoteCreated), of_type(day, notebar.AppointmentScheduled)
    patients = of_type(day, notebar.PatientCreated, notebar.PatientUpdated)
    assert len(rows) == len(notes) + len(visits) + len(patients)
    patient = notes[0].patient_id
    mine = sorted((row for row in rows if row["patient"] == patient), key=lambda row: row["time_us"])
    assert mine[0]["kind"] == "patient"
    assert {row["kind"] for row in mine} == {"patient", "appointment", "note"}
    summary = next(row["summary"] for row in mine if row["id"] == notes[0].note_id)
    assert summary == notes[0].title


def test_the_timelines_streams() -> None:
    assert PATIENT_TIMELINE.streams.names == (PATIENTS, APPOINTMENTS, NOTES)
