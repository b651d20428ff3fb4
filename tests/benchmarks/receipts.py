"""What a receipt costs: reads of one event of PHI, with and without their entry in the audit log before the answer.

Two nodes, one with `receipts = false`, and the same client, which take turns. Each receipt is sealed, replicated and
fsynced before the event is answered; those of reads that are under way together share one record and one fsync.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

from tests.benchmarks.processes import CAPNP, NodeProcess, client
from tests.benchmarks.report import Report


@frozen
class Sizes:
    events: int
    pairs: int
    seconds: float


SIZES = {"full": Sizes(5_000, 7, 2.0), "quick": Sizes(1_000, 3, 1.0), "tiny": Sizes(50, 1, 0.05)}
DEPTHS = (1, 64)
WITHOUT, WITH = "without receipts", "with receipts"
SETTINGS = {WITHOUT: "[identity]\nreceipts = false\n", WITH: ""}


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    with (
        tempfile.TemporaryDirectory() as folder,
        NodeProcess(Path(folder) / "without", SETTINGS[WITHOUT]) as without,
        NodeProcess(Path(folder) / "with", SETTINGS[WITH]) as with_receipts,
    ):
        nodes = {WITHOUT: without, WITH: with_receipts}
        for node in nodes.values():
            client("fill", node.port, sizes.events, 1)
        for depth in DEPTHS:
            _compare(report, sizes, nodes, depth)


def _compare(report: Report, sizes: Sizes, nodes: dict[str, NodeProcess], depth: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in nodes}
    for _ in range(sizes.pairs):
        for name, node in nodes.items():
            found[name].append(_points(node.port, depth, sizes.seconds))
    for number, percentile in enumerate(("p50", "p99")):
        for name, times in found.items():
            median = statistics.median(each[number] for each in times)
            report(f"{percentile} {name}, {depth} in flight", median, "us")
        ratios = [ours[number] / bare[number] for bare, ours in zip(found[WITHOUT], found[WITH], strict=True)]
        most = 2.0 if (percentile, depth) == ("p50", 64) else None
        report(f"{percentile} ratio, {depth} in flight", statistics.median(ratios), "times", most=most)


def _points(port: int, depth: int, seconds: float) -> tuple[float, float]:
    """p50 and p99, microseconds."""
    command = [sys.executable, "-m", CAPNP, "points", str(port), str(depth), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    median, tail = map(float, done.stdout.split())
    return median, tail
