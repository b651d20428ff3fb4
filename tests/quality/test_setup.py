"""Makefile, requirement pins and README agree, and say clearly what a machine lacks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = ("setup", "run", "test", "sim", "chaos", "lint", "bench", "check")
PIN = re.compile(r"([a-z0-9-]+)==([^ ]+)( ; [^\\]+)?(?: \\)?")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def check_pins(path: str, text: str) -> list[str]:
    """Each line is a comment, an exact version, or one of its hashes; each version has one hash or more."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if PIN.fullmatch(line):
            if number == len(lines) or not HASH.fullmatch(lines[number]):
                found.append(f"{path}:{number}: a pin without a hash: {line}")
        elif line and not line.startswith("#") and not HASH.fullmatch(line):
            found.append(f"{path}:{number}: neither a pin nor a hash: {line}")
    return found


def pins(root: Path, name: str) -> dict[str, str]:
    return dict(match.group(1, 2) for match in map(PIN.fullmatch, (root / name).read_text().splitlines()) if match)


def make(root: Path, folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(root / name, folder)
    command = ["make", "setup", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned_and_hashed(root: Path, name: str) -> None:
    found = check_pins(name, (root / name).read_text())
    assert not found, "\n" + "\n".join(found)


def test_runtime_pins_are_the_tested_ones(root: Path) -> None:
    runtime, tested = pins(root, "requirements.txt"), pins(root, "requirements-dev.txt")
    assert len(runtime) > 10
    assert runtime.items() <= tested.items()


@pytest.mark.parametrize(
    "bad", ["x==1\n", "x>=1 \\\n    --hash=sha256:" + "0" * 64, "--pre\n", "-e .\n", "x @ https://y\n"]
)
def test_a_bad_pin_is_found(bad: str) -> None:
    found = check_pins("requirements.txt", "# pins\n" + bad)
    assert found[0].startswith("requirements.txt:2: ")


def test_the_agreed_targets_are_there(root: Path) -> None:
    text = (root / "Makefile").read_text()
    for target in TARGETS:
        assert re.search(rf"^{target}:", text, re.MULTILINE), f"make {target} is missing"


def test_the_readme_names_targets_that_are_there(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    named = re.findall(r"\bmake ([a-z]+)\b", (root / "README.md").read_text())
    assert named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"the README names make {target}"


def test_an_old_python_is_refused_with_what_to_do(root: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    fake = "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{fake}" "$2"\n')
    old.chmod(0o755)
    run = make(root, tmp_path, str(old))
    assert run.returncode != 0
    assert (
        f"VerityDB needs Python 3.11 or newer, and {old} is Python 3.9. Name another: make setup PYTHON=" in run.stderr
    )
    assert not (tmp_path / ".venv").exists()


def test_a_missing_python_is_refused_with_what_to_do(root: Path, tmp_path: Path) -> None:
    run = make(root, tmp_path, "python-that-is-not-here")
    assert run.returncode != 0
    assert "VerityDB needs Python 3.11 or newer, and there is no 'python-that-is-not-here'" in run.stderr


def test_ci_runs_from_a_fresh_clone(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    steps = re.findall(r"^ *step make ([a-z]+)", script.read_text(), re.MULTILINE)
    assert steps == ["setup", "lint", "test", "corpus", "sweep"]
