"""A universe per test, made and closed inside one deterministic run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sim.runner import run
from sim.world import SimUniverse

Body = Callable[[SimUniverse], Awaitable[None]]


@pytest.fixture
def in_universe() -> Callable[..., None]:
    """Run `async def body(universe)` in the universe of a seed."""

    def run_body(body: Body, *, seed: int = 1) -> None:
        async def main() -> None:
            universe = SimUniverse(seed)
            try:
                await body(universe)
            finally:
                universe.close()

        run(seed, main, budget_s=3600)

    return run_body
