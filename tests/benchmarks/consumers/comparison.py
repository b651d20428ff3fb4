"""A consumer of VerityDB beside one of NATS JetStream: batches fetched, and acknowledged with a confirmation.

Both servers run on this machine with their data on its disk; both clients are Python's, one thing at a time on one
connection. They take turns, and a ratio is the median over the turns. Who isn't installed is named and skipped.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from attrs import frozen

from tests.benchmarks.consumers.nats import Nats
from tests.benchmarks.consumers.verity import VerityDB
from tests.benchmarks.report import Report

BATCH = 100
EVENT_SIZE = 256


@frozen
class Sizes:
    turns: int
    events: int


SIZES = {"full": Sizes(5, 50_000), "quick": Sizes(3, 10_000), "tiny": Sizes(1, 300)}


class System(Protocol):
    name: str

    def absent(self) -> str:
        """What is missing on this machine; empty when the system can be started."""

    def start(self, folder: Path) -> None: ...

    def stop(self) -> None: ...

    def configuration(self) -> Sequence[str]:
        """What matters, a line each."""

    def fill(self, payloads: Sequence[bytes]) -> None:
        """Events that nobody has seen yet, and a consumer that hasn't had any of them."""

    def consume(self, batch: int) -> int:
        """Fetch at most so many and acknowledge them; how many there were."""


def run(report: Report, scale: str) -> None:
    compare(report, SIZES[scale], (VerityDB(), Nats()))


def compare(report: Report, sizes: Sizes, candidates: Sequence[System]) -> None:
    """The first of `candidates` is measured against the others."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        systems: list[System] = []
        for system in candidates:
            if missing := system.absent():
                report.note(f"{system.name} is skipped: {missing}")
                continue
            data = folder / system.name.replace(" ", "-")
            data.mkdir(mode=0o700)
            stack.callback(system.stop)
            system.start(data)
            systems.append(system)
            for line in system.configuration():
                report.note(f"{system.name}: {line}")
        rates: dict[str, list[float]] = {system.name: [] for system in systems}
        payloads = [b"%06d" % number + bytes(EVENT_SIZE - 6) for number in range(sizes.events)]
        for turn in range(sizes.turns):
            first = turn % len(systems)
            for system in (*systems[first:], *systems[:first]):
                system.fill(payloads)
                rates[system.name].append(_rate(system, sizes.events))
        for system in systems:
            report(f"{system.name}, batches of {BATCH}", statistics.median(rates[system.name]), "events/s")
        ours, *others = systems
        for other in others:
            ratios = [one / two for one, two in zip(rates[ours.name], rates[other.name], strict=True)]
            report(f"{ours.name} / {other.name}, batches of {BATCH}", statistics.median(ratios), "times")


def _rate(system: System, events: int) -> float:
    started = time.perf_counter()
    done = 0
    while done < events:
        taken = system.consume(BATCH)
        assert taken, f"{system.name} gives nothing more after {done} of {events} events"
        done += taken
    return events / (time.perf_counter() - started)
