"""Imports are complete, idempotent and resumable; bad lines are told and passed over; timelines are in order."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.fhir import importer as importer_module
from vdb.fhir.importer import FhirImporter, Progress, Rejected
from vdb.fhir.lines import Resource, event_id_of, read_line
from vdb.fhir.projections import PATIENT_TIMELINE
from vdb.fhir.resources import PATIENT_KINDS, data_class_of, subject_of, type_of_file
from vdb.notebar.projections import PATIENT_TIMELINE as NOTEBAR_TIMELINE
from vdb.projections.apply import fold
from vdb.projections.config import joined
from vdb.projections.rows import dump_tables
from vdb.types import DataClass
from vdb.wire.event import decode_envelope

REGION = "eu-west-1"
REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "fhir-10"


def counts(importer: FhirImporter) -> tuple[int, int, int, int]:
    report = importer.report
    return report.resources, report.appended, report.duplicates, report.rejected


async def run(client: Any, files: Any, **callbacks: Any) -> FhirImporter:
    importer = FhirImporter(client, REGION, **callbacks)
    await importer.run(files)
    return importer


async def test_everything_is_imported_once(client: Any, files: Any) -> None:
    first = await run(client, files)
    assert counts(first) == (67, 67, 0, 0)
    assert first.report.skipped_files == ["log.ndjson"]
    assert {name: len(stream) for name, stream in client.streams.items()} == {
        "fhir.Encounter": 60,
        "fhir.Organization": 3,
        "fhir.Patient": 4,
    }
    assert counts(await run(client, files)) == (67, 0, 67, 0)
    assert sum(map(len, client.streams.values())) == 67


async def test_classes_places_subjects_and_bodies(client: Any, files: Any) -> None:
    await run(client, files)
    assert client.placements == {
        "fhir.Encounter": (DataClass.PHI, REGION),
        "fhir.Organization": (DataClass.NON_PHI, "global"),
        "fhir.Patient": (DataClass.PHI, REGION),
    }
    assert {subject for _, subject, _ in client.streams["fhir.Organization"]} == {""}
    assert {subject for _, subject, _ in client.streams["fhir.Patient"]} == {f"Patient/p{n}" for n in range(4)}
    sent = {line for name, lines in files if name.startswith("Encounter") for _number, line in lines}
    for event_id, subject, payload in client.streams["fhir.Encounter"]:
        envelope = decode_envelope(payload)
        assert (envelope.event_id, envelope.subject, envelope.type) == (event_id, subject, "fhir/Encounter")
        assert envelope.body in sent
        assert envelope.time > 0


@pytest.mark.parametrize("fail_at", [1, 2, 3])
async def test_a_killed_import_goes_on_where_it_was(client: Any, files: Any, fail_at: int) -> None:
    client.fail_at = fail_at
    with pytest.raises(ConnectionError):
        await run(client, files)
    before = sum(map(len, client.streams.values()))
    again = await run(client, files)
    assert counts(again) == (67, 67 - before, before, 0)
    assert sum(map(len, client.streams.values())) == 67


async def test_two_imports_at_once_make_no_duplicate(client: Any, files: Any) -> None:
    importers = [FhirImporter(client, REGION) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for importer in importers:
            nursery.start_soon(importer.run, files)
    for stream in client.streams.values():
        ids = [event_id for event_id, _subject, _payload in stream]
        assert len(set(ids)) == len(ids)
    assert sum(map(len, client.streams.values())) == 67
    # A batch that both send is answered to both.
    assert sum(importer.report.appended for importer in importers) >= 67
    assert all(importer.report.appended + importer.report.duplicates == 67 for importer in importers)


async def test_a_resource_that_another_import_stores_while_it_makes_room_is_sent_once(client: Any, lines: Any) -> None:
    """The second passes the batch's size: the first is flushed, and only then is the other's copy of it seen."""
    first, second, third = ({"resourceType": "Device", "id": f"d{n}", "note": "x" * 200_000} for n in range(3))
    append, others = client.append, []

    async def append_after_the_other(appends: Any, /) -> None:
        client.append = append
        others.append(await run(client, [("Device.ndjson", lines(second, third))]))
        await append(appends)

    client.append = append_after_the_other
    mine = await run(client, [("Device.ndjson", lines(first, second))])
    assert [counts(importer) for importer in (others[0], mine)] == [(2, 2, 0, 0), (2, 1, 1, 0)]
    ids = [event_id for event_id, _subject, _payload in client.streams["fhir.Device"]]
    assert len(ids) == len(set(ids)) == 3


class Turns:
    """A client to one log whose every call waits as long as it is told; calls of two with other phases never tie."""

    def __init__(self, log: Any, phase: float, waits: Sequence[int]) -> None:
        self._log = log
        self._phase = phase
        self._waits = list(waits)

    async def create_stream(self, *args: Any, **named: Any) -> object:
        await trio.sleep(self._phase)
        return await self._log.create_stream(*args, **named)

    async def append(self, *args: Any) -> object:
        await self._wait()
        return await self._log.append(*args)

    async def read_event_ids(self, *args: Any) -> tuple[Sequence[bytes], int]:
        await self._wait()
        found: tuple[Sequence[bytes], int] = await self._log.read_event_ids(*args)
        return found

    async def _wait(self) -> None:
        await trio.sleep(self._waits.pop() if self._waits else 1)


WAITS = st.lists(st.integers(0, 6), max_size=40)
EXPORT = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=24)
"""(id, size) of each line; lines may come twice."""


@given(EXPORT, EXPORT, WAITS, WAITS)
@settings(max_examples=80)
def test_imports_that_interleave_store_each_resource_once(
    new_client: Any, first: Any, second: Any, first_waits: list[int], second_waits: list[int]
) -> None:
    log = new_client()
    log.size_max = 1_500

    def file(export: Any) -> list[tuple[int, bytes]]:
        made = ({"resourceType": "Device", "id": f"d{n}", "note": "x" * (size * 200)} for n, size in export)
        return list(enumerate((json.dumps(one).encode() for one in made), 1))

    importers = [
        FhirImporter(Turns(log, 0.25, first_waits), REGION),
        FhirImporter(Turns(log, 0.5, second_waits), REGION),
    ]

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for importer, export in zip(importers, (first, second), strict=True):
                nursery.start_soon(importer.run, [("Device.ndjson", file(export))])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importer_module, "BATCH_BYTES", 900)
        patch.setattr(importer_module, "BATCH_RESOURCES", 4)
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    expected = {event_id_of("Device", f"d{n}", line) for export in (first, second)
                for (n, _size), (_number, line) in zip(export, file(export), strict=True)}  # fmt: skip
    ids = [event_id for event_id, _subject, _payload in log.streams["fhir.Device"]]
    assert len(ids) == len(expected)
    assert set(ids) == expected
    assert sum(importer.report.appended for importer in importers) >= len(expected)


async def test_bad_lines_are_told_and_the_rest_goes_on(client: Any, lines: Any) -> None:
    rejected: list[Rejected] = []
    file = lines(
        {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}},
        b'{"resourceType": "Condition", "id": "Canary',
        b"",
        {"resourceType": "Patient", "id": "Canary"},
        {"id": "Canary"},
        {"resourceType": "Condition"},
        {"resourceType": "Condition", "id": "two words"},
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}},
        {"resourceType": "Condition", "id": "c2"},
    )
    importer = await run(client, [("Condition.000.ndjson", file)], on_rejected=rejected.append)
    assert counts(importer) == (3, 2, 1, 8)
    assert importer.report.unattributed == 1
    assert [(one.line, one.reason) for one in rejected] == [
        (2, "not JSON"),
        (4, "a resource of another type: expected Condition"),
        (5, "no resourceType"),
        (6, "no id, or not one that FHIR allows"),
        (7, "no id, or not one that FHIR allows"),
        (8, "not a JSON object"),
        (9, "not JSON"),
        (10, "JSON nested too deeply"),
    ]
    assert {one.file for one in rejected} == {"Condition.000.ndjson"}
    assert "Canary" not in repr(rejected)


async def test_what_fits_no_message_is_rejected_alone(client: Any, lines: Any) -> None:
    client.size_max = 2_000
    rejected: list[Rejected] = []
    resources = [{"resourceType": "Device", "id": f"d{n}", "note": "x" * (3_000 if n == 4 else 400)} for n in range(9)]
    importer = await run(client, [("Device.ndjson", lines(*resources))], on_rejected=rejected.append)
    assert counts(importer) == (8, 8, 0, 1)
    assert [(one.line, one.reason) for one in rejected] == [(5, "larger than a message may be")]


async def test_progress_is_told(client: Any, lines: Any) -> None:
    told: list[Progress] = []
    file = lines(*({"resourceType": "Location", "id": f"l{n}"} for n in range(250)))
    await run(client, [("Location.ndjson", file)], on_progress=told.append)
    assert [one.resources for one in told] == [100, 200, 250]
    assert told[-1].bytes == sum(len(line) + 1 for _number, line in file)


async def test_a_changed_resource_is_a_new_event(client: Any, lines: Any) -> None:
    for status in ("planned", "finished"):
        file = lines({"resourceType": "Encounter", "id": "e1", "status": status})
        assert counts(await run(client, [("Encounter.ndjson", file)])) == (1, 1, 0, 0)


async def test_large_batches_are_cut(client: Any, lines: Any) -> None:
    client.size_max = 300_000
    file = lines(*({"resourceType": "Device", "id": f"d{n}", "note": "x" * 50_000} for n in range(20)))
    assert counts(await run(client, [("Device.ndjson", file)])) == (20, 20, 0, 0)
    assert client.appends == 4


def timeline_of(client: Any, patient: str, config: Any = PATIENT_TIMELINE) -> list[dict[str, Any]]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    fold(client.runs, config, db)
    (table,) = config.tables
    rows = [dict(zip(table.column_names, row, strict=True)) for row in dump_tables(db)[table.name]]
    db.close()
    return sorted(
        (row for row in rows if row["patient"] == patient), key=lambda row: (row["time_us"] is None, row["time_us"])
    )


async def test_a_patients_timeline(client: Any, files: Any) -> None:
    await run(client, files)
    rows = timeline_of(client, "p1")
    assert len(rows) == 16
    assert (rows[0]["kind"], rows[0]["id"], rows[0]["time"], rows[0]["summary"]) == ("Patient", "p1", "1951", "Canary1")
    assert {row["kind"] for row in rows[1:]} == {"Encounter"}
    assert {row["status"] for row in rows[1:]} == {"finished"}
    assert all(row["summary"] == f"visit {row['id'][1:]}" for row in rows[1:])
    times = [row["time_us"] for row in rows]
    assert times == sorted(times)


def test_the_timeline_joins_notebars() -> None:
    (both,) = joined([NOTEBAR_TIMELINE, PATIENT_TIMELINE])
    assert both.streams.wants("notes")
    assert both.streams.wants("fhir.Patient")
    assert both.tables == PATIENT_TIMELINE.tables


@pytest.mark.parametrize(
    ("resource", "subject"),
    [
        ({"resourceType": "Patient", "id": "1"}, "Patient/1"),
        ({"resourceType": "X", "id": "1", "subject": {"reference": "Patient/a-1"}}, "Patient/a-1"),
        ({"resourceType": "X", "id": "1", "patient": {"reference": "http://h/fhir/Patient/9"}}, "Patient/9"),
        ({"resourceType": "X", "id": "1", "patient": {"reference": "Patient/9/_history/2"}}, "Patient/9"),
        ({"resourceType": "X", "id": "1", "subject": {"reference": "Group/1"}, "patient": {"reference": "Patient/2"}},
         "Patient/2"),
        ({"resourceType": "X", "id": "1", "subject": {"reference": "Group/1"}}, ""),
        ({"resourceType": "X", "id": "1", "subject": {"reference": 7}}, ""),
        ({"resourceType": "X", "id": "1", "subject": ["Patient/1"]}, ""),
        ({"resourceType": "X", "id": "1"}, ""),
    ],
)  # fmt: skip
def test_subjects(resource: dict[str, Any], subject: str) -> None:
    assert subject_of(resource) == subject


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Encounter.000.ndjson", "Encounter"),
        ("Patient.ndjson", "Patient"),
        ("Patient.12.ndjson", "Patient"),
        ("log.ndjson", None),
        ("Patient.json", None),
        ("Patient.000.ndjson.gz", None),
        ("../Patient.ndjson", None),
    ],
)
def test_file_names(name: str, found: str | None) -> None:
    assert type_of_file(name) == found


def test_unknown_types_are_phi() -> None:
    assert data_class_of("SomethingNew") is DataClass.PHI
    assert not any(data_class_of(name) is DataClass.NON_PHI for name in PATIENT_KINDS)


def test_event_ids_are_fixed_for_ever() -> None:
    line = b'{"resourceType":"Patient","id":"1"}'
    assert event_id_of("Patient", "1", line).hex() == "fa318f14ab482c8a75f08deb32011ef5"
    found = read_line("Patient", line)
    assert isinstance(found, Resource)
    assert found.event_id == event_id_of("Patient", "1", line)
    assert "Patient/1" not in repr(found)


@given(st.binary(max_size=60))
def test_any_line_is_read_without_raising(line: bytes) -> None:
    read_line("Patient", line)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the FHIR export isn't beside the checkout")
async def test_the_real_export(client: Any) -> None:
    files = [
        (path.name, list(enumerate(path.read_bytes().splitlines(), 1))) for path in sorted(REAL_DATA.glob("*.ndjson"))
    ]
    client.page = 1_000
    first = await run(client, files)
    assert counts(first) == (7_160, 7_160, 0, 0)
    assert attrs.asdict(first.report)["skipped_files"] == ["log.ndjson"]
    assert counts(await run(client, files)) == (7_160, 0, 7_160, 0)
    patient = next(decode_envelope(payload).subject for _, _, payload in client.streams["fhir.Patient"])
    rows = timeline_of(client, patient.removeprefix("Patient/"))
    assert len(rows) > 50
    times = [row["time_us"] for row in rows if row["kind"] != "Device"]
    assert None not in times
    assert times == sorted(times)
    assert all(row["summary"] for row in rows)
