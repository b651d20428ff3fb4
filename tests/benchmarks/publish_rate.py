"""Publishes per second of a real node, sealed and fsynced, beside pycapnp's own server that does nothing at all.

The same pycapnp client, one connection, events of 256 bytes. Node and empty server take turns, pair by pair.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from attrs import frozen

from tests.benchmarks.processes import NodeProcess, client, empty_server
from tests.benchmarks.report import Report


@frozen
class Sizes:
    pairs: int
    seconds: float


SIZES = {"full": Sizes(7, 2.0), "quick": Sizes(3, 1.0), "tiny": Sizes(1, 0.05)}

SHAPES = (("publish", 64, 1), ("publish-ids", 64, 1), ("publish", 1, 1), ("publish", 16, 100))
"""(what the client does, calls in flight, events a call)."""


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    with (
        tempfile.TemporaryDirectory() as folder,
        NodeProcess(Path(folder) / "data") as node,
        empty_server() as empty,
    ):
        client("publish", node.port, 64, 1, sizes.seconds)
        for command, depth, events in SHAPES:
            _compare(report, sizes, {"pycapnp, empty": empty, "node": node.port}, command, depth, events)


def _compare(report: Report, sizes: Sizes, ports: dict[str, int], command: str, depth: int, events: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(sizes.pairs):
        for name, port in ports.items():
            rates[name].append(client(command, port, depth, events, sizes.seconds))
    shape = f"{depth} in flight" if events == 1 else f"{depth} in flight, {events} events a call"
    shape += ", with event ids" if command == "publish-ids" else ""
    for name, found in rates.items():
        report(f"{name}, {shape}", statistics.median(found), "events/s")
    ratios = [ours / theirs for theirs, ours in zip(*rates.values(), strict=True)]
    report(
        f"ratio, {shape}",
        statistics.median(ratios),
        "times",
        least=1.0 if (command, depth) == ("publish", 64) else None,
    )
