"""The contracts of `.importlinter` hold, and each of them can fail."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"

BAD_IMPORTS = {
    "layers": ("vdb/types.py", "import vdb.node"),
    "sim": ("vdb/node/__init__.py", "import sim"),
    "world": ("vdb/node/__init__.py", "import vdb.world"),
    "client": ("vdb/client/__init__.py", "import vdb.storage"),
    "pure": ("vdb/kernel/__init__.py", "import trio"),
    "ports": ("vdb/storage/__init__.py", "from time import monotonic"),
    "capnp": ("vdb/rpc/__init__.py", "import capnp"),
    "cryptography": ("vdb/node/__init__.py", "from cryptography import x509"),
    "sqlcipher": ("vdb/projections/__init__.py", "import sqlcipher3"),
    "sqlglot": ("vdb/sql/__init__.py", "import sqlglot"),
    "boto3": ("vdb/events/__init__.py", "import boto3"),
    "joserfc": ("vdb/crypto/__init__.py", "import joserfc"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def contracts(root: Path) -> dict[str, str]:
    """Name of each contract by its id."""
    parser = configparser.ConfigParser()
    parser.read(root / ".importlinter")
    prefix = "importlinter:contract:"
    return {name.removeprefix(prefix): parser[name]["name"] for name in parser.sections() if name.startswith(prefix)}


@pytest.fixture
def sample(root: Path, tmp_path: Path) -> Path:
    """A tree with the modules of this one, all empty, under the same contracts."""
    for package in ("vdb", "sim"):
        for path in (root / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch()
    shutil.copy(root / ".importlinter", tmp_path)
    return tmp_path


def test_the_contracts_hold(root: Path) -> None:
    run = lint(root)
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_contract_has_a_bad_sample(root: Path) -> None:
    assert sorted(contracts(root)) == sorted(BAD_IMPORTS)


def test_each_contract_finds_its_bad_sample(root: Path, sample: Path) -> None:
    assert lint(sample).returncode == 0
    for path, line in BAD_IMPORTS.values():
        with (sample / path).open("a") as file:
            file.write(line + "\n")
    run = lint(sample)
    assert run.returncode == 1
    for name in contracts(root).values():
        assert f"{name} BROKEN" in run.stdout
    assert "vdb.storage -> time (l.1)" in run.stdout


def test_a_node_starts_without_what_few_nodes_use() -> None:
    command = "import sys, vdb.node.node, vdb.cli.main, vdb.cli.config_file; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    assert "vdb.node.identity.identities" in loaded
    assert not {"sqlglot", "joserfc", "boto3", "anyio", "django", "sqlalchemy"}.intersection(loaded)
