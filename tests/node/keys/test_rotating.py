"""Rotation of a node's keys while it serves, over starts with other root keys."""

from __future__ import annotations

from base64 import b64encode
from re import escape

import pytest

from vdb.crypto.root import RootKeys
from vdb.errors import InvalidArgument, UnknownTenant, WrongKey
from vdb.kernel.command import INTERNAL, KeyScope
from vdb.node.keys.key_request import PlainRotation
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.types import GLOBAL_GROUP, DataClass, Region, TenantId
from vdb.wire.event import decode_batch, encode_batch
from vdb.world.keys import root_keys_from_file

REGION = Region("ap-southeast-2")
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BEFORE = RootKeys(OLD)
BOTH = RootKeys(NEW, others=[OLD])
AFTER = RootKeys(NEW)
OLD_ID, NEW_ID = (keys.for_group(REGION.name).key_id for keys in (BEFORE, AFTER))


async def write(node: Node, tenant: int, payload: bytes, subject: str = "") -> None:
    group = node.groups[REGION.name]
    name = "notes"
    await group.execute(
        PlainCreate(
            tenant=TenantId(tenant), name=name, data_class=DataClass.PHI, region=REGION.name, if_not_exists=True
        ),
        INTERNAL,
    )
    run = PlainRun(subject=subject, count=1, batch=encode_batch([payload]))
    await group.execute(PlainBatch(tenant=TenantId(tenant), appends=(PlainAppend(stream=name, runs=(run,)),)), INTERNAL)


async def payloads(node: Node, tenant: int) -> list[bytes]:
    result = await node.service.read(tenant, "notes", 0, max_events=100)
    return [bytes(payload) for run in result.runs for payload in decode_batch(run.batch)]


async def rotate(node: Node, *, begin: bool = True, maximum: int = 0) -> list[int]:
    """How many of the region's tenants were left after each step. The global group, which has none, goes first."""
    await node.service.keys.rotate(GLOBAL_GROUP, 0, begin=True)
    left = []
    while not left or left[-1]:
        step = await node.service.keys.rotate("", maximum, begin=begin and not left)
        left.append(step.left)
    return left


def wrong_key(message: str) -> pytest.RaisesGroup[WrongKey]:
    return pytest.RaisesGroup(pytest.RaisesExc(WrongKey, match=message), flatten_subgroups=True)


async def test_a_rotation_in_steps(start) -> None:
    async with start(keys=BEFORE) as node:
        for tenant in (1, 2, 3):
            await write(node, tenant, b"before")
        status = node.service.keys.status("")
        assert (status.root_key_id, status.given, status.tenants, status.behind) == (OLD_ID, (OLD_ID,), 3, 0)
        assert (status.began, status.settled) == (0, True)
        with pytest.raises(InvalidArgument, match="no rotation of the keys of group ap-southeast-2 has begun"):
            await node.service.keys.rotate("", 0, begin=False)

    async with start(keys=BOTH) as node:
        await write(node, 4, b"meanwhile")
        status = node.service.keys.status("")
        assert (status.root_key_id, status.given) == (OLD_ID, (NEW_ID, OLD_ID)), "the order of settings decides nothing"
        step = await node.service.keys.rotate("", 2, begin=True)
        assert (step.rewrapped, step.left, step.root_key_id) == (2, 2, NEW_ID)
        await write(node, 1, b"during")
        await write(node, 5, b"new")
        status = node.service.keys.status("")
        assert (status.root_key_id, status.behind, status.settled) == (NEW_ID, 2, False)

    async with start(keys=BOTH) as node:
        assert node.service.keys.status("").behind == 2, "where it stands is in the log"
        assert await rotate(node, maximum=1) == [1, 0], "one that isn't done goes on"
        status = node.service.keys.status("")
        assert (status.behind, status.settled) == (0, True)

    async with start(keys=AFTER) as node:
        assert await payloads(node, 1) == [b"before", b"during"]
        assert await payloads(node, 4) == [b"meanwhile"]
        assert await payloads(node, 5) == [b"new"]
        await write(node, 2, b"after")
        assert await payloads(node, 2) == [b"before", b"after"]

    with wrong_key(f"is under: expected key id {NEW_ID.hex()}, found {OLD_ID.hex()}"):
        async with start(keys=BEFORE):
            pass


async def test_a_start_without_a_root_key_says_which_it_needs_what_for_and_where_to_put_it(start, tmp_path) -> None:
    """One that some tenants alone need stops it all the same: a node that is up serves all that it is asked for."""
    async with start(keys=BEFORE) as node:
        for tenant in (1, 2, 3):
            await write(node, tenant, b"before")
    async with start(keys=BOTH) as node:
        await node.service.keys.rotate("", 2, begin=True)
        await node.service.keys._settle(node.groups[REGION.name], node.groups[REGION.name].state.last_timestamp)
    file = tmp_path / "root.key"
    file.write_text(f"regional = {b64encode(NEW).decode()}\n")
    file.chmod(0o600)
    message = (
        f"expected key id {OLD_ID.hex()}, found {NEW_ID.hex()}; {OLD_ID.hex()} wraps the keys of 1 of 3 tenants. "
        f"Put it in {file}, on a line `other = KEY`, and start the node again"
    )
    with wrong_key(escape(message)):
        async with start(keys=root_keys_from_file(file)):
            pass
    with file.open("a") as lines:
        lines.write(f"other = {b64encode(OLD).decode()}\n")
    async with start(keys=root_keys_from_file(file)) as node:
        assert await payloads(node, 3) == [b"before"]


