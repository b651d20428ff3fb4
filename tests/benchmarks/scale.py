"""A node with many streams or tenants, in a process of its own, measured around one checkpoint.

    python -m tests.benchmarks.scale FOLDER TENANTS STREAMS TOUCHED      prints one JSON object (`Measured`)

The data directory is made by storage's own code: TENANTS tenants with STREAMS idle streams in all, as rows of a
checkpoint that the superblock names. A node is then opened on it in this process and driven through its gate: TOUCHED
streams are appended to until a checkpoint is due, and while that is written, publishes go on and a ticker measures by
how much the loop is late. Then the node is opened once more.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import trio
from attrs import asdict, define, field, frozen

from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKeys
from vdb.evidence.merkle import HASH_SIZE
from vdb.kernel.command import INTERNAL, KeyScope, Request
from vdb.kernel.reply import Reply
from vdb.kernel.rows import CHAIN_SIZE, STREAM_ROW, TENANT_ROW, pack_key
from vdb.kernel.state import State
from vdb.kernel.streamid import stream_id
from vdb.kernel.tables import U64, Table, stream_key, stream_name_key, tenant_key
from vdb.node.config import NodeConfig
from vdb.node.node import Node
from vdb.node.observer import Observer
from vdb.node.peers.identity import open_identity
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.node.replication.group import Group
from vdb.node.replication.group_storage import CheckpointHead, group_directory, group_hash, open_group
from vdb.types import DataClass, GroupId, Region, TenantId
from vdb.vsr.header import PrepareHeader
from vdb.wire.event import encode_batch
from vdb.world import make_world
from vdb.world.garbage import frozen_after

REGION = Region("ap-southeast-2")
GROUP = GroupId(REGION.name)
KEYS = RootKeys(bytes(range(32)))
RUN = PlainRun(count=1, batch=encode_batch([bytes(range(256))]))
IN_FLIGHT = 64
TICK_SECONDS = 0.001
ROUNDS = 5
LOADED_OP = 1


@define(kw_only=True)
class Measured:
    open_seconds: float = 0.0
    """Of the first open, from the checkpoint alone."""
    memory_bytes: int = 0
    """What the process has grown by at that open."""
    checkpoint_seconds: float = 0.0
    checkpoint_bytes: int = 0
    """Of checkpoint files; the events themselves aren't in it."""
    stall_ms: float = 0.0
    """The longest time that the loop was late while a checkpoint was written: the median over checkpoints."""
    stall_ms_max: float = 0.0
    """The longest over all checkpoints."""
    idle_stall_ms: float = 0.0
    """The same without a checkpoint, under the same publishes: what the machine and the load do."""
    recovery_seconds: float = 0.0
    """Of the second open, with a WAL of ops after the checkpoint to replay."""
    files: int = 0


