"""Which rare branches of the product a run takes (`vdb.rare`).

Each branch is on in a part of the runs only, and then taken now and then: a run in which all of them are on is busy
with nothing else, and one without has the product's usual rhythm.
"""

from __future__ import annotations

from collections import Counter

from sim.world.entropy import draws

ON_SHARE = 0.4
"""Of the branches, in a run that has any."""


class RareBranches:
    """Draws for one run. `taken` counts by name."""

    def __init__(self, seed: int, chance: float) -> None:
        self._seed = seed
        self._chance = chance
        self._on: dict[str, bool] = {}
        self._random = draws(seed, "rare branches")
        self.taken: Counter[str] = Counter()

    def __call__(self, name: str, share: float) -> bool:
        if not self._chance or not self._is_on(name):
            return False
        taken = self._random.random() < self._chance * share
        if taken:
            self.taken[f"rare {name}"] += 1
        return taken

    def _is_on(self, name: str) -> bool:
        found = self._on.get(name)
        if found is None:
            found = self._on[name] = draws(self._seed, f"rare {name}").random() < ON_SHARE
        return found
