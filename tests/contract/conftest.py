"""Runs one contract on both worlds: a test takes `in_world` and gives it `async def body(world)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from sim.runner import run
from sim.world import SimUniverse
from vdb.ports import World
from vdb.types import Region
from vdb.world import make_world

REGION = Region("ap-southeast-2")

Body = Callable[[World], Awaitable[None]]


@pytest.fixture(params=["real", "simulated"])
def in_world(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Run a body on a fresh world of the kind at hand."""
    return lambda body: _run_real(body, tmp_path) if request.param == "real" else _run_simulated(body)


def _run_real(body: Body, directory: Path) -> None:
    async def main() -> None:
        world = make_world(directory / "data", REGION)
        with trio.fail_after(30):
            await body(world)
            await world.disk.close()

    trio.run(main)


def _run_simulated(body: Body) -> None:
    async def main() -> None:
        universe = SimUniverse(1)
        try:
            await body(universe.node("n0", REGION, secure=False).boot())
        finally:
            universe.close()

    run(1, main, budget_s=60)
