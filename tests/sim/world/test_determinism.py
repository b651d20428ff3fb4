"""One seed, one world: disks, networks and databases with all their faults, the same in two processes."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import hashlib, trio
from sim.runner import run
from sim.world import DiskFaults, NetworkFaults, SimUniverse, absorb_crash
from vdb.types import Region

DISK = DiskFaults(lose_unsynced=0.8, tear=0.5, reorder=0.5, tear_garbage=0.3, lose_names=0.3, lost_write=0.02,
                  misdirected_write=0.02, slow=0.05)
NETWORK = NetworkFaults(split=0.3, half_open=0.3, slow=0.05)

async def main():
    universe = SimUniverse(SEED, network_faults=NETWORK)
    node = universe.node("n0", Region("us-east-1"), disk_faults=DISK, skew_us=1000, drift_ppm=20)
    client = universe.node("c0", Region("us-east-1")).boot()
    digest = hashlib.sha256()

    async def serve(world, stream):
        async with stream:
            async for data in stream:
                file = await world.disk.open("log", create=True)
                await file.write_at(await file.size(), data * 700)
                if world.entropy.below(2):
                    await file.sync()
                database = await world.disk.open_database("x.db", bytes(32))
                await database.run(lambda c: c.execute("CREATE TABLE IF NOT EXISTS t (a DEFAULT (random()))"))
                await database.run(lambda c: c.execute("INSERT INTO t DEFAULT VALUES"))
                rows = await database.read(lambda c: c.execute("SELECT sum(a % 1000), count(*) FROM t").fetchone())
                await database.close()
                await stream.send_all(repr((rows, world.clock.wall_us())).encode())

    async def live(world):
        with absorb_crash():
            listener = await world.network.listen("n0:1")
            async with trio.open_nursery() as nursery:
                while True:
                    nursery.start_soon(serve, world, await listener.accept())

    async def ask(name):
        for n in range(5):
            try:
                with trio.move_on_after(2):
                    stream = await client.network.connect("n0:1")
                    async with stream:
                        await stream.send_all(name)
                        digest.update(await stream.receive_some())
            except Exception as error:
                digest.update(repr(error).encode())
            await trio.sleep(0.01)

    for round in range(6):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(live, node.boot())
                async with trio.open_nursery() as clients:
                    for name in (b"a", b"b", b"c"):
                        clients.start_soon(ask, name)
                node.crash()
                scope.cancel()
        for path in node.disk.paths():
            digest.update(node.disk.content(path))
    digest.update(repr((sorted(universe.faults.items()), trio.current_time())).encode())
    universe.close()
    return digest.hexdigest()

print(run(SEED, main))
"""


def digest_of(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("SEED", str(seed))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_seed_gives_the_same_world_in_two_processes() -> None:
    assert digest_of(3, "1") == digest_of(3, "2")


def test_another_seed_gives_another_world() -> None:
    assert digest_of(3, "1") != digest_of(4, "1")
