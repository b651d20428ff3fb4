"""From kill -9 under load to the next answer: a node whose WAL is as full as it gets.

Publishes of many events keep the node busy until it is killed; between two checkpoints the WAL holds up to
`checkpoint_interval` ops of almost a whole message each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from attrs import frozen

from tests.benchmarks.processes import CAPNP, NodeProcess, client
from tests.benchmarks.report import Report


@frozen
class Sizes:
    rounds: int
    events: int
    """In each call: 256 bytes each."""
    seconds: float


SIZES = {"full": Sizes(5, 2000, 6.0), "quick": Sizes(2, 2000, 3.0), "tiny": Sizes(1, 10, 0.2)}
DEPTH = 16


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with NodeProcess(Path(folder) / "empty") as node:
            empty = node.seconds_to_start
        starts = []
        with NodeProcess(data) as node:
            client("fill", node.port, 1, 1)
        for number in range(sizes.rounds):
            with NodeProcess(data) as node:
                if number:
                    starts.append(node.seconds_to_start)
                _publish_and_kill(node, sizes, number)
        with NodeProcess(data) as node:
            starts.append(node.seconds_to_start)
    report("start on an empty directory: process, imports, formatting", empty, "s")
    report("start after kill -9 under load, median", statistics.median(starts), "s")
    report("start after kill -9 under load, longest", max(starts), "s")


def _publish_and_kill(node: NodeProcess, sizes: Sizes, number: int) -> None:
    """Kill the node while a client publishes; each round a little later, to meet other moments of a checkpoint."""
    command = [sys.executable, "-m", CAPNP, "publish", str(node.port), str(DEPTH), str(sizes.events), "3600"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as publishing:
        time.sleep(sizes.seconds * (1 + number / 10))
        node.kill()
        publishing.kill()
