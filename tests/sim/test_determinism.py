"""I39: a seed gives the same digest in two processes with different hash seeds. Seed 7 has SQL as well.

The runs are shorter than what the seeds draw.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sim.revision import ROOT

SHORTER = json.dumps({"requests": 60, "sql_deeds": 25})


def replay(seed: int, hash_seed: str) -> dict[str, object]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "sim", "replay", str(seed), "--overrides", SHORTER, "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    printed: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return printed


@pytest.mark.parametrize("seed", [2, 7])
def test_two_processes_agree(seed: int) -> None:
    one, other = replay(seed, "1"), replay(seed, "4242")
    for key in ("wall_seconds", "commit"):
        one.pop(key)
        other.pop(key)
    assert one == other
