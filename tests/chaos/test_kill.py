"""kill -9 on a real node under load: nothing acknowledged is lost, nothing is executed twice.

VDB_CHAOS_KILLS says how often (5 unless told). The test knows only the promises, not how they are kept.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter

import trio

import vdb

KILLS = int(os.environ.get("VDB_CHAOS_KILLS", "5"))
WRITERS = 4
STREAMS = ("chaos-a", "chaos-b")


async def test_nothing_acknowledged_is_lost_and_nothing_runs_twice(node) -> None:
    acknowledged: dict[str, dict[int, bytes]] = {stream: {} for stream in STREAMS}
    sent: Counter[bytes] = Counter()
    done = trio.Event()

    async def write(number: int) -> None:
        async with vdb.connect(node.address, retry_for=120, connect_for=60) as client:
            serial = 0
            while not done.is_set():
                stream = STREAMS[serial % 2]
                count = 1 + serial % 3
                payloads = [
                    json.dumps({"id": f"{number}-{(serial + at) % 40}", "value": f"{number}.{serial}.{at}"}).encode()
                    for at in range(count)
                ]
                sent.update(payloads)
                published = await client.publish(stream, payloads, timeout=120)
                for at, payload in enumerate(payloads):
                    offset = published.first_offset + at
                    assert offset not in acknowledged[stream], "one offset was given twice"
                    acknowledged[stream][offset] = payload
                serial += 1

    async def kill_again_and_again() -> None:
        draw = random.Random(1)
        for _ in range(KILLS):
            await trio.sleep(draw.uniform(0.02, 0.5))
            await trio.to_thread.run_sync(node.end, signal.SIGKILL)
            await trio.to_thread.run_sync(node.start)
        done.set()

    await trio.to_thread.run_sync(node.start)
    async with vdb.connect(node.address, connect_for=60) as client:
        for stream in STREAMS:
            await client.create_stream(stream, "phi", "ap-southeast-2")
    async with trio.open_nursery() as nursery:
        for number in range(WRITERS):
            nursery.start_soon(write, number)
        nursery.start_soon(kill_again_and_again)

    async with vdb.connect(node.address, connect_for=60) as client:
        rows: dict[str, str] = {}
        position = 0
        events = await client.read_log("ap-southeast-2", 0, 10_000_000, timeout=120)
        for event in events:
            body = json.loads(event.payload)
            rows[body["id"]] = body["value"]
            position = event.position.number + 1
        for stream in STREAMS:
            stored = await client.read(stream, 0, 10_000_000, timeout=120)
            assert [event.offset for event in stored] == list(range(len(stored))), "offsets have a gap"
            for offset, payload in acknowledged[stream].items():
                assert stored[offset].payload == payload, f"{stream} offset {offset} isn't what was acknowledged"
        seen = Counter(event.payload for event in events)
        assert all(count == 1 for count in seen.values()), "an event is there twice"
        assert set(seen) <= set(sent)
        assert await client.wait_for_projection("latest", f"ap-southeast-2:{position}", timeout=120)
        found = await client.rows("latest", "latest", limit=10_000)
        assert {row["id"]: row["value"] for row in found.dicts()} == rows, "the projection isn't the fold of the log"
    assert sum(map(len, acknowledged.values())) > 10 * KILLS


async def test_sigterm_ends_a_node_cleanly(node) -> None:
    await trio.to_thread.run_sync(node.start)
    assert await trio.to_thread.run_sync(node.end, signal.SIGTERM) == 0
    await trio.to_thread.run_sync(node.start)
