"""A hunt's file: what stands in it isn't hunted again, of this commit alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim import __main__ as command
from sim.bugs import record as records
from sim.bugs.hunt import Hunt
from sim.bugs.record import Record

FOUND = Hunt(id="3", found=True, seeds=4, seed=4, invariant="I18", message="counted twice", others=("2: I5: gone",))
MISSED = Hunt(id="q1", found=False, seeds=100, seed=0, invariant="", message="")


@pytest.fixture
def commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "revision", lambda: "abc")


@pytest.mark.usefixtures("commit")
def test_what_was_hunted_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "hunts"
    for hunted in (FOUND, MISSED):
        Record.read(path).add(hunted)
    assert Record.read(path).hunts == {"3": FOUND, "q1": MISSED}


@pytest.mark.parametrize("then", ["def", "abc+"])
def test_another_commit_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    path = tmp_path / "hunts"
    monkeypatch.setattr(records, "revision", lambda: then if then.endswith("+") else "abc")
    Record.read(path).add(FOUND)
    monkeypatch.setattr(records, "revision", lambda: then)
    assert Record.read(path).hunts == {}


@pytest.mark.usefixtures("commit")
def test_the_command_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, hunted = tmp_path / "hunts", list[str]()
    Record.read(path).add(FOUND)

    def hunt_all(bugs, *, workers, on_result, seeds_max):  # type: ignore[no-untyped-def]
        hunted.extend(bug.id for bug in bugs)
        on_result(MISSED)

    monkeypatch.setattr(command, "hunt_all", hunt_all)
    assert command.main(["bugs", "--only", "3", "--only", "q1", "--record", str(path), "--json"]) == 1
    told = capsys.readouterr()
    assert hunted == ["q1"]
    printed = json.loads(told.out.splitlines()[-1])
    assert [(bug["id"], bug["found"], bug["seeds"]) for bug in printed["bugs"]] == [("3", True, 4), ("q1", False, 100)]
    assert printed["bugs"][0]["replay"] == "python -m sim replay 4 --bug 3"
    for words in ("1 hunts of this commit", "q1 wasn't found in 100 seeds", "1 of 2 found, the median after 4 seeds"):
        assert words in told.err


def test_a_foreign_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hunts"
    path.write_text("hello\n")
    assert command.main(["bugs", "--record", str(path)]) == 2
    assert f"{path}, line 1, isn't what a hunt writes" in capsys.readouterr().out.replace("\n", "")
