"""Uses that nobody should make of connections and cursors: none of them crashes, or waits for itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", range(3))
def test_misuse_crashes_nothing(seed: int) -> None:
    script = Path(__file__).with_name("misuse.py")
    found = subprocess.run(
        [sys.executable, str(script), str(seed)], capture_output=True, text=True, timeout=150, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
