"""Whatever is cancelled: a delivery is handed out once, or goes back untried, and settlements keep their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import trio
import trio.testing
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from vdb.client.member_line import BufferedLine
from vdb.consumers import Delivered, Settlement, Verdict
from vdb.errors import ConnectionLost, Overloaded, Timeout
from vdb.selection import EventRecord
from vdb.types import DataClass, GroupId, Position

GROUP = GroupId("ap-southeast-2")
ACK_SECONDS = 1000.0


def delivered(number: int) -> Delivered:
    record = EventRecord(
        stream="s",
        offset=number,
        position=Position(GROUP, number),
        time=1,
        payload=b"",
        event_id=None,
        schema_id=0,
        data_class=DataClass.PHI,
    )
    return Delivered(event=record, attempt=1, deadline=1)


@define
class Calls:
    """A consumer group without end, whose answers take their time, and which errs now and then."""

    delays: list[float]
    next: int = 0
    settled: list[tuple[int, Verdict]] = field(factory=list)
    left: bool = False
    turns: int = 0

    async def _pause(self) -> None:
        self.turns += 1
        delay = self.delays[self.turns % len(self.delays)]
        await trio.sleep(delay)
        if delay == 0.3:
            raise (Timeout, ConnectionLost, Overloaded)[self.turns % 3]("a fault")

    async def fetch(self, maximum: int, wait: float, timeout: float, held: Callable[[], list[int]]) -> list[Delivered]:
        await self._pause()
        first, self.next = self.next, self.next + maximum
        return [delivered(number) for number in range(first, self.next)]

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        await self._pause()
        self.settled += [(one.position, one.verdict) for one in settlements]
        return []

    async def leave(self, timeout: float) -> int:
        self.left = True
        return 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fetch", "take", "ahead", "ack", "confirm", "sleep"]),
        st.integers(1, 4),
        st.sampled_from([0.0, 0.001, 0.02, 0.1, 5.0]),
    ),
    max_size=25,
)


@given(STEPS, st.lists(st.sampled_from([0.0, 0.001, 0.03, 0.2, 0.3]), min_size=1, max_size=5))
def test_nothing_is_lost_or_handed_out_twice(steps: list[tuple[str, int, float]], delays: list[float]) -> None:
    calls = Calls(delays if min(delays) < 0.3 else [0.0, *delays])
    taken: list[int] = []
    acked: list[int] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            line = BufferedLine(calls, nursery.start_soon, ACK_SECONDS)
            for step in steps:
                with trio.move_on_after(step[2]):
                    await take_step(line, *step)
            await line.leave(60.0)

    async def take_step(line: BufferedLine, kind: str, count: int, seconds: float) -> None:
        found: list[Delivered] = []
        if kind == "fetch":
            with suppress(Timeout, ConnectionLost, Overloaded):
                found = await line.fetch(count, 1.0, 1.0)
        elif kind in ("take", "ahead"):
            found, _ = await line.take(count, ahead=kind == "ahead")
        elif kind == "sleep":
            await trio.sleep(seconds)
        else:
            chosen = [number for number in taken if number not in acked][:count]
            acked.extend(chosen)
            settlements = [Settlement(position=number, attempt=1, verdict=Verdict.ACK) for number in chosen]
            if kind == "ack":
                line.post(settlements)
            else:
                await line.settle(settlements, 60.0)
        taken.extend(one.event.position.number for one in found)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    untried = [number for number, verdict in calls.settled if verdict is Verdict.UNTRIED]
    done = [number for number, verdict in calls.settled if verdict is Verdict.ACK]
    assert calls.left
    assert sorted(taken + untried) == list(range(calls.next))
    assert done == acked


def test_what_arrives_is_taken_or_goes_back() -> None:
    """What was fetched ahead, what comes for who was cancelled, what was kept: all of it."""
    calls = Calls([0.0])

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            line = BufferedLine(calls, nursery.start_soon, ACK_SECONDS)
            found, _ = await line.take(3, ahead=True)
            assert [one.event.offset for one in found] == [0, 1, 2]
            await trio.sleep(1)
            assert [one.event.offset for one in await line.fetch(1, 1.0, 1.0)] == [3]
            with trio.move_on_after(0):
                await line.fetch(9, 1.0, 1.0)
                await line.fetch(2, 1.0, 1.0)
            await line.leave(60.0)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sorted(number for number, _ in calls.settled) == list(range(6, calls.next))
