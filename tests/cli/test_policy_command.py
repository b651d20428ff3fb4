"""`vdb policy`: what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vdb.cli.main import run

POLICY = """
name = "clinic"

[roles]
clinician = []

[[binding]]
principals = ["dr.*"]
roles = ["clinician"]

[[rule]]
name = "treat"
roles = ["clinician"]
actions = ["read"]
purposes = ["TREAT"]
rows = "ward = 3"
masks = { ssn = "last-four" }

[[case]]
name = "a doctor reads"
principal = "dr.lee"
action = "read"
class = "phi"
purpose = "TREAT"
allowed = true
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    return file


def test_check_runs_the_cases(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check", "--file", str(policy)]) == 0
    out = capsys.readouterr().out
    assert "a doctor reads\tallowed\ttreat\tas it must be" in out
    assert "1 cases, 0 failed" in out


def test_check_fails_with_a_case(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(POLICY.replace("allowed = true", "allowed = false"))
    assert run(["policy", "check", "--file", str(policy), "--json"]) == 1
    case, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert case["failure"].startswith("expected denied, found allowed: rule 'treat' allows")
    assert (whole["cases"], whole["failed"], whole["rules_without_case"]) == (1, 1, [])


def test_explain_says_by_which_rule(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["policy", "explain", "--file", str(policy), "--principal", "dr.lee", "--action", "read"]
    assert run([*words, "--purpose", "TREAT"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "allowed: rule 'treat' allows 'read' of phi data in tenant 1 for TREAT\nrows: only where ward = 3"
    )
    assert run([*words, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["allowed"], found["rule"], found["roles"]) == (False, "default", ["clinician"])
    assert run([*words, "--purpose", "TREAT", "--on-behalf-of", "dr.kim"]) == 1
    assert "dr.lee may not ask on behalf of others" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--action", "look"], "--action is one of create, append, read"),
        (["--action", "read", "--purpose", "FUN"], "--purpose is one of TREAT"),
    ],
)
def test_unknown_words(policy: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", "--file", str(policy), "--principal", "x", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_file_that_isnt_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check", "--file", str(tmp_path / "none.toml")]) == 2
    assert "can't be read: No such file" in capsys.readouterr().err
