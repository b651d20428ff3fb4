"""Nodes show certificates that name them; what names another node, or none, isn't let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from vdb.node.peers.hello import node_name
from vdb.ports import World
from vdb.types import Region
from vdb.vsr.message import StartViewChange
from vdb.world import TlsConfig, make_world

CLUSTER = b"c" * 16
GROUP = b"g" * 32
Body = Callable[[Any], Awaitable[None]]
InNamedWorlds = Callable[[Body, dict[int, tuple[str, ...]]], None]


@pytest.fixture
def in_named_worlds(tmp_path: Path, in_real_worlds: Callable[[Body, Callable[[int], World]], None]) -> InNamedWorlds:
    """Run a body on worlds with TLS: by node number, the DNS names of its certificate besides its host's."""
    authority = trustme.CA()

    def run(body: Body, names: dict[int, tuple[str, ...]]) -> None:
        def make(node: int) -> World:
            certificate = authority.issue_cert("127.0.0.1", *names[node])
            tls = TlsConfig(cert=tmp_path / f"{node}.pem", key=tmp_path / f"{node}.key", ca=tmp_path / f"{node}-ca.pem")
            tls.cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
            certificate.private_key_pem.write_to_path(str(tls.key))
            authority.cert_pem.write_to_path(str(tls.ca))
            return make_world(tmp_path / f"n{node}", Region("us-east-1"), tls=tls)

        in_real_worlds(body, make)

    return run


def test_the_name_of_a_node() -> None:
    assert node_name(bytes(range(16)), 7) == "n7.node.000102030405060708090a0b0c0d0e0f.veritydb"


def test_nodes_with_their_own_certificates(in_named_worlds: InNamedWorlds) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.pair()
        messages = [cluster.prepare(b"x" * 200_000, 0, op) for op in range(1, 4)]
        for message in messages:
            zero.peers.send(1, GROUP, message)
        one.peers.send(0, GROUP, StartViewChange(view=1, replica=1))
        assert await one.receive(3) == messages
        await zero.receive(1)
        assert zero.peers.is_synchronised([0, 1], 2)

    in_named_worlds(body, {node: ("db.example", node_name(CLUSTER, node)) for node in (0, 1)})


@pytest.mark.parametrize(
    "names", [(), (node_name(CLUSTER, 2),), (node_name(b"x" * 16, 1),), (node_name(CLUSTER, 11),)], ids=str
)
def test_a_certificate_without_the_nodes_name_opens_no_door(
    in_named_worlds: InNamedWorlds, names: tuple[str, ...]
) -> None:
    async def body(cluster: Any) -> None:
        zero, one = await cluster.start(0, {}), await cluster.start(1, {})
        cluster.connect(zero, one)
        await cluster.until(one.peers.refusals)
        assert str(one.peers.refusals()[0]) == (
            "node 0 refuses node 1: its certificate doesn't carry the name of its node"
        )
        await cluster.until(lambda: "node 0 refuses node 1" in (zero.peers.status()[0].problem or ""))
        assert zero.peers.met == one.peers.met == ()
        assert zero.known.ids == {}, "nothing is remembered of who can't prove who it is"

    in_named_worlds(body, {0: (node_name(CLUSTER, 0),), 1: names})


class Revoked:
    """A list that the test writes to."""

    def __init__(self) -> None:
        self.serials: list[str] = []

    def is_revoked(self, serial: str, *, certainly: bool = False) -> bool:
        return serial.lstrip("0") in self.serials


def test_a_node_whose_certificate_is_revoked_is_cut_off_and_not_let_in_again(
    in_named_worlds: InNamedWorlds, tmp_path: Path
) -> None:
    async def body(cluster: Any) -> None:
        cluster.revocations = revoked = Revoked()
        zero, one = await cluster.pair()
        await cluster.until(lambda: zero.peers.status()[0].connected and one.peers.status()[0].connected)
        shown = x509.load_pem_x509_certificate((tmp_path / "1.pem").read_bytes())
        revoked.serials.append(f"{shown.serial_number:x}")
        await cluster.until(lambda: one.peers.refusals().get(0) is not None)
        assert "its certificate was revoked" in str(one.peers.refusals()[0])
        await cluster.until(lambda: not zero.peers.status()[0].connected)
        assert "its certificate was revoked" in (zero.peers.status()[0].problem or "")
        revoked.serials.clear()
        await cluster.until(lambda: zero.peers.status()[0].connected and one.peers.status()[0].connected)

    in_named_worlds(body, {node: (node_name(CLUSTER, node),) for node in (0, 1)})
