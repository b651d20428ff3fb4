"""Rot at rest is found and mended from the other nodes, byte for byte, while everything goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

from vdb.errors import DamagedData
from vdb.node.gate.mending import until_mended
from vdb.types import TenantId

FOLDER = "groups/ap-southeast-2"
TENANT = TenantId(1)


async def fill(cluster: Any, count: int = 24) -> None:
    await cluster.start(0, 1, 2)
    await cluster.create("s")
    for number in range(count):
        await cluster.append("s", b"%04d" % number * 100)
    await cluster.converge()
    await trio.sleep(0.5)


def rot(cluster: Any, number: int, path: str, at: int) -> bytes:
    """Flip a bit of a file; returns what it was before."""
    disk = cluster.machines[number].host.disk
    before = disk.content(path)
    disk.rot(path, at)
    assert disk.content(path) != before
    return bytes(before)


def paths(cluster: Any, number: int, part: str) -> list[str]:
    disk = cluster.machines[number].host.disk
    return [path for path in disk.paths() if path.startswith(f"{FOLDER}/") and part in path]


@pytest.mark.parametrize("part", [".seg", "checkpoints/checkpoint-", "checkpoints/state-", "checkpoints/keys-", ".idx"])
@pytest.mark.parametrize("back", [0, 1])
def test_a_scrub_mends_a_rotted_file(in_cluster: Callable[..., None], part: str, back: int) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        number = (await cluster.primary() + back) % 3
        group, disk = cluster.group(number), cluster.machines[number].host.disk
        assert await group.scrubber.scrub_once() == ()
        for path in paths(cluster, number, part):
            for at in (len(disk.content(path)) // 2, 3):
                before = rot(cluster, number, path, at)
                [fault] = await group.scrubber.scrub_once()
                assert (fault.path, fault.repaired) == (path, True)
                assert disk.content(path) == before
                assert await group.scrubber.scrub_once() == ()
        await cluster.append("s", b"and on")
        await cluster.converge()

    in_cluster(body)


def test_a_lost_segment_comes_back(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        number = await cluster.primary()
        disk = cluster.machines[number].host.disk
        path = paths(cluster, number, ".seg")[0]
        before = disk.content(path)
        await cluster.stop(number)
        disk.platter.remove(path)
        await cluster.start(number)
        frames = await cluster.group(number).event_log.read_log(TENANT, 0, 1)
        assert len(frames) == 1
        assert disk.content(path) == before

    in_cluster(body)


def test_who_meets_rot_first_gets_it_mended(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        for number in range(3):
            group = cluster.group(number)
            sound = [bytes(frame.record) for frame in await group.event_log.read_log(TENANT, 0, 1 << 20)]
            for path in paths(cluster, number, ".seg"):
                rot(cluster, number, path, 100)
            again = [bytes(frame.record) for frame in await group.event_log.read_log(TENANT, 0, 1 << 20)]
            assert again == sound

    in_cluster(body)


def test_a_rotted_prepare_is_fetched_again(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster, 20)
        number = (await cluster.primary() + 1) % 3
        group = cluster.group(number)
        op = group.applied
        assert op > group.superblock.state.checkpoint_op
        slot = op % group.limits.wal_slots
        at = group.limits.wal_headers_size + slot * group.limits.message_size_max + 300
        rot(cluster, number, f"{FOLDER}/wal", at)
        [fault] = await group.scrubber.scrub_once()
        assert (fault.kind, fault.repaired) == ("wal", False)
        with trio.move_on_after(5):
            while True:
                await trio.sleep(0.1)
                if await group.scrubber.scrub_once() == ():
                    break
        assert await group.journal.read(op) is not None

    in_cluster(body)


def test_a_source_that_is_wrong_does_no_harm(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        number, liar, honest = 0, 1, 2
        group = cluster.group(number)
        path = paths(cluster, number, ".seg")[0]
        before = rot(cluster, number, path, 200)
        rot(cluster, liar, path, 300)
        assert await group._member.copying.repair(path)
        assert cluster.machines[number].host.disk.content(path) == before
        rot(cluster, number, path, 200)
        rot(cluster, honest, path, 400)
        assert not await group._member.copying.repair(path)
        with pytest.raises(DamagedData, match="the disk has damaged it"):
            await group.event_log.read_log(TENANT, 0, 1 << 20)

    in_cluster(body)


@pytest.mark.parametrize("part", ["checkpoints/checkpoint-", "checkpoints/state-", "checkpoints/keys-"])
def test_a_node_with_a_damaged_checkpoint_comes_back_from_the_others(
    in_cluster: Callable[..., None], part: str
) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        number = (await cluster.primary() + 1) % 3
        await cluster.stop(number)
        segments = {path: cluster.machines[number].host.disk.content(path) for path in paths(cluster, number, ".seg")}
        for path in paths(cluster, number, part):
            rot(cluster, number, path, 5)
        cluster.machines[number].host.disk.platter.remove(next(iter(segments)))
        await cluster.append("s", b"meanwhile")
        await cluster.start(number)
        await cluster.converge()
        assert await cluster.group(number).scrubber.scrub_once() == ()
        assert {
            path: cluster.machines[number].host.disk.content(path)[: len(data)] for path, data in segments.items()
        } == (segments)

    in_cluster(body)


@pytest.mark.parametrize("how", ["rotted", "lost", "short"])
def test_a_damaged_open_segment_is_mended_before_it_grows(in_cluster: Callable[..., None], how: str) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        number = (await cluster.primary() + 1) % 3
        await cluster.stop(number)
        disk = cluster.machines[number].host.disk
        for path in paths(cluster, number, ".seg"):
            if how == "rotted":
                rot(cluster, number, path, 5)
            elif how == "lost":
                disk.platter.remove(path)
            else:
                inode = disk.platter.find(path)
                inode.land(inode.change(100, None))
                inode.sync_to(inode.changes)
        await cluster.start(number)
        for _ in range(20):
            await cluster.append("s", b"more" * 100)
        await cluster.converge()
        await cluster.group(number).scrubber.scrub_once()
        assert await cluster.group(number).scrubber.scrub_once() == ()
        frames = [
            [bytes(frame.record) for frame in await cluster.group(node).event_log.read_log(TENANT, 0, 1 << 20)]
            for node in range(3)
        ]
        assert frames[0] == frames[1] == frames[2]

    in_cluster(body)


@pytest.mark.parametrize("helped", [True, False])
def test_a_nodes_own_reads_wait_for_whoever_can_mend_what_they_met(
    in_cluster: Callable[..., None], helped: bool
) -> None:
    async def body(cluster: Any) -> None:
        await fill(cluster)
        group = cluster.group(0)
        sound = await group.event_log.read_log(TENANT, 0, 1 << 20)
        for number in (1, 2):
            await cluster.stop(number)
        rot(cluster, 0, paths(cluster, 0, ".seg")[0], 100)
        read = partial(group.event_log.read_log, TENANT, 0, 1 << 20)
        with pytest.raises(DamagedData, match="the disk has damaged it"):
            await read()
        if not helped:
            with pytest.raises(DamagedData, match="the disk has damaged it"):
                await until_mended(group, read)
            return
        async with trio.open_nursery() as nursery:

            async def come_back() -> None:
                await trio.sleep(2.0)
                await cluster.start(1)

            nursery.start_soon(come_back)
            found = await until_mended(group, read)
        assert [bytes(frame.record) for frame in found] == [bytes(frame.record) for frame in sound]

    in_cluster(body)
