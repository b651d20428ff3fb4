"""SQL transactions on three real nodes, whose primary is killed or frozen: whole or nothing, as their clients were
told, and the same rows on every node.

VDB_CHAOS_KILLS says how often the primary is killed (2 unless told).
"""

from __future__ import annotations

import os
import signal

import pytest
import trio

KILLS = int(os.environ.get("VDB_CHAOS_KILLS", "2"))


@pytest.mark.chaos
async def test_transactions_survive_their_primaries(cluster, ledger) -> None:
    cluster.init(3)
    await trio.to_thread.run_sync(cluster.start, 0, 1, 2)
    load = ledger(cluster.address)
    await load.prepare()

    async def disturb() -> None:
        for turn in range(KILLS):
            await load.wait_for(5)
            primary = await trio.to_thread.run_sync(cluster.primary)
            if turn % 2:
                cluster.signal(primary, signal.SIGSTOP)
                await load.wait_for(5)
                cluster.signal(primary, signal.SIGCONT)
            else:
                await trio.to_thread.run_sync(cluster.end, primary)
                await load.wait_for(5)
                await trio.to_thread.run_sync(cluster.start, primary)
        await load.wait_for(5)
        load.done.set()

    async with trio.open_nursery() as nursery:
        for writer in range(load.writers):
            nursery.start_soon(load.write, writer)
        nursery.start_soon(disturb)

    found = await load.tables()
    load.check(found)
    for address in cluster.addresses.values():
        with trio.fail_after(60):
            while await load.tables(address, consistency="stale") != found:  # noqa: ASYNC110
                await trio.sleep(0.1)
