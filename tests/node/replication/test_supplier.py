"""What a supplier answers, what it pins and for how long."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import trio

from sim.runner import run
from sim.world import SimUniverse
from vdb.kernel.tables import Table
from vdb.limits import Limits
from vdb.node.replication import supplier
from vdb.node.replication.group_storage import CheckpointHead, GroupStorage, format_group, open_group
from vdb.node.replication.supplier import Supplier
from vdb.types import GroupId, Region
from vdb.vsr.header import ALONE
from vdb.vsr.message import Chunk, Manifest, RequestChunk, RequestManifest

NAME = GroupId("ap-southeast-2")
LIMITS = Limits(message_size_max=16 * 1024, wal_slots=24, checkpoint_interval=8)
HEAD = CheckpointHead(checksum=b"h" * 32, timestamp=1)


class Bench:
    """A group's storage with a supplier, and what it sent."""

    def __init__(self, storage: GroupStorage) -> None:
        self.storage = storage
        self.sent: list[tuple[int, Any]] = []
        self.unpinned = 0
        self.supplier = Supplier(
            storage=storage, send=lambda to, message: self.sent.append((to, message)), on_unpinned=self._on_unpinned
        )

    def _on_unpinned(self) -> None:
        self.unpinned += 1

    async def checkpoint(self, op: int) -> None:
        storage = self.storage
        rows = await storage.event_log.write_checkpoint(storage.event_log.begin_checkpoint())
        keys = {Table.KEYS: {op.to_bytes(8, "big"): bytes(100)}}
        checkpoint_id = await storage.checkpoints.write(op, {**HEAD.rows(), **rows, **keys})
        await storage.superblock.update(checkpoint_op=op, checkpoint_id=checkpoint_id, commit=op)
        storage.event_log.checkpoint_durable(rows)
        await storage.checkpoints.prune(op)

    async def ask(self, request: RequestManifest | RequestChunk) -> Any:
        """The answer; None when there is none."""
        self.sent.clear()
        self.supplier.on(request)
        await trio.sleep(0.1)
        return self.sent[0][1] if self.sent else None

    async def read(self, op: int, path: str, size: int, offset: int = 0) -> bytes:
        chunk = await self.ask(RequestChunk(checkpoint_op=op, path=path, offset=offset, size=size, replica=2))
        assert isinstance(chunk, Chunk)
        assert sha256(chunk.data).digest() == chunk.checksum
        assert (chunk.path, chunk.offset) == (path, offset)
        return chunk.data


def on_bench(body: Callable[[Bench], Any]) -> None:
    async def main() -> None:
        universe = SimUniverse(1)
        disk = universe.node("n0", Region(NAME)).boot().disk
        try:
            await format_group(disk, NAME, cluster=b"c" * 16, limits=LIMITS, root_key_id=b"k" * 16)
            bench = Bench(await open_group(disk, NAME, cluster=b"c" * 16, root_key_ids=(b"k" * 16,)))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.supplier.run)
                await body(bench)
                nursery.cancel_scope.cancel()
        finally:
            universe.close()

    run(1, main, budget_s=1000)


def test_a_manifest_names_the_durable_checkpoint() -> None:
    async def body(bench: Bench) -> None:
        assert await bench.ask(RequestManifest(checkpoint_op=0, replica=2)) is None, "there is none yet"
        await bench.checkpoint(8)
        assert await bench.ask(RequestManifest(checkpoint_op=9, replica=2)) is None
        manifest = await bench.ask(RequestManifest(checkpoint_op=8, replica=2))
        assert isinstance(manifest, Manifest)
        assert (manifest.checkpoint_op, manifest.configuration, manifest.replica) == (8, ALONE, 0)
        assert manifest.view == bench.storage.superblock.state.view
        await bench.storage.superblock.update(view=7, log_view=6)
        assert (await bench.ask(RequestManifest(checkpoint_op=8, replica=2))).view == 7
        for entry in manifest.files:
            data = await bench.read(8, entry.path, entry.size)
            assert sha256(data).digest() == entry.checksum
        assert sha256(await bench.read(8, manifest.files[0].path, 1 << 14)).digest() == manifest.checkpoint_id

    on_bench(body)


def test_a_pinned_checkpoint_stays_while_it_is_asked_for() -> None:
    async def body(bench: Bench) -> None:
        await bench.checkpoint(8)
        manifest = await bench.ask(RequestManifest(checkpoint_op=8, replica=2))
        path = manifest.files[0].path
        for op in range(16, 40, 8):
            await trio.sleep(supplier.PIN_SECONDS * 0.8)
            await bench.checkpoint(op)
            assert await bench.read(8, path, 20) != b""
        await trio.sleep(supplier.PIN_SECONDS * 2.5)
        await bench.checkpoint(48)
        assert await bench.read(8, path, 20) == b""

    on_bench(body)


def test_when_a_pin_expires_the_files_may_go_though_no_checkpoint_follows() -> None:
    async def body(bench: Bench) -> None:
        await bench.checkpoint(8)
        await bench.ask(RequestManifest(checkpoint_op=8, replica=2))
        await bench.checkpoint(16)
        await trio.sleep(supplier.PIN_SECONDS / 2)
        assert not bench.unpinned
        await trio.sleep(supplier.PIN_SECONDS * 2)
        assert bench.unpinned == 1
        assert not bench.storage.checkpoints.pinned

    on_bench(body)


def test_no_more_than_a_few_checkpoints_are_pinned() -> None:
    async def body(bench: Bench) -> None:
        paths = {}
        for op in range(8, 48, 8):
            await bench.checkpoint(op)
            paths[op] = (await bench.ask(RequestManifest(checkpoint_op=op, replica=2))).files[0].path
        await bench.checkpoint(48)
        found = [op for op, path in paths.items() if await bench.read(op, path, 20)]
        assert found == [32, 40]
        assert bench.unpinned == 3

    on_bench(body)


def test_too_many_requests_are_forgotten() -> None:
    async def body(bench: Bench) -> None:
        await bench.checkpoint(8)
        for offset in range(2 * supplier.WAITING_MAX):
            bench.supplier.on(RequestChunk(checkpoint_op=8, path="wal", offset=offset, size=9, replica=2))
        await trio.sleep(1)
        assert [message.offset for _to, message in bench.sent] == list(range(supplier.WAITING_MAX))
        assert {message.data for _to, message in bench.sent} == {b""}

    on_bench(body)
