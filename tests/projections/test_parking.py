"""What a runner does with events that handlers fail at: parked behind their key, skipped, tried again, dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from attrs import frozen

import vdb
from vdb.errors import InvalidArgument, ProjectionFailed
from vdb.projections import parking
from vdb.projections.runner import ProjectionRunner
from vdb.types import GroupId, Position, TenantId

LOCAL = GroupId("eu-west-1")
NAMES = vdb.Table("names", columns={"at": "integer", "name": "text"}, key="at")


@vdb.event("parking-named", subject="whose")
@frozen(kw_only=True)
class Named:
    name: str
    whose: str = ""


def make_names(bad: list[str], **more: Any) -> vdb.Projection:
    """Fails at the names in `bad`, for as long as they are in it."""
    names = vdb.Projection("names", streams=("a", "b"), tables=[NAMES], **more)

    @names.on(Named)
    def named(event: Named, context: vdb.Context) -> None:
        if event.name in bad:
            raise ValueError(event.name)
        context.db.execute("INSERT INTO names VALUES (?, ?)", (context.position.number, event.name))

    return names


@asynccontextmanager
async def running(log: Any, disk: Any, projection: Any, **more: Any) -> AsyncIterator[ProjectionRunner]:
    async def key_for(tenant: TenantId, name: str) -> bytes:
        return bytes(32)

    runner = ProjectionRunner(
        disk=disk, source=log, config=projection.config(), tenant=TenantId(1), key_for=key_for, **more
    )
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(runner.run)
            yield runner
            nursery.cancel_scope.cancel()


def publish(log: Any, typed: Any, stream: str, *names: str, whose: str = "") -> int:
    end: int = log.publish(stream, [typed(Named(name=name, whose=whose), subject=whose) for name in names])
    return end


async def names_of(runner: ProjectionRunner) -> list[str]:
    return [row[1] for row in (await runner.rows("names")).rows]


async def test_later_events_of_the_key_wait_and_others_go_on(log: Any, disk: Any, typed: Any) -> None:
    bad = ["Bob"]
    publish(log, typed, "a", "Ann", "Bob", "Cid", whose="p1")
    publish(log, typed, "a", "Dan", whose="p2")
    end = publish(log, typed, "b", "Eve", whose="p1")
    async with running(log, disk, make_names(bad, on_error="park")) as runner:
        await runner.wait_for({LOCAL: end})
        assert await names_of(runner) == ["Ann", "Dan"]
        assert (runner.status().parked, runner.status().skipped, runner.status().error) == (3, 0, "")
        end = publish(log, typed, "a", "Fay", whose="p1")
        end = publish(log, typed, "a", "Gus", whose="p2")
        await runner.wait_for({LOCAL: end})
        assert await names_of(runner) == ["Ann", "Dan", "Gus"]
        (event,) = await runner.shelf.events(10)
        assert (event.position, event.stream, event.type, event.key) == (Position(LOCAL, 1), "a", "parking-named", "p1")
        assert (event.error, event.attempts, event.waiting, event.skipped) == ("ValueError", 1, 3, False)
    async with running(log, disk, make_names(bad, on_error="park")) as runner:
        assert runner.status().parked == 4
        assert await runner.shelf.retry() == 0
        (event,) = await runner.shelf.events(10)
        assert (event.attempts, event.waiting) == (2, 3)
        bad[:] = ["Eve"]
        assert await runner.shelf.retry(Position(LOCAL, 1)) == 2
        assert await names_of(runner) == ["Ann", "Bob", "Cid", "Dan", "Gus"]
        (event,) = await runner.shelf.events(10)
        assert (event.position.number, event.waiting, runner.status().parked) == (4, 1, 2)
        assert await runner.shelf.drop(Position(LOCAL, 4)) == 1
        assert await names_of(runner) == ["Ann", "Bob", "Cid", "Dan", "Fay", "Gus"]
        assert (runner.status().parked, runner.status().skipped) == (0, 1)
        (event,) = await runner.shelf.events(10)
        assert (event.skipped, event.error, event.attempts) == (True, "ValueError", 1)
        end = publish(log, typed, "a", "Hal", whose="p1")
        await runner.wait_for({LOCAL: end})
        assert "Hal" in await names_of(runner)
        with pytest.raises(InvalidArgument, match="projection 'names' has no parked event at eu-west-1:4"):
            await runner.shelf.retry(Position(LOCAL, 4))


async def test_what_is_parked_ahead_of_the_log_waits_for_it(log: Any, disk: Any, typed: Any) -> None:
    """A node that came back may not know yet how far its log is committed, and its files are ahead of it."""
    bad = ["Bob"]
    end = publish(log, typed, "a", "Ann", "Bob", "Cid", whose="p1")
    async with running(log, disk, make_names(bad, on_error="park")) as runner:
        await runner.wait_for({LOCAL: end})
        bad.clear()
        runs, log.runs[LOCAL] = log.runs[LOCAL], []
        assert await runner.shelf.retry() == 0
        (event,) = await runner.shelf.events(10)
        assert (event.attempts, event.waiting) == (1, 1)
        log.runs[LOCAL] = runs
        assert await runner.shelf.retry() == 2
        assert await names_of(runner) == ["Ann", "Bob", "Cid"]


async def test_without_a_subject_the_stream_is_the_key(log: Any, disk: Any, typed: Any) -> None:
    publish(log, typed, "a", "Bob", "Cid")
    end = publish(log, typed, "b", "Dan")
    async with running(log, disk, make_names(["Bob"], on_error="park")) as runner:
        await runner.wait_for({LOCAL: end})
        assert await names_of(runner) == ["Dan"]
        assert await runner.shelf.drop() == 2
        assert (runner.status().parked, runner.status().skipped) == (0, 2)
        assert await names_of(runner) == ["Dan"]


async def test_skipped_events_are_recorded(log: Any, disk: Any, typed: Any) -> None:
    end = publish(log, typed, "a", "Bob", "Cid", "Bob", "Dan")
    async with running(log, disk, make_names(["Bob"], on_error="skip"), batch_events=3) as runner:
        await runner.wait_for({LOCAL: end})
        assert await names_of(runner) == ["Cid", "Dan"]
        assert [(event.position.number, event.skipped) for event in await runner.shelf.events(10)] == [
            (0, True),
            (2, True),
        ]
        assert (runner.status().parked, runner.status().skipped) == (0, 2)


async def test_what_cannot_be_decoded_is_parked_too(log: Any, disk: Any, envelope: Any, typed: Any) -> None:
    log.publish("a", [envelope("parking-named", b'{"name": 5}', subject="p1"), b"no envelope at all"])
    end = publish(log, typed, "b", "Dan")
    async with running(log, disk, make_names([], on_error="park")) as runner:
        await runner.wait_for({LOCAL: end})
        assert await names_of(runner) == ["Dan"]
        one, other = await runner.shelf.events(10)
        assert one.error == ("InvalidEvent: event 'parking-named' version 1: Expected `str`, got `int` at $.name")
        assert (other.type, other.key, other.error.partition(":")[0]) == ("", "a", "WireError")


async def test_too_many_parked_events_stop_it(log: Any, disk: Any, typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PARKED_MAX", 2)
    end = publish(log, typed, "a", "Bob", "Cid", "Dan", "Eve")
    async with running(log, disk, make_names(["Bob"], on_error="park")) as runner:
        with pytest.raises(ProjectionFailed, match="more than 2 events are parked: retry or drop them"):
            await runner.wait_for({LOCAL: end})


def test_a_batch_waits_for_its_events(log: Any, disk: Any, typed: Any) -> None:
    async def main() -> None:
        async with running(log, disk, make_names([], batch_seconds=2.0, batch_events=3)) as runner:
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            await runner.wait_for({LOCAL: publish(log, typed, "a", "Ann")})
            assert trio.current_time() - began == pytest.approx(2.0)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            publish(log, typed, "a", "Bob")
            await trio.sleep(0.5)
            await runner.wait_for({LOCAL: publish(log, typed, "a", "Cid", "Dan")})
            assert trio.current_time() - began == pytest.approx(0.5)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
