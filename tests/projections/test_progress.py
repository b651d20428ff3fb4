"""What a watched source tells of its reader, and that it only ever lets it wait."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from vdb.projections.progress import REST_SECONDS_MAX, WatchedSource
from vdb.types import GroupId, TenantId

LOCAL = GroupId("eu-west-1")
GLOBAL = GroupId("global")
TENANT = TenantId(1)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def read(source: WatchedSource, position: int, count: int = 10) -> tuple[int, int]:
    """Events read, and the next position."""
    runs, following = await source.read_log(TENANT, LOCAL, position, count)
    return sum(run.count for run in runs), following


async def test_progress_has_a_rate_and_an_end(log: Any) -> None:
    for _ in range(10):
        log.publish("a", [b"x"] * 10)
    source = WatchedSource(log, TENANT)
    assert (source.progress().done, source.progress().total, source.progress().eta_seconds) == (0, 100, None)
    position = 0
    for _ in range(5):
        count, position = await read(source, position)
        assert count == 10
        await trio.sleep(1)
    await read(source, position)
    progress = source.progress()
    assert (progress.done, progress.total) == (50, 100)
    assert progress.events_per_second == pytest.approx(12)
    assert progress.eta_seconds == pytest.approx(5)
    moved = source.moved_at
    await trio.sleep(60)
    await read(source, position)
    assert source.moved_at == moved
    assert source.progress().events_per_second == pytest.approx(0, abs=0.5)
    await read(source, 100)
    assert source.progress().eta_seconds == 0


async def test_a_held_reader_stops_where_the_log_ended(log: Any) -> None:
    log.publish("a", [b"x"] * 3)
    end = log.publish("a", [b"x"] * 3)
    source = WatchedSource(log, TENANT)
    source.hold(source.heads())
    log.publish("a", [b"x"] * 5)
    assert await read(source, 0, 100) == (6, end)
    assert await read(source, end, 100) == (0, end)
    woken: list[int] = []

    async def wait() -> None:
        await source.wait_for_events(TENANT, {LOCAL: end, GLOBAL: 0})
        woken.append(end)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        log.publish("a", [b"x"])
        await trio.testing.wait_all_tasks_blocked()
        assert woken == []
        source.release()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [end]
    assert await read(source, end, 100) == (6, end + 6)


async def test_it_gives_way_to_those_who_append(log: Any) -> None:
    log.publish("a", [b"x"])
    source = WatchedSource(log, TENANT, gives_way=True)
    for appended, worked, rest in ((False, 0.02, 0), (True, 0.02, 0.02), (False, 0.02, 0), (True, 9, REST_SECONDS_MAX)):
        await read(source, 0)
        await trio.sleep(worked)
        if appended:
            log.publish("a", [b"x"])
        start = trio.current_time()
        await read(source, 0)
        assert trio.current_time() - start == pytest.approx(rest)


async def test_a_log_that_is_not_known_as_far_as_rows_are(log: Any) -> None:
    """As after a start: rows in a file may hold more than the node has heard of the log again."""
    end = log.publish("a", [b"x"] * 3)
    source = WatchedSource(log, TENANT)
    assert await source.knows({})
    assert await source.knows({LOCAL: end})
    assert not await source.knows({LOCAL: end + 2})
    log.publish("a", [b"x"] * 2)
    assert await source.knows({LOCAL: end + 2})
