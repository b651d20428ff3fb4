"""From history into live, while others append: nothing is left out and nothing comes twice, on every face."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from attrs import frozen

import vdb
from vdb.limits import Limits

SMALL = Limits(
    message_size_max=32 * 1024, wal_slots=96, checkpoint_interval=16, segment_size=16384, read_bytes_max=4096
)
WRITERS = 3
EACH = 60


@vdb.event("follow-test-counted")
@frozen(kw_only=True)
class Counted:
    writer: int
    number: int


@pytest.fixture
def database() -> Iterator[vdb.EmbeddedDatabase]:
    with vdb.open(":memory:", limits=SMALL) as opened:
        for writer in range(WRITERS):
            opened.create_stream(f"w-{writer}")
        opened.create_stream("other")
        yield opened


def write(database: vdb.EmbeddedDatabase, writer: int) -> None:
    for number in range(EACH):
        database.append(f"w-{writer}", [Counted(writer=writer, number=number)])
        database.publish("other", b"x" * 400)


def start_writers(database: vdb.EmbeddedDatabase) -> list[threading.Thread]:
    threads = [threading.Thread(target=write, args=(database, writer)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    return threads


def check(database: vdb.EmbeddedDatabase, found: list[vdb.RecordedEvent]) -> None:
    """All of it, in the order of the log, each writer's in its order."""
    assert len(found) == WRITERS * EACH
    positions = [one.position.number for one in found]
    assert positions == sorted(set(positions))
    for writer in range(WRITERS):
        numbers = [one.event.number for one in found if one.event.writer == writer]
        assert numbers == list(range(EACH))
    assert found == list(database.read_events(prefix="w-"))


def test_blocking(database: vdb.EmbeddedDatabase) -> None:
    database.append("w-0", [Counted(writer=0, number=-1)])
    start = database.read_events(prefix="w-", types=Counted, follow=True, max_events=1 + WRITERS * EACH)
    assert next(start).event.number == -1
    threads = start_writers(database)
    found = list(start)
    for thread in threads:
        thread.join()
    assert [one.event.number for one in database.read_events("w-0", max_events=1)] == [-1]
    assert len(found) == WRITERS * EACH
    positions = [one.position.number for one in found]
    assert positions == sorted(set(positions))


async def collect(face: Any, **arguments: Any) -> list[vdb.RecordedEvent]:
    return [one async for one in face.read_events(follow=True, max_events=WRITERS * EACH, **arguments)]


@pytest.mark.parametrize("run", [trio.run, lambda main: asyncio.run(main())], ids=["trio", "asyncio"])
def test_on_other_loops(database: vdb.EmbeddedDatabase, run: Any) -> None:
    threads = start_writers(database)
    found = run(lambda: collect(database.aio, prefix="w-"))
    for thread in threads:
        thread.join()
    check(database, found)


def test_many_followers_of_one_stream_see_the_same(database: vdb.EmbeddedDatabase) -> None:
    found: list[list[vdb.RecordedEvent]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(follow)
            await trio.to_thread.run_sync(write, database, 1)

    async def follow() -> None:
        events = database.aio.read_events("w-1", follow=True, max_events=EACH)
        found.append([one async for one in events])

    trio.run(main)
    assert [[one.offset for one in events] for events in found] == [list(range(EACH))] * 4


def test_from_a_time_that_lies_ahead_nothing_earlier_comes(database: vdb.EmbeddedDatabase) -> None:
    database.append("w-0", [Counted(writer=0, number=0)])
    (first,) = database.read_events("w-0")
    ahead = datetime.fromtimestamp(first.time / 1e6, UTC) + timedelta(days=1)
    following = database.aio.read_events("w-0", follow=True, from_time=ahead)

    async def main() -> None:
        with trio.move_on_after(0.3):
            await following.__anext__()
            raise AssertionError("nothing is appended tomorrow")

    database.append("w-0", [Counted(writer=0, number=1)])
    trio.run(main)
    assert list(database.read_events("w-0", from_time=ahead)) == []
    just_behind = first.time + 1
    assert [one.offset for one in database.read_events("w-0", from_time=just_behind)] == [1]


def test_following_wakes_up_for_what_fits_alone(database: vdb.EmbeddedDatabase) -> None:
    async def main() -> list[int]:
        events = database.aio.read_events(prefix="w-2", follow=True, max_events=2)
        found: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(append_all)
            async for one in events:
                found.append(one.event.number)
        return found

    async def append_all() -> None:
        for number in range(6):
            writer = 2 if number % 3 == 2 else 1
            await database.aio.append(f"w-{writer}", [Counted(writer=writer, number=number)])

    assert trio.run(main) == [2, 5]


def test_from_a_position_that_lies_ahead_nothing_earlier_comes(database: vdb.EmbeddedDatabase) -> None:
    first = database.append("w-0", [Counted(writer=0, number=0)])
    ahead = vdb.Position(first.position.group, first.position.number + 1)
    following = database.aio.read_events("w-0", follow=True, from_position=ahead)
    found: list[vdb.RecordedEvent] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.sleep(0.1)
            for number in (1, 2):
                await database.aio.append("w-0", [Counted(writer=0, number=number)])

    async def follow() -> None:
        found.append(await following.__anext__())

    trio.run(main)
    assert [one.event.number for one in found] == [2]
