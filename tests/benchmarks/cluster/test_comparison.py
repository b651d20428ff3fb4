"""The order of measurements and what is made of them, on systems whose figures are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmarks.cluster.comparison import Sizes, compare
from tests.benchmarks.cluster.load import Interrupted
from tests.benchmarks.report import Reporter

SIZES = Sizes(turns=3, seconds=0.01, readable=1000, kills=3)


class KnownSystem:
    """Answers with fixed figures, slower from call to call for all alike, and writes down what it was asked."""

    def __init__(self, name: str, rate: float, calls: list[str], absent: str = "", interruptions: int = 0) -> None:
        self.name = name
        self._rate = rate
        self._calls = calls
        self._absent = absent
        self._interruptions = interruptions

    def absent(self) -> str:
        return self._absent

    def start(self, folder: Path) -> None:
        assert folder.is_dir()
        self._calls.append(f"{self.name} starts")

    def stop(self) -> None:
        self._calls.append(f"{self.name} stops")

    def configuration(self) -> Sequence[str]:
        return ("settings as they come",)

    def append(self, depth: int, events: int, seconds: float) -> float:
        self._calls.append(f"{self.name} {depth}x{events}")
        if self._interruptions:
            self._interruptions -= 1
            raise Interrupted("another node is the primary")
        return self._rate * depth * events

    def fill(self, events: int) -> None:
        assert events == SIZES.readable

    def read(self, events: int, seconds: float) -> float:
        return self._rate * 1000

    def fail_over(self) -> float:
        self._calls.append(f"{self.name} is killed")
        return 1 / self._rate

    def restore(self) -> None:
        self._calls.append(f"{self.name} is whole")


def compared(capsys: pytest.CaptureFixture[str], *others: str) -> tuple[list[str], dict[str, float], str]:
    """What was asked, in order; the lines; the text."""
    calls: list[str] = []
    systems = [KnownSystem("VerityDB", 100, calls), *(KnownSystem(name, 50, calls) for name in others)]
    absent = KnownSystem("PostgreSQL", 1, calls, "no postgres here")
    reporter = Reporter()
    compare(reporter.begin("cluster", "a test"), SIZES, (*systems, absent))
    return calls, {line.name: line.value for line in reporter.lines}, capsys.readouterr().out


def test_systems_take_turns_and_each_begins_once(capsys: pytest.CaptureFixture[str]) -> None:
    calls, _, _ = compared(capsys, "etcd")
    assert calls[:2] == ["VerityDB starts", "etcd starts"]
    assert calls[2:8] == ["VerityDB 1x1", "etcd 1x1", "etcd 1x1", "VerityDB 1x1", "VerityDB 1x1", "etcd 1x1"]
    assert calls[-2:] == ["etcd stops", "VerityDB stops"]
    killed = [at for at, call in enumerate(calls) if call.endswith("is killed")]
    assert len(killed) == 6
    assert all(calls[at + 1] == calls[at].replace("killed", "whole") for at in killed)


def test_ratios_and_aims(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, text = compared(capsys, "etcd")
    assert lines["VerityDB / etcd, 64 in flight"] == 2
    assert lines["VerityDB / etcd, batches of 100, 16 in flight"] == 2
    assert "ok, at least 2" in next(line for line in text.splitlines() if "VerityDB / etcd, 64 in flight" in line)
    assert "MISSED, at least 8" in text
    assert lines["VerityDB, from kill -9 of the primary to a write, median"] == 0.01


def test_a_peer_that_is_missing_is_named_and_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, text = compared(capsys)
    assert "PostgreSQL is skipped: no postgres here" in text
    assert not any("PostgreSQL" in name for name in lines)


def test_the_run_tells_its_machine_and_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, text = compared(capsys, "etcd")
    assert "cores" in text
    assert "data of all nodes lies in" in text
    assert "etcd: settings as they come" in text


def test_a_measurement_that_is_interrupted_is_told_and_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []
    reporter = Reporter()
    compare(reporter.begin("cluster", "a test"), SIZES, [KnownSystem("VerityDB", 100, calls, interruptions=2)])
    assert calls.count("VerityDB 1x1") == SIZES.turns + 2
    told = "VerityDB: measured again: another node is the primary"
    assert capsys.readouterr().out.count(told) == 2
