"""A projection is built anew while writes go on, and the node is killed half way: it goes on where it was.

Nobody ever sees a table that is half built, nothing that was acknowledged is missing, and progress is shown.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import trio

import vdb
from vdb.errors import VerityError
from vdb.status import ProjectionStatus

STREAM = "chaos-beds"
BATCH = 500
ROWS = 500
"""Entities. Each event says how often its entity was written."""


def payloads(numbers: range) -> list[bytes]:
    return [json.dumps({"id": f"{number % ROWS:04}", "value": f"v{number}"}).encode() for number in numbers]


class Load:
    """A writer that counts what was acknowledged, and a reader that looks at what it sees."""

    def __init__(self, address: str, events: int) -> None:
        self.address = address
        self.written = events
        self.seen: list[int] = []
        self.done = trio.Event()

    async def write(self) -> None:
        """One event after the other. What isn't answered is sent again: the same event twice changes no row."""
        async with vdb.connect(self.address, connect_for=60) as client:
            while not self.done.is_set():
                await self._insist(client, payloads(range(self.written, self.written + 1)))
                self.written += 1
                await trio.sleep(0.002)

    async def _insist(self, client: vdb.Client, events: list[bytes]) -> None:
        while True:
            try:
                await client.publish(STREAM, events)
            except VerityError:
                await trio.sleep(0.05)
            else:
                return

    async def read(self) -> None:
        """Rows are never fewer than there were, nor older."""
        async with vdb.connect(self.address, connect_for=60) as client:
            while not self.done.is_set():
                try:
                    found = await client.rows("latest", "latest", order_by=["id"], limit=ROWS)
                except VerityError:
                    await trio.sleep(0.05)
                    continue
                assert len(found.rows) == ROWS, "a reader saw a table that is half built"
                self.seen.append(max(int(str(row[1])[1:]) for row in found.rows))
                assert self.seen[-1] == max(self.seen), "a reader saw older rows than before"
                await trio.sleep(0.01)


async def status_of(address: str) -> ProjectionStatus:
    async with vdb.connect(address, connect_for=60) as client:
        return next(found for found in (await client.status()).projections if found.name == "latest")


async def wait_for_half(address: str) -> ProjectionStatus:
    """Returns once about half of the positions are read."""
    while True:
        found = await status_of(address)
        assert found.building is not None, "the rebuild was over before it could be killed"
        if found.building.done * 2 >= found.building.total:
            return found
        await trio.sleep(0.01)


SIZES = [pytest.param(20_000, id="20000"), pytest.param(200_000, id="200000", marks=pytest.mark.chaos)]


@pytest.mark.parametrize("events", SIZES)
async def test_a_rebuild_outlives_a_kill(node, events: int) -> None:
    await trio.to_thread.run_sync(node.start)
    async with vdb.connect(node.address) as client:
        await client.create_stream(STREAM)
        for start in range(0, events, BATCH):
            published = await client.publish(STREAM, payloads(range(start, start + BATCH)))
        assert await client.wait_for("latest", published.position, timeout=300)
    load = Load(node.address, events)
    with trio.fail_after(900):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.write)
            nursery.start_soon(load.read)
            async with vdb.connect(node.address) as client:
                await client.rebuild_projection("latest")
            before = await wait_for_half(node.address)
            assert before.generation == 1
            assert before.building is not None
            assert before.building.events_per_second > 0
            assert before.building.eta_seconds is not None
            await trio.to_thread.run_sync(node.end, signal.SIGKILL)
            await trio.to_thread.run_sync(node.start)
            after = await status_of(node.address)
            if after.building is not None:
                assert after.building.generation == before.building.generation
                assert after.building.done * 3 >= before.building.total, "it began anew"
            while (await status_of(node.address)).generation == 1:  # noqa: ASYNC110 - it is another process
                await trio.sleep(0.05)
            load.done.set()
        async with vdb.connect(node.address) as client:
            head = (await client.status()).groups[0]
            assert await client.wait_for("latest", f"{head.group}:{head.next_position}", timeout=60)
            rows = dict((await client.rows("latest", "latest", limit=ROWS)).rows)
    assert len(load.seen) > 5
    last = {f"{number % ROWS:04}": f"v{number}" for number in range(load.written - ROWS, load.written)}
    assert rows == last
    files = sorted(path.name for path in (Path(node.data_dir) / "projections" / "t_1").glob("latest*.db"))
    assert files == ["latest.2.db", "latest.db"]
