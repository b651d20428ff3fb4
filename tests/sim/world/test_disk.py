"""What a simulated disk may do to a node: crashes and faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from sim.world import Crashed, DiskFaults, SimNode, SimUniverse, absorb_crash
from vdb.errors import DataDirectoryInUse, DiskFailed, DiskFull, FileMissing
from vdb.types import Region

InUniverse = Callable[..., None]
REGION = Region("us-east-1")
LOSSY = DiskFaults(lose_unsynced=1.0, tear=0.7, reorder=0.5, tear_garbage=0.2, lose_names=0.5)


def make_node(universe: SimUniverse, faults: DiskFaults | None = None) -> SimNode:
    return universe.node("n0", REGION, disk_faults=faults)


async def read_back(node: SimNode, path: str) -> bytes:
    file = await node.boot().disk.open(path)
    return await file.read_at(0, await file.size())


@pytest.mark.parametrize("seed", range(20))
def test_what_was_synced_survives_any_crash(in_universe: InUniverse, seed: int) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe, LOSSY)
        disk = node.boot().disk
        file = await disk.open("a", create=True)
        await disk.sync_directory("")
        await file.write_at(0, b"durable" * 1000)
        await file.sync()
        await file.write_at(7000, b"lost?" * 1000)
        node.crash()
        content = await read_back(node, "a")
        assert content[:7000] == b"durable" * 1000
        assert len(content) <= 12_000

    in_universe(body, seed=seed)


def test_every_fate_of_unsynced_writes_is_met(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe, LOSSY)
        for _ in range(40):
            disk = node.boot().disk
            file = await disk.open("a", create=True)
            await disk.sync_directory("")
            for n in range(4):
                await file.write_at(n * 4096, bytes([n + 1]) * 4096)
            node.crash()
        for kind in ("disk.torn", "disk.lost_unsynced", "disk.kept_unsynced", "disk.reordered"):
            assert universe.faults[kind] > 0, kind

    in_universe(body)


def test_without_faults_a_crash_keeps_everything(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        await file.write_at(0, b"abc")
        node.crash()
        assert await read_back(node, "a") == b"abc"

    in_universe(body)


def test_an_unsynced_name_may_be_lost_and_a_synced_one_may_not(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe, DiskFaults(lose_names=1.0))
        disk = node.boot().disk
        await disk.make_directory("d")
        for name in ("d/kept", "d/lost"):
            await disk.open(name, create=True)
            if name == "d/kept":
                await disk.sync_directory("d")
        await disk.rename("d/kept", "d/renamed")
        node.crash()
        assert await node.boot().disk.list("d") == ["kept"]

    in_universe(body)


def test_a_rename_across_directories_needs_both_synced(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe, DiskFaults(lose_names=1.0))
        disk = node.boot().disk
        await disk.make_directory("d")
        await disk.open("a", create=True)
        await disk.sync_directory("")
        await disk.rename("a", "d/a")
        await disk.sync_directory("d")
        node.crash()
        world = node.boot()
        assert await world.disk.list("d") == []
        await world.disk.rename("a", "d/a")
        await world.disk.sync_directory("d")
        await world.disk.sync_directory("")
        node.crash()
        assert await node.boot().disk.list("d") == ["a"]

    in_universe(body)


def test_a_write_whose_call_did_not_return_may_land_or_not(in_universe: InUniverse) -> None:
    async def outcome(universe: SimUniverse) -> bytes:
        node = universe.node(f"n{len(universe.nodes)}", REGION, disk_faults=DiskFaults(lose_unsynced=0.5))
        disk = node.boot().disk
        file = await disk.open("a", create=True)
        await disk.sync_directory("")

        async def write() -> None:
            with absorb_crash():
                await file.write_at(0, b"x" * 100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.sleep(0.000_001)
            node.crash()
        return (await read_back(node, "a")).rstrip(b"\0")

    async def body(universe: SimUniverse) -> None:
        found = {await outcome(universe) for _ in range(30)}
        assert found == {b"", b"x" * 100}

    in_universe(body)


def test_after_a_crash_no_call_has_an_effect(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        world = node.boot()
        file = await world.disk.open("a", create=True)
        await world.disk.lock()
        node.crash()
        for call in (
            lambda: file.write_at(0, b"x"),
            file.sync,
            file.close,
            lambda: world.disk.open("b", create=True),
            world.disk.close,
            lambda: world.network.connect("n0:1"),
        ):
            with pytest.raises(Crashed):
                await call()
        with pytest.raises(Crashed):
            world.clock.wall_us()
        with pytest.raises(Crashed):
            world.entropy.random_bytes(1)
        assert node.disk.paths() == ["a"]
        assert node.disk.content("a") == b""

    in_universe(body)


def test_the_nth_port_call_is_a_crash_point(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        seen: list[str] = []

        def crash_at_third(kind: str) -> None:
            seen.append(kind)
            if len(seen) == 3:
                node.crash()

        node.on_port_call = crash_at_third
        with absorb_crash():
            file = await node.boot().disk.open("a", create=True)
            await file.write_at(0, b"x")
            await file.sync()
            raise AssertionError("not reached")
        assert seen == ["disk.open", "disk.write", "disk.sync"]
        assert not node.running

    in_universe(body)


def test_no_except_exception_swallows_a_crash(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        world = node.boot()
        node.crash()
        with absorb_crash():
            try:
                await world.disk.exists("a")
            except Exception as error:
                raise AssertionError from error
            raise AssertionError("not reached")

    in_universe(body)


def test_the_lock_is_exclusive_and_a_crash_frees_it(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        await node.boot().disk.lock()
        world = node.restart()
        await world.disk.lock()
        node.disk.holder = object()
        with pytest.raises(DataDirectoryInUse, match="vdb start"):
            await world.disk.lock()

    in_universe(body)


def test_rot_stays_however_often_it_is_read(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        await file.write_at(0, b"x" * 100)
        await file.sync()
        node.disk.rot("a", 50)
        first = await file.read_at(0, 100)
        assert first != b"x" * 100
        assert await file.read_at(0, 100) == first
        node.crash()
        assert await read_back(node, "a") == first
        assert universe.faults["disk.bit_rot"] == 1

    in_universe(body)


def test_rot_falls_where_data_are_and_where_it_is_permitted(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        await file.allocate(1 << 16)
        await file.write_at(8192, b"x" * 4096)
        place = node.disk.rot_any(lambda path: path == "a")
        assert place is not None
        assert 8192 <= place[1] < 12_288
        assert node.disk.rot_any(lambda path: path == "b") is None
        node.disk.permit = lambda kind, path, offset, size: False
        assert node.disk.rot_any(lambda path: True) is None

    in_universe(body)


def test_a_failed_sync_may_lose_what_was_dirty_and_never_heals(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        outcomes = []
        for n in range(20):
            node = universe.node(f"n{n}", REGION)
            disk = node.boot().disk
            file = await disk.open("a", create=True)
            await disk.sync_directory("")
            await file.write_at(0, b"x")
            node.disk.fail_next_sync()
            with pytest.raises(DiskFailed, match="sync of a failed"):
                await file.sync()
            cached = await file.read_at(0, 1)
            await file.sync()  # the pages are marked clean: this says yes and writes nothing
            node.crash()
            outcomes.append((cached, await read_back(node, "a")))
        assert set(outcomes) == {(b"x", b"x"), (b"", b""), (b"x", b"")}

    in_universe(body)


def test_lost_and_misdirected_writes(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        await file.allocate(1 << 16)
        await file.sync()
        node.disk.faults = DiskFaults(lost_write=1.0)
        await file.write_at(0, b"x" * 4096)
        await file.sync()
        assert node.disk.stable_content("a") == bytes(1 << 16)
        node.disk.faults = DiskFaults(misdirected_write=1.0)
        await file.write_at(4096, b"y" * 4096)
        await file.sync()
        content = node.disk.stable_content("a")
        assert content[4096:8192] == bytes(4096)
        assert b"y" * 4096 in content
        assert universe.faults["disk.lost_write"] == 1
        assert universe.faults["disk.misdirected_write"] == 1

    in_universe(body)


def test_reads_and_writes_may_fail(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        await file.write_at(0, b"x" * 4096)
        node.disk.faults = DiskFaults(eio_read=1.0, eio_write=1.0)
        with pytest.raises(DiskFailed, match="EIO: reading 10 bytes at 5 of a"):
            await file.read_at(5, 10)
        with pytest.raises(DiskFailed, match="EIO: writing 1 bytes at 0 of a"):
            await file.write_at(0, b"y")
        node.disk.permit = lambda kind, path, offset, size: False
        await file.write_at(0, b"z" * 4096)
        assert await file.read_at(0, 1) == b"z"

    in_universe(body)


def test_a_full_disk_refuses_growth_and_takes_overwrites(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        await file.allocate(8192)
        node.disk.capacity = 10_000
        await file.write_at(0, b"x" * 8192)
        with pytest.raises(DiskFull, match="no space left on the disk: a"):
            await file.write_at(8192, b"x" * 8192)
        with pytest.raises(DiskFull):
            await file.allocate(20_000)
        node.disk.capacity = None
        await file.write_at(8192, b"x" * 8192)
        assert universe.faults["disk.full"] == 2

    in_universe(body)


def test_a_slow_disk_takes_its_time(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe)
        file = await node.boot().disk.open("a", create=True)
        start = trio.current_time()
        await file.sync()
        usual = trio.current_time() - start
        node.disk.slowness = 1000
        await file.sync()
        assert trio.current_time() - start > 100 * usual
        assert universe.faults["disk.slow"] == 1

    in_universe(body)


def test_a_file_that_was_never_synced_into_its_directory_is_missing(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = make_node(universe, DiskFaults(lose_names=1.0))
        file = await node.boot().disk.open("a", create=True)
        await file.write_at(0, b"x")
        await file.sync()
        node.crash()
        with pytest.raises(FileMissing):
            await node.boot().disk.open("a")

    in_universe(body)
