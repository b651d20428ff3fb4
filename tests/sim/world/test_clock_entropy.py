"""Each node's own view of time, and its draws over restarts."""

from __future__ import annotations

from collections.abc import Callable

import trio

from sim.world import SimUniverse, draws
from vdb.types import Region

InUniverse = Callable[..., None]
REGION = Region("us-east-1")


def test_skew_drift_and_jumps(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        true = universe.node("n0", REGION).boot().clock
        off = universe.node("n1", REGION, skew_us=-5_000_000, drift_ppm=100)
        clock = off.boot().clock
        assert -5_000_010 < clock.wall_us() - true.wall_us() <= -4_999_990
        await trio.sleep(1000)
        assert -4_900_010 < clock.wall_us() - true.wall_us() < -4_899_990
        before = clock.monotonic_ns()
        off.clock.jump(-3_600_000_000)
        assert clock.wall_us() < true.wall_us() - 3_600_000_000
        assert clock.monotonic_ns() > before
        assert universe.faults["clock.jump"] == universe.faults["clock.skew"] == universe.faults["clock.drift"] == 1

    in_universe(body)


def test_entropy_goes_on_over_a_restart(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = universe.node("n0", REGION)
        first = node.boot().entropy.random_bytes(16)
        assert node.restart().entropy.random_bytes(16) != first

    in_universe(body)


def test_draws_of_one_name_do_not_shift_those_of_another() -> None:
    assert draws(1, "a").random() == draws(1, "a").random()
    assert draws(1, "a").random() != draws(1, "b").random()
    assert draws(1, "a").random() != draws(2, "a").random()
