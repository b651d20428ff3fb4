"""A node that the log asks for a root key which it wasn't given: it holds, says so, and goes on when it is given it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import evolve

from vdb.crypto.root import RootKeys
from vdb.errors import InvalidArgument, VerityError
from vdb.types import GroupId, Region

REGION = Region("ap-southeast-2")
HOME = GroupId(REGION.name)
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BEFORE, BOTH = RootKeys(OLD), RootKeys(NEW, others=[OLD])
OLD_ID, NEW_ID = (RootKeys(key).for_group(HOME).key_id for key in (OLD, NEW))


def may_be_given(cluster: Any, number: int) -> None:
    """What this machine's configuration says from now on, its node reads again."""
    machine = cluster.machines[number]

    async def reload() -> RootKeys:
        return machine.config.root_keys

    machine.config = evolve(machine.config, reload_keys=reload)


def give(cluster: Any, *numbers: int) -> None:
    for number in numbers:
        machine = cluster.machines[number]
        machine.config = evolve(machine.config, root_keys=BOTH)


async def rotate(cluster: Any) -> None:
    left = 1
    while left:
        number = await cluster.primary()
        keys = cluster.machines[number].node.service.keys
        try:
            left = (await keys.rotate("", 0, begin=True, rotation_id=b"r" * 16, force=True)).left
        except VerityError:
            await trio.sleep(0.05)


async def started(cluster: Any) -> int:
    """Three nodes that serve, and the number of one that leads nothing."""
    for number in range(3):
        may_be_given(cluster, number)
    await cluster.start(0, 1, 2)
    await cluster.create("s")
    await cluster.append("s", b"before")
    return (await cluster.primary() + 1) % 3


def test_a_node_without_the_new_root_key_holds_and_goes_on_when_it_is_given_it(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        late = await started(cluster)
        give(cluster, *(number for number in range(3) if number != late))
        await rotate(cluster)
        group, node = cluster.group(late), cluster.machines[late].node
        await cluster.wait_until(lambda: group.missing_root_key)
        status = node.service.keys.status("")
        assert (status.missing, status.settled) == (NEW_ID, False)
        applied = group.applied
        await cluster.append("s", b"during")
        await trio.sleep(3.0)
        assert group.applied == applied
        assert not group.is_serving
        give(cluster, late)
        await cluster.converge()
        assert not group.missing_root_key
        assert node.service.keys.status("").missing == b""

    in_cluster(body)


def test_it_leads_nobody(in_cluster: Callable[..., None]) -> None:
    """Whoever leads now abdicates until the one that lacks the key is asked: it takes nothing, and gives up."""

    async def body(cluster: Any) -> None:
        late = await started(cluster)
        give(cluster, *(number for number in range(3) if number != late))
        await rotate(cluster)
        group = cluster.group(late)
        await cluster.wait_until(lambda: group.missing_root_key)
        for _ in range(6):
            number = await cluster.primary()
            assert number != late
            cluster.group(number).abdicate()
            await trio.sleep(0.5)
        await cluster.append("s", b"still")
        give(cluster, late)
        await cluster.converge()

    in_cluster(body)


def test_so_does_one_that_starts_before_the_op_and_one_that_copies_the_state(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        late = await started(cluster)
        await cluster.crash(late)
        give(cluster, *(number for number in range(3) if number != late))
        await rotate(cluster)
        await cluster.start(late)
        group = cluster.group(late)
        await cluster.wait_until(lambda: group.missing_root_key)
        for number in range(40):  # the others' logs go on past what this one lacks
            await cluster.append("s", b"%d" % number)
        await trio.sleep(5.0)
        assert group.missing_root_key == NEW_ID
        give(cluster, late)
        await cluster.converge()

    in_cluster(body)


def test_no_rotation_begins_before_all_members_have_the_new_root_key(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        late = await started(cluster)
        others = [number for number in range(3) if number != late]
        give(cluster, *others)
        leading = await cluster.primary()
        keys = cluster.machines[leading].node.service.keys
        with pytest.raises(
            InvalidArgument, match=f"found node {late} at .*, which has {OLD_ID.hex()}. Give it to them"
        ):
            await keys.rotate("", 0, begin=True)
        assert keys.status("").began == 0
        give(cluster, late)
        for other in others:
            cluster.universe.network.cut(f"n{late}", f"n{other}")
        with pytest.raises(InvalidArgument, match=f"found node {late} at .*, which doesn't answer"):
            await keys.rotate("", 0, begin=True)
        cluster.universe.network.heal()
        await cluster.append("s", b"meanwhile")
        # It reads its keys when it is asked.
        number, begun = await cluster.primary(), None
        while begun is None:
            try:
                begun = await cluster.machines[number].node.service.keys.rotate("", 0, begin=True)
            except VerityError:
                await trio.sleep(0.5)
                number = await cluster.primary()
        assert begun.root_key_id == NEW_ID
        for number in range(3):
            assert not cluster.group(number).missing_root_key

    in_cluster(body)
