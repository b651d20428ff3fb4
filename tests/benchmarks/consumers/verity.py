"""VerityDB: one node with sealing and syncs as always; a fetch and an acknowledgement are an op of the log each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import vdb
from tests.benchmarks.processes import NodeProcess
from vdb.client.sync_consumer import SyncMember

APPENDED_AT_ONCE = 1_000


class VerityDB:
    name = "VerityDB"

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self._member: SyncMember | None = None

    def absent(self) -> str:
        return ""

    def start(self, folder: Path) -> None:
        node = self._stack.enter_context(NodeProcess(folder / "node"))
        self._client = self._stack.enter_context(vdb.connect_sync(f"127.0.0.1:{node.port}"))

    def stop(self) -> None:
        self._stack.close()

    def configuration(self) -> Sequence[str]:
        return (
            f"version {vdb.__version__}, one node, no TLS; a delivery is in the log, synced, before it leaves",
            "opaque payloads in a PHI stream; a batch is acknowledged in one call, which returns once that is synced",
        )

    def fill(self, payloads: Sequence[bytes]) -> None:
        number = next(self._numbers)
        stream = f"bench-{number}"
        self._client.create_stream(stream)
        for start in range(0, len(payloads), APPENDED_AT_ONCE):
            self._client.publish(stream, payloads[start : start + APPENDED_AT_ONCE])
        consumer = self._client.create_consumer(f"worker-{number}", stream=stream)
        self._member = self._stack.enter_context(consumer.member("one", prefetch=0))

    def consume(self, batch: int) -> int:
        assert self._member is not None, "the consumer has been made"
        deliveries = self._member.fetch(max=batch, wait=5.0)
        if deliveries:
            self._member.ack(deliveries, confirm=True)
        return len(deliveries)
