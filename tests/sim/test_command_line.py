"""`python -m sim`: exit codes, one JSON object last, and reports from which a failure can be looked at again."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from sim.__main__ import _parser, main
from sim.revision import ROOT

QUICK = ["--set", "requests=25", "--set", "nodes=1"]


def test_replay_prints_one_object_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "2", "--json"]) == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed["seed"] == 2
    assert printed["ok"] is True
    assert "seed 2 holds" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["replay"], ["replay", "x"], ["replay", "-1"], ["sweep", "--count", "0"], ["bugs", "--only", "99"], ["fly"],
        ["replay", "1", "--bug", "99"], ["shrink"], ["shrink", "1", "--runs", "0"],
    ],
)  # fmt: skip
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "1", "--set", "cleints=1"], "a run has no option 'cleints'"),
        (["shrink", "1", "--overrides", "["], "--overrides takes a JSON object"),
        (["sweep", "--from", "1", "--set", "cleints=1"], "a run has no option 'cleints'"),
        (["replay", "1", "--html", "nowhere/run.html"], "there is no folder nowhere for the page"),
    ],
)
def test_what_a_run_does_not_take_is_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().out


def test_a_failing_replay_tells_all_that_is_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim import __main__ as command
    from sim.result import Result
    from sim.verdict import Violation

    broken = Result(
        seed=9, digest="d", commit="abc", virtual_seconds=1, wall_seconds=1, events=1, ops_committed=1, faults={},
        checks={}, marks=(), violation=Violation("I5", "op 7 is gone"),
        last_events={"c0": ("0.9 c0 ok",), "n0": ("1.0 n0.1 crash",)},
    )  # fmt: skip
    monkeypatch.setattr(command, "run_seed", lambda seed, **_: broken)
    assert main(["replay", "9", "--set", "clients=1"]) == 1
    printed = capsys.readouterr().out
    again = """python -m sim replay 9 --overrides '{"clients":1}'"""
    for part in (
        "the last events of c0", "0.9 c0 ok", "the last events of n0", "1.0 n0.1 crash",
        "seed 9, commit abc: I5 broke", "op 7 is gone", again, f"{again} --html run.html",
        """python -m sim shrink 9 --overrides '{"clients":1}'""",
    ):  # fmt: skip
        assert part in printed


def test_a_planted_bug_is_told_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "run.html"
    assert main(["replay", "2", "--bug", "1", "--html", str(page), *QUICK]) == 1
    printed = capsys.readouterr().out
    assert "I33 broke" in printed
    assert re.search(r"n0\.1 +send +-> n0 prepare_ok view 1 op 1", printed)
    assert "python -m sim shrink 2 --bug 1" in printed
    found = re.search(r'id="run">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    kinds = data["events"]["kinds"]
    assert kinds[data["events"]["kind"][data["opens_at"]]] == "violation"
    assert data["run"]["violation"]["invariant"] == "I33"


def test_a_failing_replay_without_a_page_tells_its_messages_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "2", "--bug", "1", "--json", *QUICK]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["violation"]["invariant"] == "I33"
    assert "-> n0 prepare_ok" in captured.err
    assert "isn't the same twice" not in captured.err


def test_what_shrink_prints_is_a_command_that_breaks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "2", "--bug", "1", "--runs", "6", "--jobs", "1", "--json", *QUICK]) == 1
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed["after"]["requests"] < printed["before"]["requests"] == 25
    assert (printed["runs"], printed["finished"]) == (6, False)
    assert "I33 still breaks" in captured.err
    program, *words = shlex.split(printed["replay"])[2:]
    assert program == "sim"
    assert main(words) == 1
    assert "I33 broke" in capsys.readouterr().out


def test_a_seed_that_holds_is_nothing_to_shrink(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "2", "--jobs", "1", "--json", *QUICK]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["ok"] is True
    assert "seed 2 holds: there is nothing to shrink" in captured.err


def test_every_command_that_the_readme_shows_is_one() -> None:
    shown = re.findall(r"^    python -m sim (.*?)(?:  .*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) >= 6
    for command in shown:
        _parser().parse_args(shlex.split(command))
