"""Who may talk to whom: the rules of the hello with which a connection between nodes begins.

A hello is accepted when it speaks this version, means this node, names this cluster, comes from a node whose address
is known here, is backed by the certificate (with TLS), and shows the disk with which its node came first. What is
remembered of disks is durable before the hello counts: a node that lost its disk can't come back as if it were new and
deny what it acked.

Each hello says the sender's region, and is accepted only if this node knows the sender in that one: so nothing that was
meant for a region's nodes is handed to a node that says it is elsewhere. A hello without a region is one of a node that
knows of one region alone, this node's.

Certificates: a node's carries the DNS name `n<number>.node.<cluster id in hex>.veritydb`, besides those of the hosts it
runs on. A client's carries no such name, so it can't pass for a node. In a cluster of several regions it carries
`<region>.region.<cluster id in hex>.veritydb` as well: who holds a certificate of one region can't take part in
another. A certificate that was revoked ends its connections as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio
from attrs import frozen

from vdb.errors import ForgottenDisk, RefusedByPeer
from vdb.marks import mark
from vdb.ports import Network
from vdb.wire.peer_link import PROTOCOL_VERSION, Hello, RefusalReason


class DiskIds(Protocol):
    """The disk ids of the other nodes, as this node knows them."""

    def remembered(self, node: int) -> bytes | None:
        """16 bytes, or None for a node that never came."""

    async def remember(self, node: int, disk_id: bytes) -> None:
        """Durable when it returns."""


def node_name(cluster: bytes, node: int) -> str:
    """The DNS name that the certificate of a node must carry."""
    return f"n{node}.node.{cluster.hex()}.veritydb"


def region_name(cluster: bytes, region: str) -> str:
    """The DNS name that the certificate of a node must carry in a cluster of several regions."""
    return f"{region}.region.{cluster.hex()}.veritydb"


def refused_by(peer: int, own: int, reason: RefusalReason) -> RefusedByPeer:
    """What `peer` means when it refuses the hello of node `own`."""
    if reason is RefusalReason.DISK:
        return forgotten_disk(own, f"node {peer} refuses node {own}")
    return RefusedByPeer(f"node {peer} refuses node {own}: {_REASONS[reason]}")


def refusal_of(peer: int, own: int, reason: RefusalReason) -> RefusedByPeer:
    """Why node `own` refuses the hello of `peer`."""
    if reason is RefusalReason.DISK:
        return forgotten_disk(peer, f"node {own} refuses node {peer}")
    return RefusedByPeer(f"node {own} refuses node {peer}: {_REASONS[reason]}")


def forgotten_disk(node: int, what: str) -> ForgottenDisk:
    """`node` came with another disk than the first time."""
    return ForgottenDisk(
        f"{what}: node {node} came with another disk: if its disk was lost, run vdb cluster recover --node {node}"
    )


_REASONS = {
    RefusalReason.VERSION: "it speaks another version of the protocol between nodes",
    RefusalReason.CLUSTER: "it belongs to another cluster: expected the same 'cluster' in both configurations",
    RefusalReason.NODE: "another node is meant: peer_address and node number don't belong together",
    RefusalReason.NAME: "its certificate doesn't carry the name of its node",
    RefusalReason.UNKNOWN: "it isn't a member of the cluster",
    RefusalReason.REVOKED: "its certificate was revoked, or the list of those that were has ended",
    RefusalReason.REGION: "it is known in another region than the one that it, or its certificate, says",
}


@frozen(kw_only=True)
class Regions:
    """Where nodes are, as this one knows it."""

    own: str = ""
    """This node's region; empty: nobody speaks of regions."""
    several: bool = False
    """Whether the cluster has more than one: then certificates must name theirs."""
    of: Callable[[int], str] = lambda _node: ""
    """The region of a node; empty: it isn't known, which means this node's own."""


class Revocations(Protocol):
    """What is known of certificates that count no more."""

    def is_revoked(self, serial: str, *, certainly: bool = False) -> bool:
        """`certainly`: not because nobody can tell."""


class NoRevocations:
    """Every certificate counts."""

    def is_revoked(self, _serial: str, *, certainly: bool = False) -> bool:
        return False


async def serial_of_peer(network: Network, stream: trio.abc.Stream) -> str:
    """The serial number of the other side's certificate, which was verified; empty without one."""
    certificate = (await network.peer(stream)).certificate
    return certificate.serial if certificate is not None else ""


class HelloRules:
    """Makes this node's hellos and judges those of others."""

    def __init__(
        self,
        *,
        node: int,
        cluster: bytes,
        disk_id: bytes,
        known: DiskIds,
        regions: Regions | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        self.node = node
        self.revocations: Revocations = revocations or NoRevocations()
        self._regions = regions or Regions()
        self._cluster = cluster
        self._disk_id = disk_id
        self._known = known
        self._remembering = trio.Lock()

    def hello_to(self, node: int) -> Hello:
        return Hello(node=self.node, to=node, cluster=self._cluster, disk=self._disk_id, region=self._regions.own)

    async def judge(
        self, hello: Hello, *, names: tuple[str, ...] | None, is_member: bool, serial: str = ""
    ) -> RefusalReason | None:
        """Why the hello isn't accepted; None if it is. Then the sender's disk is remembered durably.

        `names`: DNS names of the sender's certificate; None without TLS. `serial`: the certificate's, in hex.
        """
        if serial and self.revocations.is_revoked(serial):
            mark("hello.revoked")
            return RefusalReason.REVOKED
        reason = self._judge_claims(hello, names, is_member)
        if reason is not None:
            return reason
        # Two connections of one node may say hello at the same time: only one disk can be the first.
        async with self._remembering:
            remembered = self._known.remembered(hello.node)
            if remembered is None:
                await self._known.remember(hello.node, hello.disk)
            elif remembered != hello.disk:
                mark("hello.another_disk")
                return RefusalReason.DISK
        return None

    def _judge_claims(self, hello: Hello, names: tuple[str, ...] | None, is_member: bool) -> RefusalReason | None:
        if hello.version != PROTOCOL_VERSION:
            return RefusalReason.VERSION
        if hello.cluster != self._cluster:
            return RefusalReason.CLUSTER
        if hello.to != self.node or hello.node == self.node:
            return RefusalReason.NODE
        if names is not None and node_name(self._cluster, hello.node) not in [name.lower() for name in names]:
            return RefusalReason.NAME
        if not is_member:
            return RefusalReason.UNKNOWN
        if not self._fits_region(hello, names):
            mark("hello.another_region")
            return RefusalReason.REGION
        return None

    def _fits_region(self, hello: Hello, names: tuple[str, ...] | None) -> bool:
        regions = self._regions
        if not regions.own:
            return True
        known = regions.of(hello.node) or regions.own
        if (hello.region or regions.own) != known:
            return False
        if names is None or not regions.several:
            return True
        return region_name(self._cluster, known) in [name.lower() for name in names]
