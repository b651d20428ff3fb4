"""Who is let in, and what the others are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vdb.errors import ForgottenDisk
from vdb.vsr.message import StartViewChange

InCluster = Callable[[Callable[[Any], Awaitable[None]]], None]
GROUP = b"g" * 32


def svc(view: int, replica: int) -> StartViewChange:
    return StartViewChange(view=view, replica=replica)


def test_a_node_that_lost_its_disk_is_told_what_to_do(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        address = one.peers.address
        await one.stop()
        wiped = await cluster.start(1, {0: zero.peers.address or ""}, listen=address, disk=b"new" + bytes(13))
        with pytest.raises(ForgottenDisk, match=r"node 1 came with another disk: .*run vdb cluster recover --node 1"):
            await wiped.peers.wait_met([0])
        assert wiped.peers.met == ()
        zero.peers.send(1, GROUP, svc(1, 0))
        await trio.sleep(0.2)
        assert wiped.received == []
        assert zero.known.ids == {1: cluster.disk_of(1)}
        problem = zero.peers.status()[0].problem
        assert problem is not None
        assert "node 0 refuses node 1: node 1 came with another disk" in problem

    in_cluster(body)


def test_a_wiped_node_that_only_listens_hears_it_too(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        one = await cluster.start(1, {0: "n0:1"})
        known = cluster.known({1: b"old" + bytes(13)})
        await cluster.start(0, {1: one.peers.address or ""}, known=known)
        with pytest.raises(ForgottenDisk, match="node 0 refuses node 1"):
            await one.peers.wait_met([0])

    in_cluster(body)


def test_a_node_that_was_recovered_is_let_in(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {}, known=cluster.known({1: b"old" + bytes(13)}))
        one = await cluster.start(1, {0: zero.peers.address or ""})
        cluster.connect(zero, one)
        await cluster.until(lambda: isinstance(one.peers.refusals().get(0), ForgottenDisk))
        zero.known.ids[1] = cluster.disk_of(1)  # as a reconfiguration tells
        await cluster.until(lambda: 0 in one.peers.met)
        assert one.peers.refusals() == {}
        await one.peers.wait_met([0])

    in_cluster(body)


def test_strangers_are_refused(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {})
        there = {0: zero.peers.address or ""}
        stranger = await cluster.start(1, there)
        await cluster.until(stranger.peers.refusals)
        assert str(stranger.peers.refusals()[0]) == "node 0 refuses node 1: it isn't a member of the cluster"
        assert zero.known.ids == {}, "nothing is remembered of a stranger"
        cluster.connect(zero, stranger)
        await stranger.peers.wait_met([0])

        other = await cluster.start(2, there, cluster=b"x" * 16)
        await cluster.until(other.peers.refusals)
        assert "it belongs to another cluster" in str(other.peers.refusals()[0])
        assert not isinstance(other.peers.refusals()[0], ForgottenDisk)

        astray = await cluster.start(3, {7: there[0]})
        await cluster.until(astray.peers.refusals)
        assert "peer_address and node number don't belong together" in str(astray.peers.refusals()[7])

    in_cluster(body)
