"""A tenant with a million idle streams beside one with a thousand: what a checkpoint of 1,000 touched streams costs.

How the streams are made and measured is told in `scale`. Both runs are processes of their own.
"""

from __future__ import annotations

import tempfile

from attrs import frozen

from tests.benchmarks.report import Report
from tests.benchmarks.scale import Measured, measure

STALL_MS_MAX = 50.0
COST_RATIO_MAX = 2.0


@frozen
class Sizes:
    few: int
    many: int
    touched: int


SIZES = {"full": Sizes(1000, 1_000_000, 1000), "quick": Sizes(1000, 100_000, 1000), "tiny": Sizes(20, 200, 10)}


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    found = {count: _measure(count, sizes.touched) for count in (sizes.few, sizes.many)}
    few, many = found[sizes.few], found[sizes.many]
    for count, measured in found.items():
        _report_one(report, f"{count:,} streams, {sizes.touched:,} touched", measured)
    report(
        "checkpoint time, many to few", many.checkpoint_seconds / few.checkpoint_seconds, "times", most=COST_RATIO_MAX
    )
    report("checkpoint bytes, many to few", many.checkpoint_bytes / few.checkpoint_bytes, "times", most=COST_RATIO_MAX)
    report("memory per stream", (many.memory_bytes - few.memory_bytes) / (sizes.many - sizes.few), "bytes")


def _measure(streams: int, touched: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        return measure(f"{folder}/data", tenants=1, streams=streams, touched=touched)


def _report_one(report: Report, what: str, measured: Measured) -> None:
    report(f"{what}: checkpoint", measured.checkpoint_seconds * 1000, "ms")
    report(f"{what}: checkpoint", measured.checkpoint_bytes / 1024, "KiB")
    report(f"{what}: longest stall during checkpoints", measured.stall_ms, "ms", most=STALL_MS_MAX)
    report(f"{what}: the same between checkpoints", measured.idle_stall_ms, "ms")
    report(f"{what}: open from a checkpoint", measured.open_seconds, "s")
    report(f"{what}: recovery with ops to replay", measured.recovery_seconds, "s")
