"""Rare branches: never taken by themselves, and by whom the simulator says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import vdb
from sim.rare import RareBranches
from vdb.rare import drawn_by, rare

HOME = Path(vdb.__file__).resolve().parent


def names() -> Iterator[tuple[str, str]]:
    """Each `rare("...")` of the product, and where it stands."""
    for path in sorted(HOME.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "rare":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: the name is a literal"
                yield str(node.args[0].value), f"{path.relative_to(HOME)}:{node.lineno}"


def test_nothing_rare_happens_by_itself() -> None:
    assert not any(rare(name) for name, _place in names() for _ in range(100))


def test_a_name_stands_in_one_place() -> None:
    found = list(names())
    assert len(found) >= 10
    assert len({name for name, _place in found}) == len(found), found


def test_only_the_simulator_draws() -> None:
    using = [path for path in HOME.rglob("*.py") if path.name != "rare.py" and "drawn_by" in path.read_text()]
    assert not using


def test_a_seed_takes_the_same_branches_again() -> None:
    def taken(seed: int, chance: float) -> dict[str, int]:
        branches = RareBranches(seed, chance)
        with drawn_by(branches):
            for _ in range(200):
                for number in range(10):
                    rare(f"module.{number}")
        return dict(branches.taken)

    assert taken(7, 0.1) == taken(7, 0.1) != taken(8, 0.1)
    assert 0 < len(taken(7, 0.1)) < 10, "some are off in a run"
    assert not taken(7, 0.0)
    assert not rare("module.0"), "nobody draws any more"


def test_a_place_may_ask_for_a_share_of_the_chance() -> None:
    branches = RareBranches(1, 1.0)
    name = next(name for name in map(str, range(100)) if branches(name, 1.0))
    assert all(branches(name, 1.0) for _ in range(100))
    assert not any(branches(name, 0.0) for _ in range(100))
