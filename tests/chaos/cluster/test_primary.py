"""The primary of three real nodes is killed, frozen and stopped under load; and all nodes at once.

VDB_CHAOS_KILLS says how often the primary is killed (2 unless told).
"""

from __future__ import annotations

import os
import signal
import statistics

import pytest
import trio

KILLS = int(os.environ.get("VDB_CHAOS_KILLS", "2"))


async def test_killed_primaries_lose_nothing(cluster, under_load, tell) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)
    gaps: list[float] = []

    async def kill(load) -> None:
        for _ in range(KILLS):
            primary = await trio.to_thread.run_sync(cluster.primary)
            before = trio.current_time()
            await trio.to_thread.run_sync(cluster.end, primary)
            await load.wait_for(1)
            gaps.append(load.acknowledged[-1] - before)
            await trio.to_thread.run_sync(cluster.start, primary)
            await load.wait_for(10)

    await under_load(cluster, kill)
    median, most = statistics.median(gaps), max(gaps)
    tell(f"writes again after {median:.2f} s in the median, {most:.2f} s at most ({KILLS} kills of the primary)")


@pytest.mark.chaos
async def test_a_frozen_primary_is_replaced_and_serves_nothing_stale(cluster, under_load) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

    async def freeze(load) -> None:
        for _ in range(2):
            primary = await trio.to_thread.run_sync(cluster.primary)
            cluster.signal(primary, signal.SIGSTOP)
            await load.wait_for(10)
            cluster.signal(primary, signal.SIGCONT)
            await load.wait_for(10)

    await under_load(cluster, freeze)


@pytest.mark.chaos
async def test_power_loss_of_all_nodes_at_once(cluster, under_load) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

    async def cut_the_power(load) -> None:
        for number in (0, 1, 2):
            cluster.signal(number, signal.SIGKILL)
        for number in (0, 1, 2):
            cluster.end(number)
        await trio.to_thread.run_sync(cluster.start, 0, 1, 2)
        await load.wait_for(10)

    await under_load(cluster, cut_the_power)


async def test_a_rolling_restart_fails_no_request(cluster, under_load) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

    async def roll(load) -> None:
        for number in (0, 1, 2):
            assert await trio.to_thread.run_sync(cluster.end, number, signal.SIGTERM) == 0
            await trio.to_thread.run_sync(cluster.start, number)
            await load.wait_for(10)

    load = await under_load(cluster, roll)
    assert load.failed == []


@pytest.mark.chaos
async def test_a_minority_that_is_gone_hurts_nobody(cluster, under_load) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

    async def lose_a_backup(load) -> None:
        primary = await trio.to_thread.run_sync(cluster.primary)
        backup = (primary + 1) % 3
        await trio.to_thread.run_sync(cluster.end, backup)
        await load.wait_for(100)
        await trio.to_thread.run_sync(cluster.start, backup)
        await load.wait_for(20)

    load = await under_load(cluster, lose_a_backup)
    assert load.failed == []


@pytest.mark.chaos
async def test_a_frozen_backup_is_missed_by_nobody(cluster, under_load) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)

    async def freeze(load) -> None:
        primary = await trio.to_thread.run_sync(cluster.primary)
        backup = (primary + 1) % 3
        cluster.signal(backup, signal.SIGSTOP)
        await load.wait_for(100)
        cluster.signal(backup, signal.SIGCONT)
        await load.wait_for(20)

    load = await under_load(cluster, freeze)
    assert load.failed == []
