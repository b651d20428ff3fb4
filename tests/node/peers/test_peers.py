"""Connections between nodes: messages, members, clocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vdb.node.peers.peers import Peers
from vdb.vsr.message import Message, StartViewChange

InCluster = Callable[[Callable[[Any], Awaitable[None]]], None]
GROUP = b"g" * 32


def svc(view: int, replica: int) -> StartViewChange:
    return StartViewChange(view=view, replica=replica)


def test_messages_arrive_in_order_with_group_and_sender(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        sent: list[Message] = [svc(view, 0) for view in range(50)]
        sent += [cluster.prepare(b"x" * 300_000, 0, op) for op in range(1, 4)]
        for message in sent:
            zero.peers.send(1, GROUP, message)
        one.peers.send(0, b"h" * 32, svc(9, 1))
        await cluster.until(lambda: len(one.received) == len(sent))
        assert one.received == [(GROUP, 0, message) for message in sent]
        await cluster.until(lambda: zero.received)
        assert zero.received == [(b"h" * 32, 1, svc(9, 1))]

    in_cluster(body)


def test_each_remembers_the_others_disk_before_it_counts(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        assert zero.known.ids == {1: cluster.disk_of(1)}
        assert one.known.ids == {0: cluster.disk_of(0)}
        assert zero.peers.met == (1,)
        assert zero.peers.refusals() == {}

    in_cluster(body)


def test_a_message_to_several_nodes(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        members = [await cluster.start(node, {}) for node in range(3)]
        cluster.connect(*members)
        for member in members:
            await member.peers.wait_met(range(3))
        message = cluster.prepare(b"x", 0)
        for to in (1, 2):
            members[0].peers.send(to, GROUP, message)
        for to in (1, 2):
            assert await members[to].receive(1) == [message]

    in_cluster(body)


def test_a_node_that_restarts_is_dialled_again(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        address = one.peers.address
        await one.stop()
        await cluster.until(lambda: not zero.peers.status()[0].connected)
        assert zero.peers.status()[0].problem is not None
        zero.peers.send(1, GROUP, svc(1, 0))  # dropped
        again = await cluster.start(1, {0: zero.peers.address or ""}, known=one.known, listen=address)
        await again.peers.wait_met([0])
        await cluster.until(lambda: zero.peers.status()[0].connected)
        assert zero.peers.status()[0].problem is None
        zero.peers.send(1, GROUP, svc(2, 0))
        assert await again.receive(1) == [svc(2, 0)]

    in_cluster(body)


def test_an_error_of_the_receiver_ends_the_node(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        def fail(group: bytes, sender: int, message: Message) -> None:
            raise AssertionError("a broken invariant")

        zero = await cluster.start(0, {})
        one = Peers(
            world=cluster.world(1), node=1, cluster=b"c" * 16, disk_id=cluster.disk_of(1), addresses={0: "n0:1"},
            listen="n1:7150", known=cluster.known(), on_message=fail,
        )  # fmt: skip
        zero.peers.set_addresses({1: "n1:7150"})

        async def run_one() -> None:
            with pytest.raises(BaseExceptionGroup) as caught:
                await one.run()
            assert caught.group_contains(AssertionError, match="a broken invariant")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_one)
            await zero.peers.wait_met([1])
            zero.peers.send(1, GROUP, svc(1, 0))

    in_simulation(body)


def test_a_node_that_is_no_member_any_more_is_cut_off(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        zero.peers.set_addresses({})
        await cluster.until(one.peers.refusals)
        assert "isn't a member" in str(one.peers.refusals()[0])
        assert zero.peers.status() == ()
        assert zero.peers.met == ()
        zero.peers.send(1, GROUP, svc(1, 0))
        cluster.connect(zero, one)
        await zero.peers.wait_met([1])
        await cluster.until(lambda: one.peers.status()[0].connected)

    in_cluster(body)


def test_an_address_may_change(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        one = await cluster.start(1, {})
        zero = await cluster.start(0, {1: f"{cluster.host(1)}:1", 0: "own:1"})
        await cluster.until(lambda: "nobody answers" in (zero.peers.status()[0].problem or ""))
        cluster.connect(zero, one)
        await zero.peers.wait_met([0, 1])
        assert [status.node for status in zero.peers.status()] == [1]

    in_cluster(body)


def test_an_address_that_cannot_be_dialled_is_a_problem_and_no_end(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "nonsense"})
        await cluster.until(lambda: "HOST:PORT" in (zero.peers.status()[0].problem or ""))

    in_cluster(body)


def test_clocks_that_agree(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        for member, other in ((zero, 1), (one, 0)):
            await cluster.until(lambda member=member: member.peers.is_synchronised([0, 1], 2))
            offset = member.peers.status()[0].clock_offset
            assert offset is not None
            assert offset.low_us <= 0 <= offset.high_us
            assert not member.peers.is_synchronised([0, 1], 3)
            assert not member.peers.is_synchronised([other + 5], 2)
            assert member.peers.is_synchronised([], 1)

    in_cluster(body)


def test_a_clock_that_is_wrong_and_then_set(in_simulation: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        assert cluster.universe is not None
        await cluster.until(lambda: zero.peers.is_synchronised([0, 1], 2))
        cluster.universe.nodes["n0"].clock.jump(-3_600_000_000)
        assert not zero.peers.is_synchronised([0, 1], 2), "its own jump shows at once"
        await cluster.until(lambda: not one.peers.is_synchronised([0, 1], 2))
        offset = one.peers.status()[0].clock_offset
        assert offset is not None
        assert offset.low_us <= -3_600_000_000 <= offset.high_us
        cluster.universe.nodes["n0"].clock.jump(3_600_000_000)
        assert zero.peers.is_synchronised([0, 1], 2)
        await cluster.until(lambda: one.peers.is_synchronised([0, 1], 2))

    in_simulation(body)
