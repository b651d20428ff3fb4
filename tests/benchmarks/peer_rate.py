"""Messages between two nodes over loopback: prepares of 1 KiB and of 1 MiB, each answered with a prepare_ok.

Both ends live in this process and share its core; nothing is written to disk. The time of the processor is that of
both ends together: encoding, sending, receiving, checking the body's checksum, and the same for the answer.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import trio
from attrs import define, field, frozen

from tests.benchmarks.report import Report
from vdb.node.peers.peers import Peers
from vdb.types import Region
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import Message, PrepareMessage, PrepareOk
from vdb.world import make_world

GROUP = b"g" * 32
IN_FLIGHT = 64


@frozen
class Sizes:
    small: int
    large: int


SIZES = {"full": Sizes(50_000, 2_000), "quick": Sizes(10_000, 200), "tiny": Sizes(200, 4)}


@define
class _Disks:
    ids: dict[int, bytes] = field(factory=dict)

    def remembered(self, node: int) -> bytes | None:
        return self.ids.get(node)

    async def remember(self, node: int, disk_id: bytes) -> None:
        self.ids[node] = disk_id


class _Pair:
    """Node 0 sends prepares, node 1 answers."""

    def __init__(self, folder: Path) -> None:
        self.acks = 0
        self._acked = trio.Event()
        self.nodes = [self._peers(folder, 0, self._on_ack), self._peers(folder, 1, self._on_prepare)]

    def _peers(self, folder: Path, node: int, on_message: object) -> Peers:
        return Peers(
            world=make_world(folder / str(node), Region("us-east-1")),
            node=node,
            cluster=bytes(16),
            disk_id=bytes([node]) * 16,
            addresses={},
            listen="127.0.0.1:0",
            known=_Disks(),
            on_message=on_message,  # type: ignore[arg-type]
        )

    def _on_prepare(self, group: bytes, sender: int, message: Message) -> None:
        assert isinstance(message, PrepareMessage)
        header = message.prepare.header
        self.nodes[1].send(sender, group, PrepareOk(view=1, op=header.op, checksum=header.checksum, replica=1))

    def _on_ack(self, _group: bytes, _sender: int, _message: Message) -> None:
        self.acks += 1
        self._acked.set()

    async def start(self, nursery: trio.Nursery) -> None:
        addresses = {node: await nursery.start(peers.run) for node, peers in enumerate(self.nodes)}
        for peers in self.nodes:
            peers.set_addresses(addresses)
        for peers in self.nodes:
            await peers.wait_met([0, 1])

    async def exchange(self, count: int, size: int, in_flight: int) -> tuple[float, float]:
        """Seconds of the clock and of the processor for so many prepares with their answers."""
        body = bytes(size)
        header = PrepareHeader.make(
            body=body, parent=bytes(32), checkpoint_id=bytes(32), group=GROUP, view=1, op=1, commit=0, timestamp=1,
            request_count=1,
        )  # fmt: skip
        self.acks = sent = 0
        started, processor = time.perf_counter(), time.process_time()
        while self.acks < count:
            while sent < count and sent - self.acks < in_flight:
                self.nodes[0].send(1, GROUP, PrepareMessage(prepare=Prepare(header, body), replica=0))
                sent += 1
            self._acked = trio.Event()
            await self._acked.wait()
        return time.perf_counter() - started, time.process_time() - processor


def run(report: Report, scale: str) -> None:
    trio.run(_main, report, SIZES[scale])


async def _main(report: Report, sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(Path(folder))
        async with trio.open_nursery() as nursery:
            await pair.start(nursery)
            seconds, processor = await pair.exchange(sizes.small, 1024, IN_FLIGHT)
            report(f"prepares of 1 KiB with their answers, {IN_FLIGHT} in flight", sizes.small / seconds, "/s")
            report("processor, both ends, for one of them", processor / sizes.small * 1e6, "µs")
            seconds, _ = await pair.exchange(sizes.small // 10, 1024, 1)
            report("prepare of 1 KiB and its answer, one at a time", seconds / (sizes.small // 10) * 1e6, "µs")
            seconds, _ = await pair.exchange(sizes.large, 1024 * 1024, 4)
            report("prepares of 1 MiB, 4 in flight", sizes.large / seconds, "MiB/s")
            nursery.cancel_scope.cancel()
