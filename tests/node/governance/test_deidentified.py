"""What goes into de-identified streams, through the gate of a node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vdb.errors import NotDeidentified
from vdb.kernel.command import INTERNAL
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_batch, encode_envelope

REGION = "ap-southeast-2"
ATTEST = "; free text needs an expert's attestation \\(`vdb attest`\\)"


def append(*payloads: bytes, stream: str = "cohort", subject: str = "", schema: int = 0) -> PlainAppend:
    run = PlainRun(subject=subject, count=len(payloads), batch=encode_batch(payloads), schema_id=schema)
    return PlainAppend(stream=stream, runs=(run,))


async def make(node: Node, data_class: DataClass = DataClass.DEIDENTIFIED, name: str = "cohort") -> None:
    await node.service.create_stream(INTERNAL, 1, name, data_class, REGION)


async def put(node: Node, *payloads: bytes, **how: Any) -> int:
    result = await node.service.append(INTERNAL, 1, [append(*payloads, **how)])
    return result.streams[0].next_offset


async def test_what_passes_is_stored_and_what_doesnt_isnt(start) -> None:
    async with start() as node:
        await make(node)
        assert await put(node, b'{"age": 40, "sex": "F"}') == 1
        with pytest.raises(
            NotDeidentified,
            match="^event 1 of the append to stream 'cohort' isn't de-identified: field 'ssn' holds a social security "
            rf"number \(45 CFR 164.514\(b\)\(2\)\(i\)\(G\)\){ATTEST}$",
        ):
            await put(node, b'{"age": 40}', b'{"ssn": "123-45-6789"}')
        assert await put(node, b'{"age": 41}') == 2, "nothing of the refused append was written"


async def test_such_data_are_about_nobody(start) -> None:
    async with start() as node:
        await make(node)
        with pytest.raises(NotDeidentified, match="names a subject: de-identified data are about nobody"):
            await put(node, b'{"age": 40}', subject="p-1")


async def test_streams_of_other_classes_hold_what_they_will(start) -> None:
    async with start() as node:
        for name, kind in (("notes", DataClass.PHI), ("stock", DataClass.NON_PHI)):
            await make(node, kind, name)
            assert await put(node, b"call Mr. Lee, 555-123-4567", stream=name) == 1


async def test_an_append_behind_its_streams_creation_is_looked_at(start) -> None:
    async with start() as node:
        answers: list[object] = []
        node.service.writes.create(INTERNAL, 1, "cohort", 2, REGION, False, answers.append)
        node.service.writes.append(INTERNAL, 1, [append(b"Mr. Lee")], answers.append)
        assert isinstance(answers[0], NotDeidentified)


async def test_free_text_needs_an_attestation(start, as_, clinic) -> None:
    async with start() as node:
        await make(node)
        await as_(node, "kim").apply_policy(clinic, 0)
        with pytest.raises(NotDeidentified, match="the payload holds free text"):
            await put(node, b"seen in the ward")
        await as_(node, "kim").attest(1, "cohort", "Dr. Expert", "very small risk", bytes(32))
        assert await put(node, b"seen in the ward") == 1
        with pytest.raises(NotDeidentified, match=r"a telephone number \(45 CFR 164.514\(b\)\(2\)\(i\)\(D\)\)$"):
            await put(node, b"call 555-123-4567")


async def test_typed_events(start) -> None:
    async with start() as node:
        await make(node)

        def typed(body: object, *, time: int | None = None, subject: str = "") -> bytes:
            now = node.groups[REGION].world.clock.wall_us()
            return encode_envelope(
                EventEnvelope(
                    event_id=bytes(16),
                    type="LabResult",
                    time=now if time is None else time,
                    subject=subject,
                    body=json.dumps(body).encode(),
                )
            )

        assert await put(node, typed({"hba1c": 5.4}), schema=ENVELOPE_SCHEMA) == 1
        with pytest.raises(NotDeidentified, match="field 'time' holds a date more exact than its year"):
            await put(node, typed({"hba1c": 5.4}, time=1_552_000_000_000_000), schema=ENVELOPE_SCHEMA)
        with pytest.raises(NotDeidentified, match="field 'subject' holds another unique number or code"):
            await put(node, typed({"hba1c": 5.4}, subject="p-1"), schema=ENVELOPE_SCHEMA)
        with pytest.raises(NotDeidentified, match="field 'mrn' holds a medical record number"):
            await put(node, typed({"mrn": "A1"}), schema=ENVELOPE_SCHEMA)
        with pytest.raises(NotDeidentified, match="the payload holds free text"):
            await put(node, b"no envelope", schema=ENVELOPE_SCHEMA)


async def test_rows_of_a_sql_database(start) -> None:
    async with start() as node:
        await node.service.databases.create(1, "study", DataClass.DEIDENTIFIED, REGION)
        database = await node.service.databases.open(1, "study")
        session = await database.session()
        await session.execute("CREATE TABLE visits (id INTEGER PRIMARY KEY, age INTEGER, remark TEXT)")
        await session.execute("INSERT INTO visits (age, remark) VALUES (40, 'E11.9')")
        with pytest.raises(NotDeidentified, match=r"field 'visits\.remark' holds free text"):
            await session.execute("INSERT INTO visits (age, remark) VALUES (41, 'seen in the ward')")
        with pytest.raises(NotDeidentified, match=r"field 'visits\.age' holds an age above 89"):
            await session.execute("UPDATE visits SET age = 93")
        rows = await session.execute("SELECT age, remark FROM visits")
        assert [tuple(row) for row in rows.fetchall()] == [(40, "E11.9")]
        await database.end(session)
