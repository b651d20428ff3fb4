"""Three whole nodes: commits reach all, a dead primary is replaced, who was away catches up, and what was acknowledged
stays.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from vdb.errors import NotPrimary, NotReady, PrimaryLost
from vdb.kernel.command import KeyScope, Origin
from vdb.kernel.reply import Appended, SessionOpened
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun, PlainSession
from vdb.types import GLOBAL_GROUP, DataClass, TenantId
from vdb.wire.event import encode_batch

CLIENT = bytes(range(16))
TENANT = TenantId(1)


def create_request(stream: str) -> PlainCreate:
    return PlainCreate(tenant=TENANT, name=stream, data_class=DataClass.NON_PHI, region="ap-southeast-2")


def append_request(stream: str, *payloads: bytes) -> PlainBatch:
    run = PlainRun(count=len(payloads), batch=encode_batch(payloads))
    return PlainBatch(tenant=TENANT, appends=(PlainAppend(stream=stream, runs=(run,)),))


def test_commits_reach_all_nodes(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        for number in range(20):
            await cluster.append("s", b"%d" % number)
        await cluster.converge()
        assert {cluster.group(number).superblock.state.checkpoint_op for number in range(3)} == {16}
        assert len({cluster.group(number).superblock.state.checkpoint_id for number in range(3)}) == 1
        await cluster.converge(name=GLOBAL_GROUP)

    in_cluster(body)


def test_a_dead_primary_is_replaced_and_comes_back(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        await cluster.append("s", b"before")
        first = await cluster.primary()
        await cluster.crash(first)
        await cluster.append("s", b"after")
        second = await cluster.primary()
        assert second != first
        await cluster.start(first)
        await cluster.append("s", b"again")
        await cluster.converge()
        assert cluster.group(first).state.next_position == 4

    in_cluster(body)


def test_a_node_that_was_away_catches_up_by_repair(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        for number in range(5):
            await cluster.append("s", b"%d" % number)
        await cluster.start(away)
        await cluster.converge()

    in_cluster(body)


def test_a_node_that_is_cut_off_catches_up(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        away = (await cluster.primary() + 1) % 3
        for other in range(3):
            if other != away:
                cluster.universe.network.cut(f"n{away}", f"n{other}")
        for number in range(5):
            await cluster.append("s", b"%d" % number)
        view = cluster.group(await cluster.primary()).replica.view
        await trio.sleep(5)
        cluster.universe.network.heal()
        await cluster.converge()
        assert cluster.group(away).replica.view <= view + 1

    in_cluster(body)


def test_a_rolling_restart_loses_nothing(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        for round_ in range(2):
            for number in range(3):
                await cluster.stop(number)
                await cluster.append("s", b"%d.%d" % (round_, number))
                await cluster.start(number)
                await cluster.converge()
        assert cluster.group(0).state.next_position == 1 + 6

    in_cluster(body)


def test_power_fails_everywhere_and_nothing_acknowledged_is_lost(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        for number in range(11):
            reply = await cluster.append("s", b"%d" % number)
        assert isinstance(reply, Appended)
        for number in range(3):
            await cluster.crash(number)
        await cluster.start(0, 1, 2)
        await cluster.append("s", b"after")
        await cluster.converge()
        assert cluster.group(0).state.next_position == 1 + 11 + 1

    in_cluster(body)


@pytest.mark.parametrize("seed", range(8))
def test_a_session_is_answered_once_across_failovers(in_cluster: Callable[..., None], seed: int) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        opened = await cluster.execute(PlainSession(), Origin(CLIENT, 0, 0))
        assert isinstance(opened, SessionOpened)
        count = 30

        async def write() -> None:
            for number in range(1, count + 1):
                origin = Origin(CLIENT, opened.session, number)
                reply = await cluster.execute(append_request("s", b"%d" % number), origin)
                assert isinstance(reply, Appended), reply
            done.set()

        async def kill() -> None:
            while not done.is_set():
                await trio.sleep(0.02 + 0.05 * seed)
                number = await cluster.primary()
                await cluster.crash(number)
                await trio.sleep(0.3)
                await cluster.start(number)
                await trio.sleep(0.3)

        done = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            nursery.start_soon(write)
        await cluster.converge()
        stream = next(iter(cluster.group(0).state.streams(TENANT)))
        assert stream.next_offset == count

    in_cluster(body, seed=seed)


def test_a_read_that_is_confirmed_sees_every_acknowledged_write(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        for _ in range(3):
            reply = await cluster.append("s", b"x")
            assert isinstance(reply, Appended)
            first = await cluster.primary()
            group = cluster.group(first)
            await group.confirm()
            assert group.state.next_position > reply.first_position
            await cluster.crash(first)
            second = await cluster.primary()
            group = cluster.group(second)
            await group.confirm()
            assert group.state.next_position > reply.first_position
            backup = next(number for number in cluster.running() if number != second)
            assert await cluster.group(backup).wait_applied(reply.first_position, 5.0)
            assert not await cluster.group(backup).wait_applied(reply.first_position + 1000, 0.1)
            await cluster.start(first)

    in_cluster(body)


def test_a_node_that_was_away_for_long_catches_up_by_state_sync(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        for number in range(60):
            await cluster.append("s", b"%d" % number)
        await cluster.start(away)
        await cluster.converge()
        group = cluster.group(away)
        assert group.superblock.state.checkpoint_op >= 56
        await cluster.append("s", b"after")
        await cluster.converge()
        await cluster.crash(away)
        await cluster.start(away)
        await cluster.append("s", b"again")
        await cluster.converge()

    in_cluster(body)


def test_a_node_that_waits_for_a_position_sees_it_after_a_state_sync(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        for number in range(60):
            await cluster.append("s", b"%d" % number)
        await cluster.start(away)
        assert await cluster.group(away).wait_applied(59, 20.0)

    in_cluster(body)


def test_a_primary_whose_clock_was_set_takes_no_writes_and_hands_over(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        first = await cluster.primary()
        cluster.machines[first].host.clock.jump(3_600_000_000)
        await trio.sleep(1)
        with pytest.raises(NotReady, match="doesn't agree with those of a quorum"):
            await cluster.group(first).execute(append_request("s", b"x"), Origin())
        await cluster.wait_until(lambda: not cluster.group(first).replica.is_serving_primary)
        await cluster.append("s", b"x")
        await cluster.converge()
        assert cluster.group(first).state.last_timestamp < cluster.machines[first].host.clock.wall_us() - 3_000_000_000

    in_cluster(body)


def test_keys_that_were_made_for_a_lost_op_are_forgotten(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        first = await cluster.primary()
        group = cluster.group(first)
        for other in range(3):
            if other != first:
                cluster.universe.network.cut(f"n{first}", f"n{other}")

        async def lose() -> None:
            with pytest.raises(PrimaryLost, match="before the request committed"):
                await group.execute(create_request("s"), Origin())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lose)
            await cluster.wait_until(lambda: group.replica.abdicated)
            assert group.keyring.row(TENANT, KeyScope.TENANT) is not None
            with pytest.raises(NotPrimary, match="which node is, isn't known here yet"):
                await group.execute(create_request("t"), Origin())
            assert await cluster.primary() != first
            cluster.universe.network.heal()
        assert group.keyring.row(TENANT, KeyScope.TENANT) is None
        await cluster.create("s")
        await cluster.append("s", b"x")
        for _ in range(6):
            if await cluster.primary() == first:
                break
            cluster.group(await cluster.primary()).abdicate()
            await trio.sleep(1)
        await cluster.append("s", b"y")
        await cluster.converge()
        assert {cluster.group(number).keyring.row(TENANT, KeyScope.TENANT) for number in range(3)} == {
            group.keyring.row(TENANT, KeyScope.TENANT)
        }

    in_cluster(body)
