"""Who waits for inline projections, and for how long, on projections that move as they are told."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import trio
import trio.testing

from vdb.errors import ProjectionFailed, UnknownProjection
from vdb.node.projecting.inline import InlineProjections
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.types import GroupId, TenantId

EU = GroupId("eu-west-1")
NOTES = LatestById(table="notes", key_path="id", columns={"text": "text"}, payload="json")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Slow:
    """Projections that have come as far as `reach` says."""

    def __init__(self) -> None:
        self.positions: dict[str, float] = {}
        self.moved = trio.Event()
        self.unknown = 0
        self.stopped: list[str] = []

    def reach(self, name: str, position: float) -> None:
        self.positions[name] = position
        moved, self.moved = self.moved, trio.Event()
        moved.set()

    async def wait_for(self, tenant: TenantId, name: str, positions: Mapping[GroupId, int], timeout_s: float) -> bool:
        await trio.lowlevel.checkpoint()
        if self.unknown:
            self.unknown -= 1
            raise UnknownProjection("not yet")
        with trio.move_on_after(timeout_s) as scope:
            while self.positions.get(name, 0) < positions[EU]:
                if name in self.stopped:
                    raise ProjectionFailed("stopped")
                await self.moved.wait()
        return not scope.cancelled_caught


def config(name: str, *streams: str, inline: bool = True) -> ProjectionConfig:
    return ProjectionConfig(name=name, streams=streams, template=NOTES, inline=inline)


def test_only_those_that_read_the_stream_are_awaited() -> None:
    configs = [config("a", "x"), config("b", "x*"), config("c", "x", inline=False), config("b", "z")]
    inline = InlineProjections(Slow(), configs)
    assert inline.awaited(1, ["x"]) == ["a", "b"]
    assert inline.awaited(1, ["xy", "z"]) == ["b"]
    assert list(inline.awaited(1, ["y"])) == []
    assert list(InlineProjections(Slow(), configs[2:3]).awaited(1, ["x"])) == []


async def test_answers_wait_for_all_and_in_order() -> None:
    slow, told = Slow(), []
    inline = InlineProjections(slow, [config("a", "*"), config("b", "*")])
    slow.unknown = 3
    async with trio.open_nursery() as nursery:
        await nursery.start(inline.run)
        for position in (1, 2, 3):
            inline.hold(["a", "b"], 1, EU, position, lambda position=position: told.append(position))
        await trio.sleep(0.1)
        slow.reach("a", 3)
        await trio.sleep(0.1)
        assert told == []
        slow.reach("b", 2)
        await trio.sleep(0.1)
        assert told == [1, 2]
        slow.stopped.append("b")
        slow.reach("b", 2)
        await trio.sleep(0.1)
        assert told == [1, 2, 3]
        nursery.cancel_scope.cancel()


async def test_one_that_takes_too_long_is_waited_for_again_when_it_has_caught_up() -> None:
    slow, told = Slow(), []
    inline = InlineProjections(slow, [config("a", "*")], wait_seconds=1.0)

    def hold(position: int) -> None:
        inline.hold(["a"], 1, EU, position, lambda: told.append((position, trio.current_time())))

    async with trio.open_nursery() as nursery:
        await nursery.start(inline.run)
        begin = trio.current_time()
        hold(1)
        hold(2)
        await trio.sleep(2)
        assert [(position, round(at - begin, 3)) for position, at in told] == [(1, 1.0), (2, 1.0)]
        hold(3)
        assert told[2][0] == 3
        slow.reach("a", 2)
        await trio.sleep(0.1)
        hold(4)
        assert told[3][0] == 4
        slow.reach("a", 4)
        await trio.sleep(0.1)
        hold(5)
        await trio.sleep(0.1)
        assert len(told) == 4
        slow.reach("a", math.inf)
        await trio.sleep(0.1)
        assert told[4][0] == 5
        nursery.cancel_scope.cancel()


async def test_answers_that_wait_are_given_when_the_node_ends() -> None:
    told: list[int] = []
    inline = InlineProjections(Slow(), [config("a", "*")])
    async with trio.open_nursery() as nursery:
        await nursery.start(inline.run)
        inline.hold(["a"], 1, EU, 1, lambda: told.append(1))
        await trio.sleep(0.1)
        inline.hold(["a"], 2, EU, 2, lambda: told.append(2))
        nursery.cancel_scope.cancel()
    assert told == [1, 2]
    inline.hold(["a"], 1, EU, 3, lambda: told.append(3))
    assert told == [1, 2, 3]
