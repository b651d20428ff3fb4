"""A node that was away for longer than the others' logs reach fetches their checkpoint, and then is as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from vdb.vsr.message import SyncMessage

HOME = "ap-southeast-2"
FOLDER = f"groups/{HOME}"


def group_files(cluster: Any, number: int) -> dict[str, bytes]:
    """What must be the same everywhere: checkpoints, key store and segments."""
    disk = cluster.machines[number].host.disk
    return {
        path: bytes(disk.content(path))
        for path in disk.paths()
        if path.startswith((f"{FOLDER}/checkpoints/", f"{FOLDER}/log/")) and not path.endswith(".idx")
    }


async def write_some(cluster: Any, count: int, *, size: int = 300) -> None:
    for number in range(count):
        await cluster.append(f"s{number % 3}", b"%04d" % number * (size // 4))


async def create_streams(cluster: Any) -> None:
    for number in range(3):
        await cluster.create(f"s{number}")


async def wait_for_sync(cluster: Any, number: int, above: int) -> None:
    while True:
        await trio.sleep(0.05)
        if cluster.group(number).superblock.state.checkpoint_op > above:
            return


def test_a_node_that_the_log_cannot_reach_is_synced(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create_streams(cluster)
        await write_some(cluster, 12)
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        await write_some(cluster, 70)
        await cluster.start(away)
        await wait_for_sync(cluster, away, 40)
        await cluster.converge()
        await write_some(cluster, 40)
        await cluster.converge()
        await trio.sleep(1)
        assert len({cluster.group(number).superblock.state.checkpoint_id for number in range(3)}) == 1
        primary = await cluster.primary()
        away_has, primary_has = group_files(cluster, away), group_files(cluster, primary)
        assert {path: primary_has.get(path) for path in away_has} == away_has, "what is pinned there may be more"
        assert [path for path in away_has if "/log/" in path] == [path for path in primary_has if "/log/" in path]

    in_cluster(body)


def test_a_member_that_only_a_checkpoint_tells_of_is_let_in(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create_streams(cluster)
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        cluster.add(3, cluster.machines[0].config.members, join=True)
        await cluster.start(3)
        await cluster.reconfigure((0, 1, 2), (3,), (HOME,))
        await write_some(cluster, 70)
        await cluster.start(away)
        await wait_for_sync(cluster, away, 40)
        around = cluster.machines[away].node.neighbourhood
        with trio.fail_after(20):
            await around.peers.wait_met([3])
        assert around._file.remembered(3) == cluster.row(3).disk_id

    in_cluster(body)


@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.3, 0.6, 1.0])
def test_a_crash_in_the_middle_of_a_sync_is_no_loss(in_cluster: Callable[..., None], after_s: float) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create_streams(cluster)
        await write_some(cluster, 12)
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        await write_some(cluster, 60)
        for _life in range(4):
            await cluster.start(away)
            await trio.sleep(after_s)
            await cluster.crash(away)
        await cluster.start(away)
        await cluster.converge()
        assert cluster.group(away).superblock.state.checkpoint_op >= 60

    in_cluster(body, seed=int(after_s * 1000))


def test_sources_take_turns_when_one_goes_silent(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create_streams(cluster)
        primary = await cluster.primary()
        away, other = (primary + 1) % 3, (primary + 2) % 3
        await cluster.crash(away)
        await write_some(cluster, 60)
        group = cluster.group(other)
        heard = group.receive
        group.receive = lambda message: None if isinstance(message, SyncMessage) else heard(message)
        await cluster.start(away)
        await wait_for_sync(cluster, away, 30)
        await cluster.converge()

    in_cluster(body)
