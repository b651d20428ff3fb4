"""kill -9 on a real node under SQL transactions: what was acknowledged is there, what ended isn't, all of it is whole.

VDB_CHAOS_KILLS says how often (5 unless told). In the end the database's file is deleted, and built again from the log.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import trio

KILLS = int(os.environ.get("VDB_CHAOS_KILLS", "5"))


async def test_transactions_are_whole_or_nothing_as_their_clients_were_told(node, ledger) -> None:
    async def kill_again_and_again() -> None:
        draw = random.Random(1)
        for _ in range(KILLS):
            await trio.sleep(draw.uniform(0.02, 0.5))
            await trio.to_thread.run_sync(node.end, signal.SIGKILL)
            await trio.to_thread.run_sync(node.start)
        load.done.set()

    await trio.to_thread.run_sync(node.start)
    load = ledger(node.address)
    await load.prepare()
    async with trio.open_nursery() as nursery:
        for writer in range(load.writers):
            nursery.start_soon(load.write, writer)
        nursery.start_soon(kill_again_and_again)

    found = await load.tables()
    load.check(found)
    assert load.committed > 2 * KILLS
    await trio.to_thread.run_sync(node.end, signal.SIGKILL)
    for file in (Path(node.data_dir) / "projections" / "t_1").glob("clinic.db*"):
        file.unlink()
    await trio.to_thread.run_sync(node.start)
    assert await load.tables() == found, "a file that is built from the log isn't the one that was"
