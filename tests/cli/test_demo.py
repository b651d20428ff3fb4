"""`vdb demo`, whole: the main job must hold each of its promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_demo_keeps_every_promise(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    found = run_vdb("demo", "--json", "--cleanup", env={"TMPDIR": str(tmp_path)})
    assert found.code == 0, found.out + found.err
    result = found.object
    assert result["ok"] is True
    assert all(result["checks"].values()), result["checks"]
    assert result["events"] == result["acknowledged"] == result["read_back"]
    assert result["lost"] == result["duplicates"] == result["gaps"] == 0
    assert result["leaks"] == {}
    assert 0 < result["acknowledged_before_kill"] < result["events"]
    assert list(tmp_path.iterdir()) == []


def test_the_demo_of_a_cluster_keeps_every_promise(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    found = run_vdb("demo", "--cluster", "--json", "--cleanup", env={"TMPDIR": str(tmp_path)})
    assert found.code == 0, found.out + found.err
    result = found.object
    assert result["ok"] is True
    assert all(result["checks"].values()), result["checks"]
    assert result["events"] == result["acknowledged"] == result["read_back"]
    assert result["killed"] != result["primary"]
    assert list(tmp_path.iterdir()) == []
