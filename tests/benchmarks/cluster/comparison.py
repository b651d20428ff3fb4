"""VerityDB beside etcd and PostgreSQL: three nodes each on loopback, synced to disk before the acknowledgement.

All systems stay up for the whole run and take turns, measurement by measurement, so that what else the machine does
falls on each; a ratio is the median over the turns. A peer that isn't installed is named and skipped.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from tests.benchmarks.cluster.etcd import Etcd
from tests.benchmarks.cluster.load import Interrupted
from tests.benchmarks.cluster.postgres import Postgres
from tests.benchmarks.cluster.system import PAGE, System
from tests.benchmarks.cluster.verity import VerityDB
from tests.benchmarks.report import Report

T = TypeVar("T")

EVENT_SIZE = 256
REPEATED_MAX = 5
"""How often one measurement is repeated after it was interrupted."""


@frozen
class Sizes:
    turns: int
    seconds: float
    """Of one measurement of one system. pgbench takes whole seconds, at least one."""
    readable: int
    """Events in the log that is read."""
    kills: int


SIZES = {"full": Sizes(7, 3.0, 200_000, 9), "quick": Sizes(3, 2.0, 50_000, 3), "tiny": Sizes(1, 0.05, 2_000, 1)}


@frozen
class Shape:
    """One kind of load, and how many times a peer's rate ours should be."""

    depth: int
    events: int
    least: dict[str, float]

    @property
    def name(self) -> str:
        batches = f"batches of {self.events}, " if self.events > 1 else ""
        return f"{batches}{self.depth} in flight"


SHAPES = (
    Shape(1, 1, {"etcd": 2.0}),
    Shape(16, 1, {}),
    Shape(64, 1, {"PostgreSQL": 1.0, "etcd": 2.0}),
    Shape(16, 100, {"PostgreSQL": 2.0, "etcd": 8.0}),
)
READ_LEAST = 500_000.0
"""Events a second that a sequential read should reach, or half of what the machine copies, if that is less."""
FAILOVER_MOST_S = 0.5


def run(report: Report, scale: str) -> None:
    compare(report, SIZES[scale], (VerityDB(), Etcd(), Postgres()))


def compare(report: Report, sizes: Sizes, candidates: Sequence[System]) -> None:
    """The first of `candidates` is measured against the others."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o711)  # another user's processes must reach their own folder below
        _tell_machine(report, folder)
        systems: list[System] = []
        for system in candidates:
            if missing := system.absent():
                report.note(f"{system.name} is skipped: {missing}")
                continue
            data = folder / system.name
            data.mkdir(mode=0o700)
            stack.callback(system.stop)
            system.start(data)
            systems.append(system)
            for line in system.configuration():
                report.note(f"{system.name}: {line}")
        for shape in SHAPES:
            _compare_appends(report, sizes, systems, shape)
        _compare_reads(report, sizes, systems)
        _compare_failovers(report, sizes, systems)


def _undisturbed(report: Report, system: System, measure: Callable[[System], T]) -> T:
    """What `measure` returns, once nothing such as a change of the primary falls into it."""
    for _ in range(REPEATED_MAX):
        try:
            return measure(system)
        except Interrupted as error:
            report.note(f"{system.name}: measured again: {error}")
    return measure(system)


def _in_turns(
    report: Report, systems: Sequence[System], turns: int, measure: Callable[[System], float]
) -> dict[str, list[float]]:
    """Each system once a turn; each turn begins with another one."""
    found: dict[str, list[float]] = {system.name: [] for system in systems}
    for turn in range(turns):
        first = turn % len(systems)
        for system in (*systems[first:], *systems[:first]):
            found[system.name].append(_undisturbed(report, system, measure))
    return found


def _tell_rates(report: Report, what: str, rates: dict[str, list[float]], least: dict[str, float]) -> None:
    for name, found in rates.items():
        report(f"{name}, {what}", statistics.median(found), "events/s")
    ours, *peers = rates
    for peer in peers:
        ratios = [mine / theirs for mine, theirs in zip(rates[ours], rates[peer], strict=True)]
        report(f"{ours} / {peer}, {what}", statistics.median(ratios), "times", least=least.get(peer))


def _compare_appends(report: Report, sizes: Sizes, systems: Sequence[System], shape: Shape) -> None:
    rates = _in_turns(
        report, systems, sizes.turns, lambda system: system.append(shape.depth, shape.events, sizes.seconds)
    )
    _tell_rates(report, shape.name, rates, shape.least)


def _compare_reads(report: Report, sizes: Sizes, systems: Sequence[System]) -> None:
    for system in systems:
        _undisturbed(report, system, lambda each: each.fill(sizes.readable))
    copied = _copied_per_second(sizes)
    what = f"sequential read, {PAGE:,} a request"
    rates = _in_turns(report, systems, sizes.turns, lambda system: system.read(sizes.readable, sizes.seconds))
    _tell_rates(report, what, rates, {})
    ours = statistics.median(rates[systems[0].name])
    report("memory copies of such events, page by page", copied, "events/s")
    report(f"{systems[0].name}, sequential read as aimed for", ours, "events/s", least=min(READ_LEAST, copied / 2))


def _copied_per_second(sizes: Sizes) -> float:
    """Events a second when nothing is done but copying them, a page at a time, from a log of the same size."""
    log = bytearray(os.urandom(EVENT_SIZE)) * sizes.readable
    view, page = memoryview(log), bytearray(EVENT_SIZE * PAGE)
    copied, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < sizes.seconds:
        for at in range(0, len(log) - len(page) + 1, len(page)):
            page[:] = view[at : at + len(page)]
            copied += PAGE
    return copied / seconds


def _compare_failovers(report: Report, sizes: Sizes, systems: Sequence[System]) -> None:
    def kill(system: System) -> float:
        seconds = system.fail_over()
        system.restore()
        return seconds

    found = _in_turns(report, systems, sizes.kills, kill)
    for name, seconds in found.items():
        most = FAILOVER_MOST_S if name == systems[0].name else None
        report(f"{name}, from kill -9 of the primary to a write, median", statistics.median(seconds), "s", most=most)
        report(f"{name}, from kill -9 of the primary to a write, longest", max(seconds), "s")


def _tell_machine(report: Report, folder: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    report.note(
        f"machine: {cores} cores ({_processor()}), Linux {platform.release()}, Python {platform.python_version()}"
    )
    report.note(f"data of all nodes lies in {folder} on {_file_system(folder)}; all load comes from the same machine")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    command = ["df", "--output=fstype,source", str(folder)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    kind, source = told[-1].split()
    return f"{kind} ({source})" if kind != "tmpfs" else "tmpfs, where a sync costs nothing: set TMPDIR to a disk"
