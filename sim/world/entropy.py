"""Random draws of a simulation: one generator for each purpose, each derived from (seed, name).

So a draw more in one part shifts no draw of another: a seed stays recognisable while the simulator grows.
"""

from __future__ import annotations

from random import Random

from sim.world.fence import Fence


def draws(seed: int, name: str) -> Random:
    """The generator of `name` in the run of `seed`; the same in every process."""
    return Random(f"{seed}/{name}")


class SimEntropy:
    """The Entropy port of a node. Its draws go on over restarts: no incarnation repeats the keys of the one before."""

    def __init__(self, random: Random, fence: Fence) -> None:
        self._random = random
        self._fence = fence

    def random_bytes(self, size: int) -> bytes:
        self._fence.check()
        return self._random.randbytes(size)

    def below(self, bound: int) -> int:
        self._fence.check()
        return self._random.randrange(bound)
