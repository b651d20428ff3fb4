"""What goes into de-identified streams, through the gate of a node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vdb.errors import NotDeidentified
from vdb.kernel.command import INTERNAL
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.sql.migrations import apply_migrations, load_migrations
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


SAYING = [
    ("CREATE TABLE t (x TEXT DEFAULT 'Jane Roe')", "field 'text in the schema' holds free text"),
    ("CREATE TABLE t (x TEXT DEFAULT '123-45-6789')", "social security number"),
    ("CREATE TABLE t (x TEXT CHECK (x IN ('a', 'seen on 1960-02-03')))", "text in the schema"),
    ("CREATE TABLE t (x TEXT CHECK (x <> 'jane@roe.example'))", "text in the schema"),
    ("CREATE TABLE t (x INTEGER DEFAULT 6151234567)", "number in the schema"),
    ("CREATE TABLE t (x BLOB DEFAULT x'4A616E6520526F65')", "bytes in the schema"),
    ("CREATE TABLE t (x /* of Jane Roe */)", "comment in the schema' holds free text"),
    ("CREATE TABLE t (x) -- MRN 123456", "comment in the schema"),
    ('CREATE TABLE "Jane Roe" (x)', "name in the schema' holds free text"),
    ("CREATE TABLE [Jane Roe] (x)", "name in the schema' holds free text"),
    ('ALTER TABLE visits ADD COLUMN "of Jane Roe"', "name in the schema"),
    ("ALTER TABLE visits RENAME COLUMN age TO ssn_123_45_6789", "name in the schema' holds a social security number"),
    ("CREATE INDEX born_1960_02_03 ON visits (age)", "name in the schema' holds a date"),
    ("CREATE VIEW v AS SELECT 'Jane Roe' AS who", "text in the schema"),
    ("CREATE TRIGGER r AFTER INSERT ON visits BEGIN UPDATE visits SET remark = 'Jane Roe'; END", "text in the schema"),
    ("CREATE TABLE t AS SELECT 'Jane Roe' AS code", "holds free text"),
]


@pytest.mark.parametrize(("sql", "why"), SAYING)
async def test_what_a_schema_says(start, sql: str, why: str) -> None:
    async with start() as node:
        await node.service.databases.create(1, "study", DataClass.DEIDENTIFIED, REGION)
        database = await node.service.databases.open(1, "study")
        session = await database.session()
        await session.execute(
            "CREATE TABLE visits (id INTEGER PRIMARY KEY, age INTEGER CHECK (age < 90), remark TEXT DEFAULT ', ' "
            "CHECK (remark IN ('E11.9', 'J45', '', ', ')))"
        )
        await session.execute("CREATE VIEW per_year AS SELECT age || ' - ' || remark AS both FROM visits")
        with pytest.raises(NotDeidentified) as caught:
            await session.execute(sql)
        assert why in str(caught.value)
        for one in ("Jane", "123-45", "1960"):
            assert one not in str(caught.value)
        found = await session.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        assert "Jane" not in "".join(row[0] for row in found.fetchall())
        await database.end(session)


async def test_a_migration_says_nothing_of_anybody(start) -> None:
    async with start() as node:
        await node.service.databases.create(1, "study", DataClass.DEIDENTIFIED, REGION)
        database = await node.service.databases.open(1, "study")
        session = await database.session()
        with pytest.raises(NotDeidentified):
            await apply_migrations(session, load_migrations({"0001_a.sql": "CREATE TABLE t (x DEFAULT 'Jane Roe');"}))
        assert len(await apply_migrations(session, load_migrations({"0001_a.sql": "CREATE TABLE t (x);"}))) == 1
        await database.end(session)
