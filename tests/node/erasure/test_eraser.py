"""What nodes say of an erasure while root keys are exchanged: by which key it is signed, by which it is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from vdb.crypto.root import RootKey, RootKeys
from vdb.kernel.command import INTERNAL
from vdb.kernel.erasure import acks_of, find_erasure, unacknowledged
from vdb.kernel.erasure_rows import Ack
from vdb.kernel.reply import Numbered
from vdb.node.erasure.eraser import Eraser
from vdb.node.erasure.erasure_request import PlainErase
from vdb.node.node import Node
from vdb.node.preparing.request import PlainCreate
from vdb.node.replication.group import Group
from vdb.types import DataClass, Region, TenantId
from vdb.vsr.message import ErasedMessage

REGION = Region("ap-southeast-2")
T1 = TenantId(1)
FIRST = RootKeys(bytes(range(32)))
SECOND = RootKeys(bytes(range(1, 33)))
UNKNOWN = RootKeys(bytes(range(2, 34)))
OTHER, OTHERS_DISK = 1, bytes(range(16))


async def erase(node: Node, subject: str) -> int:
    group = node.groups[REGION.name]
    create = PlainCreate(tenant=T1, name="wards", data_class=DataClass.PHI, region=REGION.name, if_not_exists=True)
    await group.execute(create, INTERNAL)
    request = PlainErase(tenant=T1, subject=subject, basis="asked for", by="", members=(0,), keys_max=8)
    reply = await group.execute(request, INTERNAL)
    assert isinstance(reply, Numbered)
    return reply.number


async def own_word(node: Node, number: int) -> dict[str, Any]:
    """What the node has said of an erasure."""
    group = node.groups[REGION.name]
    with trio.fail_after(30):
        await group.wait_until(lambda: not unacknowledged(group.state, 0))
    (ack,) = _acks(group, number, 0)
    said: dict[str, Any] = json.loads(ack.statement)
    return said


def _acks(group: Group, number: int, node: int) -> tuple[Ack, ...]:
    erasure = find_erasure(group.state, T1, number)
    assert erasure is not None
    return acks_of(group.state, erasure, [node])


def signer(keys: RootKeys, said: dict[str, Any]) -> str:
    return keys.for_group(REGION.name).signing_key(bytes.fromhex(said["disk"])).public.hex()


async def test_a_node_signs_by_the_root_key_that_its_group_goes_by(start) -> None:
    async with start(keys=FIRST) as node:
        said = await own_word(node, await erase(node, "alice"))
        assert said["key"] == signer(FIRST, said)
    async with start(keys=SECOND.beside(FIRST)) as node:
        said = await own_word(node, await erase(node, "bob"))
        assert said["key"] == signer(FIRST, said), "nothing was rotated yet: another node may know no other key"
        await node.service.keys.rotate(REGION.name, 0, begin=True)
        said = await own_word(node, await erase(node, "carol"))
        assert said["key"] == signer(SECOND, said)


@pytest.mark.parametrize(("keys", "believed"), [(FIRST, True), (SECOND, True), (UNKNOWN, False)])
async def test_a_word_is_believed_of_each_root_key_that_is_known(start, keys: RootKeys, *, believed: bool) -> None:
    async with start(keys=SECOND.beside(FIRST)) as node:
        group = node.groups[REGION.name]
        number = await erase(node, "alice")
        await own_word(node, number)
        eraser = Eraser(
            groups={group.name: group},
            node="n0",
            disk_id=lambda: bytes(16),
            remembered={OTHER: OTHERS_DISK}.get,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(eraser.run)
            with trio.fail_after(30):
                group.on_erased(_word(number, keys.for_group(group.name)))
                # What comes behind it in the log says that it is there, or never will be.
                await erase(node, "bob")
            nursery.cancel_scope.cancel()
        assert [ack.node for ack in _acks(group, number, OTHER)] == ([OTHER] if believed else [])


def _word(number: int, root: RootKey) -> ErasedMessage:
    said = {"group": REGION.name, "tenant": str(T1), "erasure": str(number), "number": OTHER}
    statement = json.dumps(said).encode()
    signature = root.signing_key(OTHERS_DISK).sign(statement)
    return ErasedMessage(tenant=T1, erasure=number, statement=statement, signature=signature, replica=OTHER)
