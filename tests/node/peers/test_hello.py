"""Who is let in, and what the others are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vdb.errors import ForgottenDisk
from vdb.node.peers.hello import HelloRules, Regions, node_name, region_name
from vdb.vsr.message import StartViewChange
from vdb.wire.peer_link import Hello, Refusal, RefusalReason, encode_link_frame

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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, RefusalReason.VERSION),
        ({"cluster": b"x" * 16}, RefusalReason.CLUSTER),
        ({"to": 2}, RefusalReason.NODE),
        ({"node": 0}, RefusalReason.NODE),
        ({"node": 2}, RefusalReason.UNKNOWN),
        ({"disk": b"other" + bytes(11)}, RefusalReason.DISK),
    ],
)
def test_reasons_to_refuse(in_cluster: InCluster, changes: dict[str, Any], reason: RefusalReason) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "n1:1"}, known=cluster.known({1: b"d" * 16}))
        stream = await cluster.world(9).network.connect(zero.peers.address)
        hello = Hello(**{"node": 1, "to": 0, "cluster": b"c" * 16, "disk": b"d" * 16, **changes})
        await stream.send_all(encode_link_frame(hello))
        assert await cluster.receive(stream) == Refusal(reason)
        assert await cluster.receive(stream) is None
        assert zero.known.ids == {1: b"d" * 16}
        await trio.aclose_forcefully(stream)

    in_cluster(body)


async def test_of_two_disks_that_come_at_once_one_is_first() -> None:
    class SlowDisks:
        def __init__(self) -> None:
            self.ids: dict[int, bytes] = {}

        def remembered(self, node: int) -> bytes | None:
            return self.ids.get(node)

        async def remember(self, node: int, disk_id: bytes) -> None:
            await trio.sleep(0.01)
            self.ids[node] = disk_id

    known = SlowDisks()
    rules = HelloRules(node=0, cluster=b"c" * 16, disk_id=bytes(16), known=known)
    reasons: list[RefusalReason | None] = []

    async def judge(disk: bytes) -> None:
        hello = Hello(node=1, to=0, cluster=b"c" * 16, disk=disk)
        reasons.append(await rules.judge(hello, names=None, is_member=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(judge, b"1" * 16)
        nursery.start_soon(judge, b"2" * 16)
    assert sorted(map(str, reasons)) == ["None", "RefusalReason.DISK"]
    assert list(known.ids) == [1]


@pytest.mark.parametrize(
    ("says", "certificate", "accepted"),
    [
        ("us-east-1", None, True),
        ("eu-west-1", None, False),
        ("", None, False),
        ("us-east-1", "us-east-1", True),
        ("us-east-1", "eu-west-1", False),
        ("us-east-1", "", False),
    ],
)
async def test_a_node_is_let_in_from_the_region_that_it_is_known_in(
    says: str, certificate: str | None, accepted: bool
) -> None:
    cluster = b"c" * 16
    regions = Regions(own="eu-west-1", several=True, of={1: "us-east-1"}.__getitem__)
    rules = HelloRules(node=0, cluster=cluster, disk_id=bytes(16), known=FakeDisks(), regions=regions)
    names = None if certificate is None else ("host-1", node_name(cluster, 1))
    if names is not None and certificate:
        names = (*names, region_name(cluster, certificate))
    hello = Hello(node=1, to=0, cluster=cluster, disk=b"d" * 16, region=says)
    assert await rules.judge(hello, names=names, is_member=True) is (None if accepted else RefusalReason.REGION)
    assert rules.hello_to(1).region == "eu-west-1"


async def test_in_one_region_a_hello_needs_not_name_it() -> None:
    rules = HelloRules(
        node=0, cluster=b"c" * 16, disk_id=bytes(16), known=FakeDisks(), regions=Regions(own="eu-west-1")
    )
    hello = Hello(node=1, to=0, cluster=b"c" * 16, disk=b"d" * 16)
    assert await rules.judge(hello, names=(node_name(b"c" * 16, 1),), is_member=True) is None


class FakeDisks:
    """Nobody came before."""

    def remembered(self, node: int) -> bytes | None:
        return None

    async def remember(self, node: int, disk_id: bytes) -> None:
        pass
