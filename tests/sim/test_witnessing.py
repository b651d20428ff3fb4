"""The torture of a witness: it holds, and each planted bug is found within a hundred seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from sim import witnessing
from sim.runner import run
from sim.witnessing import Torture, TwoHistories
from sim.world import SimUniverse
from vdb.evidence.witness import Status, Verdict
from vdb.witness import holding
from vdb.witness.holding import Witness

SEEDS = 100
HELD = 8


def torture(seed: int) -> Torture:
    found: list[Torture] = []

    async def main() -> None:
        universe = SimUniverse(seed)
        try:
            found.append(Torture(universe))
            await found[0].run()
        finally:
            universe.close()

    run(seed, main, budget_s=3600)
    found[0].check()
    return found[0]


def torture_all() -> None:
    for seed in range(SEEDS):
        torture(seed)


def test_what_a_witness_cosigns_is_one_history() -> None:
    sizes = [len(torture(seed).cosigned) for seed in range(HELD)]
    assert sum(sizes) > 5 * HELD, "it has cosigned something"
    assert torture(7).cosigned == torture(7).cosigned


def never_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced, and nothing waits until the disk has it."""

    async def store(self: Any, checkpoint: Any, note: Any) -> None:
        file = await self._disk.open("new", create=True)
        await file.truncate(0)
        await file.write_at(0, str(note).encode())
        await file.close()
        await self._disk.rename("new", "held")
        self._held[checkpoint.origin] = checkpoint

    monkeypatch.setattr(Witness, "_store", store)


def in_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def store(self: Any, checkpoint: Any, _note: Any) -> None:
        self._held[checkpoint.origin] = checkpoint

    monkeypatch.setattr(Witness, "_store", store)


def several_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is looked at, and others may put something in its place before this one does. No crash is needed."""

    async def store(self: Any, checkpoint: Any, _note: Any) -> None:
        await trio.lowlevel.checkpoint()
        self._held[checkpoint.origin] = checkpoint

    monkeypatch.setattr(Witness, "_store", store)
    monkeypatch.setattr(holding.trio, "Lock", _Nobody)
    monkeypatch.setattr(witnessing, "INCARNATIONS", 1)


class _Nobody:
    """A lock that keeps nobody out."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def any_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the tree continues the one that is held isn't looked at."""

    def judge(request: Any, _keys: Any, held: Any) -> Verdict:
        size = 0 if held is None else held.size
        if request.old != size:
            return Verdict(Status.OTHER_TREE, f"{size}\n")
        return Verdict(Status.COSIGNED, cosign=request.checkpoint)

    monkeypatch.setattr(holding, "judge", judge)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [(never_synced, "W"), (in_memory_alone, "W2"), (several_at_a_time, "W1"), (any_proof, "W1")],
)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(TwoHistories, match=f"^{expected}"):
        torture_all()
