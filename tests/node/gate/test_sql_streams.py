"""Rows of SQL databases as they stand in the log: a rule that lets read everything else doesn't show them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from vdb.errors import AccessDenied

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
PLACE = "ap-southeast-2"
STREAM = "$sql/clinic"
POLICY = """
name = "clinic"

[roles]
officer = []
clinician = []

[[binding]]
principals = ["officer@clinic.example"]
roles = ["officer"]

[[binding]]
principals = ["lee@clinic.example"]
roles = ["clinician"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "names-are-hidden"
roles = ["clinician"]
actions = ["query"]
tables = ["patients"]
streams = ["clinic"]
masks = { name = "redact" }
"""


def reading(streams: str) -> str:
    return f'{POLICY}\n[[rule]]\nname = "reading"\nroles = ["clinician"]\nactions = ["read"]\n{streams}\n'


async def fill(found: Any, policy: str) -> None:
    async with found.client("officer") as officer:
        await officer.create_stream("notes", "phi", PLACE)
        await officer.publish("notes", b"seen for a cough")
        await officer.create_database("clinic")
        async with officer.sql("clinic") as session:
            await session.execute("CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT)")
            await session.execute("INSERT INTO patients VALUES (1, 'Ada Lovelace')")
    await found.apply(policy)


async def payloads(client: Any, stream: str) -> list[bytes]:
    return [bytes(event.payload) for event in await client.read(stream)]


async def test_who_may_query_and_nothing_else_finds_the_database(clinic: OpenClinic) -> None:
    async with clinic() as found:
        await fill(found, POLICY)
        async with found.client("lee") as lee:
            async with lee.sql("clinic") as session:
                assert await (await session.execute("SELECT * FROM patients")).fetchall() == [(1, "***")]
            with pytest.raises(AccessDenied, match="no rule allows 'read'"):
                await lee.get_stream("notes")
            with pytest.raises(AccessDenied, match="no rule allows 'read'"):
                await lee.get_stream("$sql/others")


@pytest.mark.parametrize("streams", ["", 'streams = ["*"]'])
async def test_who_may_read_all_streams_reads_no_rows_past_the_masks(clinic: OpenClinic, streams: str) -> None:
    async with clinic() as found:
        await fill(found, reading(streams))
        async with found.client("lee") as lee:
            assert await payloads(lee, "notes") == [b"seen for a cough"]
            with pytest.raises(AccessDenied, match=r"rule 'reading' would with \$sql/\.\.\. among its streams"):
                await lee.read(STREAM)
            assert [bytes(event.payload) for event in await lee.read_log(PLACE)] == [b"seen for a cough"]


async def test_a_rule_may_say_so(clinic: OpenClinic) -> None:
    async with clinic() as found:
        await fill(found, reading('streams = ["$sql/*"]'))
        async with found.client("lee") as lee:
            assert any(b"Ada Lovelace" in payload for payload in await payloads(lee, STREAM))
            with pytest.raises(AccessDenied):
                await lee.read("notes")
