"""Members come and go while the cluster serves: learners, new voters, removed nodes, replaced disks, refused ones."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import trio

from vdb.errors import ForgottenDisk, InvalidArgument, NotPrimary
from vdb.node.replication.group import Group


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.02)


def test_a_node_joins_learns_and_votes(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        await cluster.append("s", b"before")
        cluster.add(3, cluster.machines[0].config.members, join=True)
        await cluster.start(3)
        with pytest.raises(NotPrimary):
            cluster.group(3).submit(None, lambda _reply: None, None)
        await cluster.reconfigure((0, 1, 2), (3,))
        await cluster.converge()
        assert cluster.group(3).replica.is_learner
        await cluster.reconfigure((0, 1, 2, 3), ())
        await cluster.converge()
        assert not cluster.group(3).replica.is_learner
        await cluster.crash(await cluster.primary())
        await cluster.append("s", b"after")
        await cluster.converge()

    in_cluster(body)


def test_a_removed_node_serves_no_more(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        primary = await cluster.primary()
        assert primary == await cluster.primary("global")
        removed = (primary + 1) % 3
        stay = tuple(number for number in range(3) if number != removed)
        await cluster.reconfigure(stay, ())
        await until(lambda: cluster.group(removed).replica.status.value == "removed")
        await cluster.append("s", b"without it")
        await cluster.converge(stay)
        named = []
        for _ in range(2):
            with pytest.raises(NotPrimary, match="removed from group ap-southeast-2: send it to n") as told:
                await cluster.group(removed).confirm()
            named.append(told.value.primary)
        assert sorted(named) == [f"n{number}:7140" for number in stay], "each of those that stay, in turn"

    in_cluster(body)


def test_one_of_two_goes_on_after_a_power_failure_right_after_the_other_was_removed(
    in_cluster: Callable[..., None],
) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1)
        await cluster.create("s")
        primary = await cluster.primary()
        with trio.fail_after(30):
            await cluster.machines[primary].node.service.remove_member(cluster.group(primary).name, 1 - primary)
            await cluster.crash(primary)
            await cluster.stop(1 - primary)
            await cluster.start(primary)
            await cluster.append("s", b"alone")

    in_cluster(body, nodes=2)


def test_a_node_that_never_led_is_not_deposed(
    in_cluster: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        behind = (await cluster.primary() + 1) % 3
        await cluster.stop(behind)
        for _ in range(40):
            await cluster.append("s", b"x")
        await cluster.start(behind)
        await cluster.converge()

    with caplog.at_level(logging.INFO, "vdb.node"):
        in_cluster(body)
    told = [record.msg for record in caplog.records]
    assert "group.synced" in told
    assert "group.deposed" not in told


def test_a_lost_disk_is_refused_until_the_cluster_knows_the_new_one(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        primary = await cluster.primary()
        assert primary == await cluster.primary("global")
        lost = (primary + 1) % 3
        stay = tuple(number for number in range(3) if number != lost)
        await cluster.crash(lost)
        cluster.replace_disk(lost)
        with pytest.raises(ForgottenDisk, match=f"vdb cluster recover --node {lost}"):
            await cluster.fail_to_start(lost)
        await cluster.append("s", b"meanwhile")
        cluster.replace_disk(lost, join=True)
        await cluster.start(lost)
        await cluster.reconfigure(stay, (lost,))
        await cluster.converge()
        await cluster.reconfigure((0, 1, 2), ())
        await cluster.append("s", b"again")
        await cluster.converge()
        node, older = cluster.machines[primary].node, b"o" * 16
        known = node.neighbourhood._file
        await known.replace(lost, older, known.remembered(lost))
        with pytest.raises(InvalidArgument, match="with a disk that was replaced before: expected one that is new"):
            await node.service.recover_member("ap-southeast-2", lost, older)

    in_cluster(body)


def test_a_node_of_one_grows_to_three(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0)
        await cluster.create("s")
        for number in (1, 2):
            cluster.add(number, cluster.machines[0].config.members, join=True)
            await cluster.start(number)
        await cluster.reconfigure((0,), (1, 2))
        await cluster.converge()
        await cluster.reconfigure((0, 1, 2), ())
        await cluster.converge()
        await cluster.crash(0)
        await cluster.append("s", b"without the first")
        await cluster.start(0)
        await cluster.converge()
        group: Group = cluster.group(0)
        assert group.replica.configuration.voters == (0, 1, 2)

    in_cluster(body, nodes=1)
