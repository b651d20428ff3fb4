"""Rare branches on purpose: legal behaviour that production shows too seldom for a test to meet it.

`if rare("proposer.small_batch"): break` is never taken outside the simulator, which takes it in some runs, drawn from
the seed. Only what is right at any time may stand behind it: a smaller batch, a cache that forgot, a step that takes
its time. Nothing that replicas must agree on may depend on it, so the pure packages don't know this module. (After
BUGGIFY, see Zhou et al., FoundationDB, SIGMOD 2021, section 4.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Chance = Callable[[str, float], bool]


def _never(_name: str, _share: float) -> bool:
    return False


_CHANCES: list[Chance] = [_never]
"""The last one decides."""


def rare(name: str, share: float = 1.0) -> bool:
    """Whether to take the rare branch `name` (module.what happens) this time.

    `share`: of the usual chance, where a place is passed so often, or costs so much, that it would drown the others.
    """
    return _CHANCES[-1](name, share)


@contextmanager
def drawn_by(chance: Chance) -> Iterator[None]:
    """Let `chance` decide meanwhile. For the simulator alone."""
    _CHANCES.append(chance)
    try:
        yield
    finally:
        _CHANCES.pop()
