"""Events per second of sequential reads from a real node: found, checked, decrypted and sent to pycapnp's client."""

from __future__ import annotations

import tempfile
from pathlib import Path

from attrs import frozen

from tests.benchmarks.processes import NodeProcess, client
from tests.benchmarks.report import Report


@frozen
class Sizes:
    events: int
    seconds: float


SIZES = {"full": Sizes(50_000, 3.0), "quick": Sizes(10_000, 1.0), "tiny": Sizes(100, 0.05)}


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    for events_per_record in (1, 100):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            with NodeProcess(data) as node:
                client("fill", node.port, sizes.events // events_per_record, events_per_record)
            with NodeProcess(data) as node:
                what = f"{events_per_record} events a record" if events_per_record > 1 else "1 event a record"
                for max_events in (100, 1000):
                    rate = client("read", node.port, max_events, sizes.seconds)
                    report(f"sequential read, {what}, {max_events} a call", rate, "events/s")
