"""Ten thousand tenants, a thousand of them active between two checkpoints: checkpoint, stall, files, recovery.

How the tenants are made and measured is told in `scale`.
"""

from __future__ import annotations

import tempfile

from attrs import frozen

from tests.benchmarks.report import Report
from tests.benchmarks.scale import measure

STALL_MS_MAX = 50.0


@frozen
class Sizes:
    tenants: int
    active: int


SIZES = {"full": Sizes(10_000, 1000), "quick": Sizes(2000, 200), "tiny": Sizes(20, 10)}


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(f"{folder}/data", tenants=sizes.tenants, streams=sizes.tenants, touched=sizes.active)
    what = f"{sizes.tenants:,} tenants, {sizes.active:,} active"
    report(f"{what}: checkpoint", found.checkpoint_seconds * 1000, "ms")
    report(f"{what}: checkpoint", found.checkpoint_bytes / 1024, "KiB")
    report(f"{what}: longest stall during checkpoints", found.stall_ms, "ms", most=STALL_MS_MAX)
    report(f"{what}: the same between checkpoints", found.idle_stall_ms, "ms")
    report(f"{what}: files in the data directory", found.files, "files")
    report(f"{what}: open from a checkpoint", found.open_seconds, "s")
    report(f"{what}: recovery with ops to replay", found.recovery_seconds, "s")
