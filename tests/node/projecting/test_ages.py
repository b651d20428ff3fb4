"""How old events are: a projection that stopped gets behind in count and in age, and the head has an age of its own."""

from __future__ import annotations

import json

import trio

from vdb.kernel.command import Origin
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.types import DataClass
from vdb.wire.event import encode_batch

REGION = "ap-southeast-2"
NOTES = LatestById(table="notes", key_path="id", columns={"text": "text"}, payload="json")
DAYS = ProjectionConfig(name="days", streams=["notes"], template=NOTES)


async def publish(node, body: object) -> int:
    """One note; when it was appended, in microseconds."""
    run = PlainRun(count=1, batch=encode_batch([json.dumps(body).encode()]))
    return (await node.service.append(Origin(), 1, [PlainAppend(stream="notes", runs=(run,))])).time


async def test_lag_is_a_count_and_an_age(start) -> None:
    with trio.fail_after(60):
        async with start(projections=(DAYS,)) as node:
            await node.service.create_stream(Origin(), 1, "notes", DataClass.PHI, REGION)
            clock = node.world.clock
            last = await publish(node, {"id": "1"})
            position = f"{REGION}:{node.groups[REGION].state.next_position}"
            assert await node.service.wait_for_projection(1, "days", position, 50_000_000)
            (status,) = (await node.service.status()).projections
            assert (status.lag, status.age_us, status.state) == (0, 0, "following")
            assert 0 <= status.head_age_us <= clock.wall_us() - last + 1
            first = await publish(node, {"no id": "1"})
            await trio.sleep(0.05)
            last = await publish(node, {"id": "2"})
            while (await node.service.status()).projections[0].state != "stopped":  # noqa: ASYNC110
                await trio.sleep(0.01)
            (status,) = (await node.service.status()).projections
            now = clock.wall_us()
            assert status.lag == 2
            assert last - first < status.age_us <= now - first
            assert status.head_age_us <= now - last
            assert status.age_us - status.head_age_us > 40_000