async def test_the_old_root_key_is_needed_until_the_rotation_is_done(start) -> None:
    async with start(keys=BEFORE) as node:
        for tenant in (1, 2):
            await write(node, tenant, b"before")
    async with start(keys=BOTH) as node:
        await node.service.keys.rotate("", 1, begin=True)
    with wrong_key(OLD_ID.hex()):
        async with start(keys=AFTER):
            pass
    async with start(keys=BOTH) as node:
        await rotate(node, begin=False)
    async with start(keys=AFTER) as node:
        assert await payloads(node, 2) == [b"before"]


async def test_who_has_lost_an_answer_begins_no_other_rotation(start) -> None:
    async with start(keys=BEFORE) as node:
        await write(node, 1, b"before")
        group, keys, own = node.groups[REGION.name], node.service.keys, b"1" * 16
        first = await keys.rotate("", 0, begin=True, rotation_id=own)
        began = keys.status("").began
        again = await keys.rotate("", 0, begin=True, rotation_id=own)
        assert (first.left, again.left, keys.status("").began) == (0, 0, began)
        assert group.state.key_period(TenantId(1)) == 1
        for _ in range(2):
            step = await keys.start_period("", 1, rotation_id=b"2" * 16)
            assert step.period == 2
        await keys.rotate("", 0, begin=True, rotation_id=b"3" * 16)
        assert keys.status("").began > began
        assert group.state.key_period(TenantId(1)) == 3
        with pytest.raises(InvalidArgument, match="a rotation's id has 16 bytes, or none; found 3"):
            await keys.rotate("", 0, begin=True, rotation_id=b"abc")


async def test_new_data_keys_without_another_root_key(start) -> None:
    async with start(keys=BEFORE) as node:
        group = node.groups[REGION.name]
        await write(node, 1, b"one", subject="jane")
        await write(node, 1, b"two")
        first = [group.keyring.row(1, scope, name) for scope, name in SEALED]
        assert await rotate(node) == [0]
        await write(node, 1, b"three", subject="jane")
        await write(node, 1, b"four")
        second = [group.keyring.row(1, scope, name, 1) for scope, name in SEALED]
        assert all(row is not None and row.period == 1 for row in second)
        assert second[0].subject_token == first[0].subject_token
        assert await payloads(node, 1) == [b"one", b"two", b"three", b"four"]
        assert await rotate(node) == [0], "each rotation that is asked for when one is done is another one"
        assert group.state.key_period(1) == 2
    async with start(keys=BEFORE) as node:
        assert await payloads(node, 1) == [b"one", b"two", b"three", b"four"]


SEALED = ((KeyScope.SUBJECT, "jane"), (KeyScope.STREAM, "notes"))


async def test_new_data_keys_of_one_tenant(start) -> None:
    async with start(keys=BEFORE) as node:
        for tenant in (1, 2):
            await write(node, tenant, b"one")
        step = await node.service.keys.start_period("", 2)
        assert (step.period, step.root_key_id) == (1, OLD_ID)
        group = node.groups[REGION.name]
        assert (group.state.key_period(1), group.state.key_period(2)) == (0, 1)
        with pytest.raises(UnknownTenant, match="tenant 9 has no stream"):
            await node.service.keys.start_period("", 9)


async def test_each_group_rotates_by_itself(start) -> None:
    async with start(keys=BEFORE) as node:
        await write(node, 1, b"one")
    async with start(keys=BOTH) as node:
        await node.service.keys.rotate("", 0, begin=True)
        assert node.service.keys.status(GLOBAL_GROUP).root_key_id == BEFORE.for_group(GLOBAL_GROUP).key_id
        with pytest.raises(InvalidArgument, match="this node has no group 'mars'"):
            node.service.keys.status("mars")
        step = await node.service.keys.rotate(GLOBAL_GROUP, 0, begin=True)
        assert step.root_key_id == AFTER.for_group(GLOBAL_GROUP).key_id
        assert step.left == 0
    async with start(keys=AFTER):
        pass


async def test_a_root_key_that_this_node_lacks_ends_it_before_it_writes_with_it(start) -> None:
    unknown = b"?" * 16
    with wrong_key(f"wants root key {unknown.hex()}, this node was given {OLD_ID.hex()}"):
        async with start(keys=BEFORE) as node:
            await node.groups[REGION.name].execute(PlainRotation(root_key_id=unknown), INTERNAL)
            await write(node, 7, b"new tenant")


async def test_while_a_root_key_is_exchanged_heads_are_signed_for_both(start) -> None:
    async with start(keys=BEFORE) as node:
        await write(node, 1, b"one")
        before = await node.service.proofs.head(1, REGION.name)
    async with start(keys=BOTH) as node:
        both = await node.service.proofs.head(1, REGION.name)
        await rotate(node)
    async with start(keys=AFTER) as node:
        after = await node.service.proofs.head(1, REGION.name)
    assert both.note.verified_by([before.verifier]) == (before.verifier,)
    assert both.note.verified_by([after.verifier]) == (after.verifier,)
    assert both.verifier == after.verifier != before.verifier
    assert not after.note.verified_by([before.verifier])
