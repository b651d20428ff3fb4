"""Each benchmark runs to its end with very small sizes. What it measures then means nothing, and isn't looked at."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest

from tests.benchmarks.__main__ import NAMES
from tests.benchmarks.report import Line, Reporter


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(as_json=True)
    importlib.import_module(f"tests.benchmarks.{NAMES[name]}").run(reporter.begin(name, "a smoke test"), "tiny")
    told = [line for text in capsys.readouterr().out.splitlines() if "note" not in (line := json.loads(text))]
    assert len(told) == len(reporter.lines) > 0
    assert all(line["benchmark"] == name and isinstance(line["value"], int | float) for line in told)


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [({"most": 1.0}, "MISSED, at most 1"), ({"least": 1.0}, "ok, at least 1"), ({}, "")],
)
def test_a_line_says_whether_its_bound_is_kept(
    bounds: dict[str, float], verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Reporter()
    reporter.begin("name", "what it does")("something", 2.5, "times", **bounds)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "# name: what it does"
    assert second.split("times")[1].strip() == verdict


def test_bounds() -> None:
    line: Callable[..., Line] = lambda **bounds: Line(benchmark="b", name="n", value=2, unit="u", **bounds)  # noqa: E731
    assert line().kept is None
    assert line(least=2).kept is True
    assert line(most=1.5).kept is False