def measure(folder: str, *, tenants: int, streams: int, touched: int) -> Measured:
    command = [sys.executable, "-m", "tests.benchmarks.scale", folder, str(tenants), str(streams), str(touched)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Measured(**json.loads(done.stdout))


# Making the data directory -------------------------------------------------------------------------------------


@frozen
class Names:
    """Stream number n belongs to tenant 1 + n mod tenants."""

    tenants: int
    streams: int

    def of(self, number: int) -> tuple[TenantId, str]:
        return TenantId(1 + number % self.tenants), f"patient/{number}"

    def spread(self, count: int) -> list[tuple[TenantId, str]]:
        """So many streams, far from each other."""
        step = max(1, self.streams // count)
        return [self.of(number * step % self.streams) for number in range(count)]


async def make_directory(folder: Path, names: Names) -> None:
    """Format the groups by opening a node once, then put the streams into a checkpoint."""
    async with opened(folder):
        pass
    world = make_world(folder, REGION)
    identity = await open_identity(world.disk, node="node-1", region=REGION, entropy=world.entropy)
    root = KEYS.for_group(GROUP)
    storage = await open_group(world.disk, GROUP, cluster=identity.cluster, root_key_ids=(root.key_id,))
    keyring = Keyring(group=GROUP, root=root)
    rows = dict(_rows(names, keyring, world.entropy))
    head = CheckpointHead(checksum=group_hash(identity.cluster, GROUP), timestamp=1)
    checkpoint = await storage.checkpoints.write(LOADED_OP, {**rows, **head.rows()})
    await storage.superblock.update(checkpoint_op=LOADED_OP, checkpoint_id=checkpoint, commit=LOADED_OP)
    await storage.close()
    await world.disk.close()


def _rows(names: Names, keyring: Keyring, entropy: Any) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    keys: dict[bytes, bytes] = {}
    for tenant in range(1, names.tenants + 1):
        row = keyring.make(TenantId(tenant), KeyScope.TENANT, "", DataClass.NON_PHI, entropy)
        keyring.add(row)
        keys[row.dek_id] = pack_key(row, 0)
    counts = dict.fromkeys(range(1, names.tenants + 1), 0)
    streams: dict[bytes, bytes] = {}
    lookups: dict[bytes, bytes] = {}
    for number in range(names.streams):
        tenant, name = names.of(number)
        counts[tenant] += 1
        stream = stream_id(GROUP, counts[tenant])
        streams[stream_key(tenant, stream)] = STREAM_ROW.pack(DataClass.PHI, 0, number + 1, number)
        lookups[stream_name_key(tenant, keyring.lookup(tenant, KeyScope.STREAM, name))] = U64.pack(stream)
    owners = {
        tenant_key(tenant): TENANT_ROW.pack(bytes(CHAIN_SIZE), count, count, count, names.streams)
        + bytes(HASH_SIZE * count.bit_count())
        for tenant, count in counts.items()
    }
    yield from ((Table.TENANTS, owners), (Table.STREAMS, streams), (Table.STREAM_NAMES, lookups), (Table.KEYS, keys))
    meta = State.empty(GROUP, 1).meta()
    yield Table.META, {key: U64.pack(names.streams) if key == b"next_position" else meta[key] for key in meta}


# Driving a node on it ------------------------------------------------------------------------------------------


@define(eq=False)
class Watcher(Observer):
    """When checkpoints of the region's group begin and end, by `trio.current_time`."""

    interval: int = 0
    began: dict[int, float] = field(factory=dict)
    ended: dict[int, float] = field(factory=dict)
    checkpoint: trio.Event = field(factory=trio.Event)

    def on_commit(
        self, group: GroupId, header: PrepareHeader, requests: Sequence[Request], replies: Sequence[Reply]
    ) -> None:
        if group == GROUP and self.interval and header.op % self.interval == 0:
            self.began[header.op] = trio.current_time()

    def on_checkpoint(self, group: GroupId, op: int, checkpoint_id: bytes) -> None:
        if group == GROUP:
            self.ended[op] = trio.current_time()
            self.checkpoint.set()
            self.checkpoint = trio.Event()


@asynccontextmanager
async def opened(folder: Path, observer: Observer | None = None) -> Any:
    config = NodeConfig(region=REGION, root_keys=KEYS, address=None)
    node = Node(make_world(folder, REGION), config, observer or Observer())
    async with trio.open_nursery() as nursery:
        with frozen_after():
            await nursery.start(node.run)
        yield node
        nursery.cancel_scope.cancel()


@define
class Load:
    """Publishes to streams in turn, `IN_FLIGHT` at a time."""

    node: Node
    published: int = 0

    async def publish(self, streams: Sequence[tuple[TenantId, str]]) -> None:
        left = iter(streams)

        async def caller() -> None:
            for tenant, name in left:
                await self.node.service.append(INTERNAL, tenant, (PlainAppend(stream=name, runs=(RUN,)),))
                self.published += 1

        async with trio.open_nursery() as nursery:
            for _ in range(IN_FLIGHT):
                nursery.start_soon(caller)

    async def publish_on(self, streams: Sequence[tuple[TenantId, str]]) -> None:
        """Until cancelled, a few at a time, to few streams."""
        while True:
            await self.publish(streams[:IN_FLIGHT])


async def next_checkpoint(group: Group, load: Load, watcher: Watcher, few: Sequence[tuple[TenantId, str]]) -> int:
    """Let ops pass, one publish each, until one begins a checkpoint; its op."""
    seen = len(watcher.began)
    while len(watcher.began) == seen:
        await load.publish(few[:1])
    return max(watcher.began)


@frozen
class Round:
    """One checkpoint. The stall: the longest time that the loop was late while it was written."""

    seconds: float
    size: int
    stall_ms: float


async def one_checkpoint(
    folder: Path, group: Group, load: Load, watcher: Watcher, streams: Sequence[tuple[TenantId, str]]
) -> Round:
    # All streams are to be touched between the same two checkpoints.
    while group.replica.commit_number % watcher.interval > watcher.interval // 4:
        await load.publish(streams[:1])
    await load.publish(streams)
    op = await next_checkpoint(group, load, watcher, streams)

    async def ended() -> None:
        while op not in watcher.ended:
            await watcher.checkpoint.wait()

    stall = await stall_during(load, streams, ended)
    return Round(watcher.ended[op] - watcher.began[op], checkpoint_bytes(folder, op), stall)


async def longest_stall(until: trio.Event) -> float:
    """Milliseconds by which a task that sleeps a little was woken late, at most."""
    longest = 0.0
    while not until.is_set():
        start = time.perf_counter()
        await trio.sleep(TICK_SECONDS)
        longest = max(longest, time.perf_counter() - start - TICK_SECONDS)
    return longest * 1000


async def stall_during(load: Load, streams: Sequence[tuple[TenantId, str]], wait: Any) -> float:
    """The longest stall while `wait()` runs and publishes go on."""
    stalls: list[float] = []
    done = trio.Event()

    async def tick() -> None:
        stalls.append(await longest_stall(done))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        async with trio.open_nursery() as inner:
            inner.start_soon(load.publish_on, streams)
            await wait()
            inner.cancel_scope.cancel()
        done.set()
    return stalls[0]


async def run(folder: Path, names: Names, touched: int) -> Measured:
    measured = Measured()
    before = memory()
    watcher = Watcher()
    started = trio.current_time()
    async with opened(folder, watcher) as node:
        measured.open_seconds = trio.current_time() - started
        measured.memory_bytes = memory() - before
        group = node.groups[GROUP]
        watcher.interval = group.limits.checkpoint_interval
        load = Load(node)
        streams = names.spread(touched)
        rounds = [await one_checkpoint(folder, group, load, watcher, streams) for _ in range(1 + ROUNDS)]
        # The first one holds the keys that the streams were given, which the others needn't.
        measured.checkpoint_seconds = median(found.seconds for found in rounds[1:])
        measured.checkpoint_bytes = int(mean(found.size for found in rounds[1:]))
        measured.stall_ms = median(found.stall_ms for found in rounds)
        measured.stall_ms_max = max(found.stall_ms for found in rounds)

        async def a_while() -> None:
            await trio.sleep(measured.checkpoint_seconds)

        measured.idle_stall_ms = median([await stall_during(load, streams, a_while) for _ in range(ROUNDS)])
    measured.files = sum(len(names) for _path, _folders, names in os.walk(folder))
    started = trio.current_time()
    async with opened(folder):
        measured.recovery_seconds = trio.current_time() - started
    return measured


def checkpoint_bytes(folder: Path, op: int) -> int:
    """Of all files that this checkpoint wrote; their names end in its op."""
    place = folder / group_directory(GROUP) / "checkpoints"
    return sum(path.stat().st_size for path in place.iterdir() if int(path.name.rpartition("-")[2], 16) == op)


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def main(folder: str, tenants: int, streams: int, touched: int) -> None:
    names = Names(tenants, streams)
    gc.disable()
    await make_directory(Path(folder), names)
    measured = await run(Path(folder), names, touched)
    sys.stdout.write(json.dumps(asdict(measured)) + "\n")


if __name__ == "__main__":
    trio.run(main, sys.argv[1], *map(int, sys.argv[2:]))
