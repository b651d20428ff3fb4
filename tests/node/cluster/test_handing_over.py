"""A node that stops: others take over what it leads, and where nobody can, it doesn't wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from vdb.node.replication.handing_over import HAND_OVER_SECONDS_MAX, hand_over
from vdb.types import GLOBAL_GROUP

GROUPS = ("ap-southeast-2", GLOBAL_GROUP)
AT_ONCE = 0.001
"""Simulated seconds."""


async def stop(cluster: Any, number: int) -> float:
    """As `vdb start` does when it is told to; the seconds that the others were waited for."""
    began = trio.current_time()
    await hand_over(cluster.machines[number].node)
    waited = trio.current_time() - began
    await cluster.stop(number)
    return waited


async def lead_everything(cluster: Any) -> int:
    """Wait until one node leads both groups, and let the others give up what they lead until then."""
    while True:
        home, world = [await cluster.primary(name) for name in GROUPS]
        if home == world:
            return int(home)
        cluster.group(world, GLOBAL_GROUP).abdicate()
        await trio.sleep(0.5)


def test_another_node_leads_before_the_primary_stops(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        first = await lead_everything(cluster)
        others = [number for number in range(3) if number != first]
        await hand_over(cluster.machines[first].node)
        for name in GROUPS:
            assert any(cluster.group(number, name).replica.is_primary for number in others)
            assert not cluster.group(first, name).is_serving
        await cluster.stop(first)
        await cluster.append("s", b"after")

    in_cluster(body)


def test_a_backup_does_not_wait(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        backup = (await lead_everything(cluster) + 1) % 3
        assert await stop(cluster, backup) < AT_ONCE

    in_cluster(body)


def test_the_last_primary_of_a_cluster_that_is_stopped_does_not_wait(in_cluster: Callable[..., None]) -> None:
    """All are told at once: the backups are gone before one of them could take over."""

    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        last = await lead_everything(cluster)
        waited: list[float] = []

        async def stop_one(number: int) -> None:
            waited.append(await stop(cluster, number))

        async with trio.open_nursery() as nursery:
            for number in (last, (last + 1) % 3, (last + 2) % 3):
                nursery.start_soon(stop_one, number)
        assert len(waited) == 3
        assert max(waited) < HAND_OVER_SECONDS_MAX / 4

    in_cluster(body)


def test_where_no_other_voter_is_left_nobody_is_waited_for(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        last = await lead_everything(cluster)
        node = cluster.machines[last].node
        for number in ((last + 1) % 3, (last + 2) % 3):
            await cluster.stop(number)
        await cluster.wait_until(lambda: not any(peer.connected for peer in node.neighbourhood.peers.status()))
        assert await stop(cluster, last) < AT_ONCE

    in_cluster(body)


def test_one_voter_that_is_left_takes_over(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        first = await lead_everything(cluster)
        gone, left = (first + 1) % 3, (first + 2) % 3
        await cluster.stop(gone)
        await trio.sleep(0.1)
        await hand_over(cluster.machines[first].node)
        assert all(cluster.group(left, name).replica.is_primary for name in GROUPS)

    in_cluster(body)
