"""Connections that are dialled, on networks in trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from sim.world import NetworkFaults
from vdb.marks import COUNTS
from vdb.node.peers.peer_settings import PeerSettings
from vdb.vsr.message import StartViewChange

InCluster = Callable[[Callable[[Any], Awaitable[None]]], None]
GROUP = b"g" * 32


def svc(view: int, replica: int) -> StartViewChange:
    return StartViewChange(view=view, replica=replica)


def test_a_half_open_connection_is_dialled_again(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        assert cluster.universe is not None
        cluster.universe.network.half_open("n0", "n1")
        zero.peers.send(1, GROUP, svc(1, 0))  # into the void
        await cluster.until(lambda: not zero.peers.status()[0].connected)
        assert zero.peers.status()[0].problem == "nothing was heard of it"
        await cluster.until(lambda: zero.peers.status()[0].connected)
        zero.peers.send(1, GROUP, svc(2, 0))
        assert await one.receive(1) == [svc(2, 0)]

    in_simulation(body)


def test_a_cut_network_heals(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, _one = await cluster.pair()
        assert cluster.universe is not None
        for _ in range(3):
            cluster.universe.network.cut("n0", "n1")
            await cluster.until(lambda: not zero.peers.status()[0].connected)
            await trio.sleep(5)
            assert not zero.peers.status()[0].connected
            cluster.universe.network.heal()
            await cluster.until(lambda: zero.peers.status()[0].connected)

    in_simulation(body)


def test_a_slow_link_is_not_taken_for_a_dead_one(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        assert cluster.universe is not None
        cluster.universe.network.faults = NetworkFaults(bytes_per_us=1)
        # A second of bytes, while silence is noticed after a quarter of that.
        for op in range(1, 6):
            zero.peers.send(1, GROUP, cluster.prepare(b"x" * 200_000, 0, op))
        lost = COUNTS["peers.half_open"]
        assert len(await one.receive(5)) == 5
        assert COUNTS["peers.half_open"] == lost

    in_simulation(body)


def test_a_full_queue_drops_the_oldest(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        settings = PeerSettings(queue_bytes_max=100_000, batch_bytes_max=10_000)
        zero, one = await cluster.pair(settings)
        assert cluster.universe is not None
        cluster.universe.network.stall("n0", "n1")
        messages = [cluster.prepare(b"x" * 20_000, 0, op) for op in range(1, 9)]
        for message in messages:
            zero.peers.send(1, GROUP, message)
        assert 80_000 < zero.peers.queued_bytes(1) <= 100_000
        cluster.universe.network.heal()
        assert await one.receive(4) == messages[4:]
        large = cluster.prepare(b"x" * 150_000, 0)
        zero.peers.send(1, GROUP, large)
        assert await one.receive(1) == [large], "one frame may wait in any case"
        assert zero.peers.queued_bytes(1) == 0
        assert zero.peers.queued_bytes(2) == 0

    in_simulation(body)


def test_a_node_that_is_gone_is_told_once(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        await trio.sleep(1)
        assert zero.lost == []
        await one.stop()
        await cluster.until(lambda: zero.lost)
        await trio.sleep(1)
        assert zero.lost == [1]

    in_simulation(body)


def test_a_connection_that_only_breaks_is_no_loss(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, _one = await cluster.pair()
        assert cluster.universe is not None
        cluster.universe.network.half_open("n0", "n1")
        await cluster.until(lambda: not zero.peers.status()[0].connected)
        await cluster.until(lambda: zero.peers.status()[0].connected)
        assert zero.lost == []

    in_simulation(body)


def test_a_silent_incoming_connection_ends(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "n1:1"})
        async with cluster.raw(zero) as (stream, _):
            started = trio.current_time()
            assert await cluster.receive(stream) is None
            assert 0.2 < trio.current_time() - started < 1

    in_simulation(body)
