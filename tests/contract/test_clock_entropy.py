"""The contracts of Clock and Entropy, on the real and on the simulated ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from vdb.ports import World

InWorld = Callable[[Callable[[World], Awaitable[None]]], None]


def test_monotonic_time_advances_with_sleeps(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        readings = [world.clock.monotonic_ns() for _ in range(100)]
        assert readings == sorted(readings)
        await trio.sleep(0.02)
        assert world.clock.monotonic_ns() - readings[0] >= 15_000_000

    in_world(body)


def test_wall_time_is_in_microseconds(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        year_2020, year_2200 = 1_577_836_800_000_000, 7_258_118_400_000_000
        assert year_2020 < world.clock.wall_us() < year_2200

    in_world(body)


def test_random_bytes_have_their_size_and_differ(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        assert world.entropy.random_bytes(0) == b""
        drawn = [world.entropy.random_bytes(16) for _ in range(100)]
        assert all(len(value) == 16 for value in drawn)
        assert len(dict.fromkeys(drawn)) == 100

    in_world(body)


def test_numbers_stay_below_their_bound_and_reach_all_below_it(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        drawn = {world.entropy.below(3) for _ in range(500)}
        assert drawn == {0, 1, 2}
        assert world.entropy.below(1) == 0

    in_world(body)
