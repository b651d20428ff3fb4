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
from vdb.storage.staging import Staging, Target, read_target
from vdb.types import Region
from vdb.vsr.header import ALONE
from vdb.vsr.message import FileEntry, Manifest
from vdb.vsr.ready import SyncTarget

FOLDER = "groups/g"


class GatedDisk:
    """Files are removed once the gate is open."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk
        self.gate = trio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    async def remove(self, path: str) -> None:
        await self.gate.wait()
        await self._disk.remove(path)


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


def on_bench(body: Callable[[Bench], Any], *, view: Callable[[], int] | None, wanted: bool = True) -> None:
    async def main() -> None:
        universe = SimUniverse(1)
        try:
            bench = Bench(universe.node("n0", Region("ap-southeast-2")).boot().disk, view=view, wanted=wanted)
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


async def stage(disk: Any) -> None:
    """What an earlier life staged: a target at op 16, a file of keys and a part of a segment."""
    offered = manifest(3)
    target = Target(op=16, checkpoint_id=offered.checkpoint_id, configuration=b"", files=offered.files)
    staging = await Staging.open(disk, FOLDER, group_hash=b"g" * 32)
    await staging.begin(target)
    await staging.append("checkpoints/keys-0000000000000010", 0, b"k" * 90)
    await staging.append("log/t_1/000001.seg", 0, b"s" * 90)


def test_two_who_ask_do_not_remove_the_same_files() -> None:
    async def body(bench: Bench) -> None:
        await stage(bench.disk)
        disk = GatedDisk(bench.disk)
        idle = Bench(disk, view=lambda: 4, wanted=False)
        idle.own_op = 16
        answers: list[bool] = []

        async def ask() -> None:
            answers.append(await idle.syncer.rid_of_overtaken())

        async with trio.open_nursery() as nursery:
            for _asker in range(2):
                nursery.start_soon(ask)
            await trio.sleep(MANIFEST_SECONDS)
            assert answers == [False], "it is being removed: ask again"
            disk.gate.set()
        assert answers == [False, True]
        assert await idle.syncer.rid_of_overtaken()

    on_bench(body, view=lambda: 4, wanted=False)


def test_nothing_is_staged_while_leftovers_are_removed() -> None:
    """A checkpoint becomes wanted just then: its files aren't taken for those that are to go."""

    async def body(bench: Bench) -> None:
        await stage(bench.disk)
        disk = GatedDisk(bench.disk)
        again = Bench(disk, view=lambda: 4, wanted=False)
        again.own_op = 16
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.syncer.run)
            nursery.start_soon(again.syncer.rid_of_overtaken)
            await trio.sleep(MANIFEST_SECONDS)
            again.syncer.want(SyncTarget(checkpoint_op=24, sources=(1, 2)))
            await trio.sleep(MANIFEST_SECONDS)
            assert again.asked == []
            assert not await again.syncer.rid_of_overtaken()
            disk.gate.set()
            await trio.sleep(MANIFEST_SECONDS / 2)
            assert again.asked == [1]
            again.syncer.on(manifest(3, op=24))
            await trio.sleep(MANIFEST_SECONDS)
            assert await again.chosen() == 24
            assert await again.syncer.rid_of_overtaken(), "what is being fetched now is newer"
            assert await again.chosen() == 24
            assert await disk.list(f"{FOLDER}/sync/log/t_1") == []
            nursery.cancel_scope.cancel()

    on_bench(body, view=lambda: 4, wanted=False)


def test_who_fetches_says_so_while_it_removes_what_is_not_needed() -> None:
    """The target goes first: that there is none doesn't mean yet that nothing is staged."""

    async def body(bench: Bench) -> None:
        await stage(bench.disk)
        disk = GatedDisk(bench.disk)
        again = Bench(disk, view=lambda: 4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.syncer.run)
            await trio.sleep(CHUNK_SECONDS / 10)
            assert await again.syncer.rid_of_overtaken(), "it is newer than what the group has"
            again.own_op = 16
            await trio.sleep(CHUNK_SECONDS * 10)
            assert not await again.syncer.rid_of_overtaken()
            disk.gate.set()
            await trio.sleep(MANIFEST_SECONDS)
            assert not again.syncer.busy
            assert await again.syncer.rid_of_overtaken()
            nursery.cancel_scope.cancel()

    on_bench(body, view=lambda: 4, wanted=False)
