"""Typed events over sockets: the same methods on trio, asyncio and blocking, and a follower that outlives its node."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, frozen

import vdb


@vdb.event("socket-test-counted", subject="who")
@frozen(kw_only=True)
class Counted:
    who: str = ""
    number: int


@define
class Total:
    sum: int = 0

    @vdb.applies(Counted)
    def counted(self, event: Counted) -> None:
        self.sum += event.number


async def use(address: str, stream: str) -> None:
    """What a program does, on whichever loop."""
    async with vdb.connect(address) as db:
        with vdb.context(actor="dr.lee"):
            first = await db.append(stream, [Counted(number=1), Counted(number=2)], expected=vdb.EMPTY, create="phi")
        (cause,) = [one async for one in db.read_events(stream, backward=True, max_events=1)]
        with vdb.context(caused_by=cause):
            await db.append([vdb.StreamEvents(stream, [Counted(number=3, who="p")], expected=2)])
        found = [one async for one in db.read_events(stream)]
        assert [(one.event.number, one.actor, one.subject) for one in found] == [
            (1, "dr.lee", ""),
            (2, "dr.lee", ""),
            (3, "", "p"),
        ]
        assert found[2].causation_id == found[1].event_id == cause.event_id
        assert found[2].correlation_id == found[0].event_id
        assert [one.offset async for one in db.read_events(prefix=stream, from_position=first.position)] == [2]
        assert await db.aggregate(Total, stream) == (Total(6), 3)
        assert await db.aggregate(Total, stream, at=2) == (Total(3), 2)
        with pytest.raises(vdb.errors.WrongExpectedOffset):
            await db.append(stream, [Counted(number=9)], expected=0)
        with pytest.raises(vdb.errors.UnknownStream):
            [one async for one in db.read_events("nowhere")]


@pytest.mark.parametrize("run", [trio.run, lambda main: asyncio.run(main())], ids=["trio", "asyncio"])
def test_on_every_loop(node: Any, run: Callable[..., Any], request: pytest.FixtureRequest) -> None:
    run(lambda: use(node.address, f"loop-{request.node.callspec.id}"))


def test_blocking(node: Any) -> None:
    with vdb.connect_sync(node.address) as db:
        with vdb.context(actor="nurse"):
            db.append("blocking", [Counted(number=number) for number in range(2500)], create="phi")
        found = list(db.read_events("blocking"))
        assert [one.event.number for one in found] == list(range(2500))
        assert {one.actor for one in found} == {"nurse"}
        assert found[::-1] == list(db.read_events(prefix="block", types=Counted, backward=True))
        assert db.aggregate(Total, "blocking") == (Total(sum(range(2500))), 2500)


def test_a_follower_outlives_its_node(start_node: Any, tmp_path: Path) -> None:
    first = start_node(tmp_path)
    address = first.address
    found: list[vdb.RecordedEvent] = []

    def follow() -> None:
        with vdb.connect_sync(address) as db:
            found.extend(db.read_events(prefix="kept", follow=True, max_events=60))

    with vdb.connect_sync(address) as db:
        db.append("kept", [Counted(number=0)], create="phi")
        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(1, 30):
            db.append("kept", [Counted(number=number)])
        first.end(signal.SIGKILL)
        config = str(tmp_path / "node.toml")
        start_node(tmp_path, arguments=["start", "--config", config, "--address", address])
        for number in range(30, 60):
            db.append("kept", [Counted(number=number)])
        thread.join()
        assert found == list(db.read_events("kept"))
    assert [one.event.number for one in found] == list(range(60))
