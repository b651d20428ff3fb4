"""What the quality checks share: the sources, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Sources = dict[str, ast.Module]


def _python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def all_sources() -> Sources:
    """Each Python file of the product, the simulator and the tests, by its path from the root."""
    files = _python_files("vdb", "sim", "tests")
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes()) for path in files}


@pytest.fixture(scope="session")
def product_sources(all_sources: Sources) -> Sources:
    """The files of `vdb/` alone."""
    return {path: tree for path, tree in all_sources.items() if path.startswith("vdb/")}
