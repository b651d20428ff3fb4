"""`python -m sim`: exit codes, and one JSON object last."""

from __future__ import annotations

import json

import pytest

from sim.__main__ import main


def test_replay_prints_one_object_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "2", "--json"]) == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed["seed"] == 2
    assert printed["ok"] is True
    assert "seed 2 holds" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["replay"], ["replay", "x"], ["replay", "-1"], ["sweep", "--count", "0"], ["bugs", "--only", "99"], ["fly"]],
)
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_failing_replay_tells_all_that_is_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim import __main__ as command
    from sim.result import Result
    from sim.verdict import Violation

    broken = Result(
        seed=9, digest="d", commit="abc", virtual_seconds=1, wall_seconds=1, events=1, ops_committed=1, faults={},
        checks={}, marks=(), violation=Violation("I5", "op 7 is gone"), last_events={"n0": ("1.0 n0.1 crash",)},
    )  # fmt: skip
    monkeypatch.setattr(command, "run_seed", lambda seed, **_: broken)
    assert main(["replay", "9"]) == 1
    printed = capsys.readouterr().out
    for part in ("seed 9, commit abc: I5 broke", "op 7 is gone", "1.0 n0.1 crash", "python -m sim replay 9"):
        assert part in printed
