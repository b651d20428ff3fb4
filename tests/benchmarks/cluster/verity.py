"""VerityDB: `vdb start` as it comes, sealed and synced before the answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import vdb
from tests.benchmarks.cluster import load
from tests.benchmarks.cluster.capnp_link import CapnpLink
from tests.benchmarks.cluster.probe import seconds_to_append
from tests.benchmarks.cluster.system import FAILOVER_MAX_S, PAGE
from tests.benchmarks.processes import REGION, NodeProcess

APPENDED, READABLE = "appended", "readable"
FILL_EVENTS = 100
"""Events of a request of `fill`."""


class VerityDB:
    name = "VerityDB"

    def __init__(self) -> None:
        self._started: list[NodeProcess] = []

    def absent(self) -> str:
        return ""

    def start(self, folder: Path) -> None:
        self._data = folder / "n0"
        self._started.append(NodeProcess(self._data))
        with vdb.connect_sync(f"127.0.0.1:{self._node.port}", tenant=1) as client:
            for stream in (APPENDED, READABLE):
                client.create_stream(stream, "phi", REGION)

    def stop(self) -> None:
        for node in self._started:
            node.stop()
        self._started.clear()

    @property
    def _node(self) -> NodeProcess:
        return self._started[-1]

    def configuration(self) -> Sequence[str]:
        return (
            f"version {vdb.__version__}, one node, settings as they come; no TLS",
            "an append is a publish to one PHI stream, without a session; a read goes through the primary",
            "load: Cap'n Proto frames on one connection to the primary, from a process of its own",
        )

    def append(self, depth: int, events: int, seconds: float) -> float:
        return load.run("capnp", "append", self._node.port, APPENDED, depth, events, seconds)

    def fill(self, events: int) -> None:
        load.run("capnp", "fill", self._node.port, READABLE, FILL_EVENTS, -(-events // FILL_EVENTS))

    def read(self, events: int, seconds: float) -> float:
        return load.run("capnp", "read", self._node.port, READABLE, events, PAGE, seconds)

    def fail_over(self) -> float:
        since = time.perf_counter()
        self._node.kill()
        self._started.append(NodeProcess(self._data))
        return seconds_to_append(since, [self._node.port], lambda: CapnpLink(APPENDED), within_s=FAILOVER_MAX_S)

    def restore(self) -> None:
        return
