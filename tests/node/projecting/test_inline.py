"""Inline projections: who has the answer of an append reads its events in their rows; nobody waits for ever."""

from __future__ import annotations

import json

import pytest
import trio

from vdb.errors import ProjectionFailed
from vdb.kernel.command import Origin
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.types import DataClass, GroupId
from vdb.wire.event import encode_batch

NOBODY = Origin()
REGION = "ap-southeast-2"
EU = GroupId(REGION)
NOTES = LatestById(table="notes", key_path="id", columns={"text": "text"}, payload="json")
INLINE = ProjectionConfig(name="now", streams=["notes", "labs*"], template=NOTES, inline=True)
LATER = ProjectionConfig(name="later", streams=["*"], template=NOTES)


def note(number: int, stream: str = "notes") -> PlainAppend:
    payload = json.dumps({"id": str(number), "text": f"t{number}"}).encode()
    return PlainAppend(stream=stream, runs=(PlainRun(count=1, batch=encode_batch([payload])),))


async def rows(service, name: str = "now") -> int:
    found = await service.rows(1, name, "notes", {}, (), 1000)
    return len(found.rows)


@pytest.mark.parametrize("way", ["append", "publish"])
async def test_who_wrote_reads_it(start, way: str) -> None:
    async with start(projections=(INLINE, LATER)) as node:
        service = node.service
        for stream in ("notes", "labs/1"):
            await service.create_stream(NOBODY, 1, stream, DataClass.PHI, REGION)
        for number in range(20):
            append = note(number, ("notes", "labs/1")[number % 2])
            if way == "append":
                await service.append(NOBODY, 1, [append])
            else:
                done = trio.Event()
                service.writes.publish(NOBODY, 1, append, lambda *_, done=done: done.set(), pytest.fail)
                await done.wait()
            assert await rows(service) == number + 1


async def test_many_at_once(start) -> None:
    async with start(projections=(INLINE,)) as node:
        service = node.service
        await service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)

        async def write(number: int) -> None:
            await service.append(NOBODY, 1, [note(number)])
            found = await service.rows(1, "now", "notes", {"id": str(number)}, (), 1)
            assert len(found.rows) == 1

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(write, number)


async def test_one_that_has_stopped_holds_up_nobody(start) -> None:
    async with start(projections=(INLINE,)) as node:
        service = node.service
        await service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)
        poison = PlainAppend(stream="notes", runs=(PlainRun(count=1, batch=encode_batch([b"no json"])),))
        with trio.fail_after(4):
            await service.append(NOBODY, 1, [poison])
            await service.append(NOBODY, 1, [note(1)])
            with pytest.raises(ProjectionFailed):
                await service.wait_for_projection(1, "now", f"{REGION}:99", 1_000_000)
