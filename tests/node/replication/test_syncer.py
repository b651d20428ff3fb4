"""Which manifests a syncer takes, and whom it asks when it takes none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from sim.runner import run
from sim.world import SimUniverse
from vdb.limits import Limits
from vdb.node.replication.chunks import CHUNK_SECONDS, Chunks
from vdb.node.replication.syncer import MANIFEST_SECONDS, Standing, Syncer
from vdb.storage.staging import read_target
from vdb.types import Region
from vdb.vsr.header import ALONE
from vdb.vsr.message import FileEntry, Manifest
from vdb.vsr.ready import SyncTarget

FOLDER = "groups/g"


class Bench:
    """A syncer of a group in view 4, or of one whose view doesn't count, and whom it asked."""

    def __init__(self, disk: Any, *, view: Callable[[], int] | None, wanted: bool = True) -> None:
        self.disk = disk
        self.asked: list[int] = []
        self.own_op = 8
        own = Standing(
            disk=disk,
            directory=FOLDER,
            group_hash=b"g" * 32,
            replica=0,
            checkpoint_op=lambda: self.own_op,
            view=view,
            segments=dict,
        )
        chunks = Chunks(replica=0, limits=Limits(), send=lambda _to, _message: None)
        self.syncer = Syncer(
            group="g",
            own=own,
            chunks=chunks,
            send=lambda to, _request: self.asked.append(to),
            on_ready=lambda: None,
        )
        if wanted:
            self.syncer.want(SyncTarget(checkpoint_op=16, sources=(1, 2)))

    async def chosen(self) -> int | None:
        """The op of the checkpoint that is being fetched."""
        target = await read_target(self.disk, FOLDER)
        return target.op if target is not None else None


def manifest(view: int, *, op: int = 16, replica: int = 1) -> Manifest:
    files = (FileEntry(path="checkpoints/checkpoint-0000000000000010", size=9, checksum=b"f" * 32),)
    return Manifest(
        checkpoint_op=op, checkpoint_id=b"i" * 32, files=files, configuration=ALONE, view=view, replica=replica
    )


def on_bench(body: Callable[[Bench], Any], *, view: Callable[[], int] | None) -> None:
    async def main() -> None:
        universe = SimUniverse(1)
        try:
            bench = Bench(universe.node("n0", Region("ap-southeast-2")).boot().disk, view=view)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.syncer.run)
                await trio.sleep(MANIFEST_SECONDS / 10)
                await body(bench)
                nursery.cancel_scope.cancel()
        finally:
            universe.close()

    run(1, main, budget_s=1000)


def test_a_manifest_of_a_newer_view_is_not_taken() -> None:
    """The source went on to another view after it had said that its view wasn't newer."""
    views = [4]

    async def body(bench: Bench) -> None:
        assert bench.asked == [1]
        bench.syncer.on(manifest(5))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() is None
        assert bench.asked == [1, 2], "the next source is asked"
        bench.syncer.on(manifest(5, replica=2))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() is None
        views.append(5)
        bench.syncer.on(manifest(5))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() == 16

    on_bench(body, view=lambda: views[-1])


def test_a_manifest_of_an_older_view_is_taken() -> None:
    async def body(bench: Bench) -> None:
        bench.syncer.on(manifest(3))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() == 16

    on_bench(body, view=lambda: 4)


def test_a_manifest_below_what_is_wanted_is_not_taken() -> None:
    async def body(bench: Bench) -> None:
        bench.syncer.on(manifest(4, op=15))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() is None

    on_bench(body, view=lambda: 4)


def test_a_group_whose_checkpoint_is_lost_takes_one_of_any_view() -> None:
    """Its replica isn't there: it could never follow into the newer view otherwise."""

    async def body(bench: Bench) -> None:
        bench.syncer.on(manifest(5))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() == 16

    on_bench(body, view=None)


def test_what_is_fetched_counts_until_it_is_overtaken() -> None:
    """Nobody may say that a destroyed key is on this disk no more while an older checkpoint is still being fetched."""

    async def body(bench: Bench) -> None:
        assert await bench.syncer.rid_of_overtaken()
        bench.syncer.on(manifest(3))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.syncer.rid_of_overtaken(), "it is newer than what the group has"
        bench.own_op = 16
        assert not await bench.syncer.rid_of_overtaken()
        await trio.sleep(CHUNK_SECONDS * 10)
        assert await bench.syncer.rid_of_overtaken()
        assert await bench.chosen() is None

    on_bench(body, view=lambda: 4)


def test_what_an_earlier_life_staged_is_removed_when_nobody_needs_it() -> None:
    async def body(bench: Bench) -> None:
        bench.syncer.on(manifest(3))
        await trio.sleep(MANIFEST_SECONDS)
        assert await bench.chosen() == 16
        idle = Bench(bench.disk, view=lambda: 4, wanted=False)
        idle.own_op = 16
        assert await idle.syncer.rid_of_overtaken()
        assert await idle.chosen() is None

    on_bench(body, view=lambda: 4)
