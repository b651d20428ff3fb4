"""Alarms: a head that stands still while requests wait, a projection that stands still while events wait."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from vdb.node.projecting.standstill import LOOK_SECONDS, STILL_SECONDS, Standstill, is_still
from vdb.projections.running import ProjectionStatus
from vdb.projections.serving import ProjectorStatus
from vdb.types import GroupId, TenantId


class FakeGroup:
    """The part of a `Group` that is watched."""

    name = GroupId("eu-west-1")

    def __init__(self) -> None:
        self.waiting = 0
        self.replica = self
        self.commit_number = 7


class FakeProjector:
    """The part of a `Projector` that is watched."""

    tenant, name = TenantId(1), "days"

    def __init__(self) -> None:
        self.lag, self.still, self.condition, self.error = 0, 0.0, "following", ""

    def status(self) -> ProjectorStatus:
        rows = ProjectionStatus(
            tenant=self.tenant, name=self.name, version=1, positions={}, lag=self.lag, error=self.error
        )
        return ProjectorStatus(
            rows=rows, generation=1, condition=self.condition, still_seconds=self.still, previous=0, building=None
        )


class Watched:
    def __init__(self) -> None:
        self.group, self.projector = FakeGroup(), FakeProjector()
        self.standstill = Standstill([self.group], lambda: [self.projector])  # type: ignore[list-item]


async def watch(body: Callable[[Watched], Any], caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """Run `body` while it is watched; what was told."""
    watched = Watched()
    caplog.set_level(logging.WARNING, "vdb.node")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.standstill.run)
        await body(watched)
        nursery.cancel_scope.cancel()
    return [(record.msg, record.__dict__["fields"]) for record in caplog.records]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def test_a_head_that_stands_still_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body(watched: Watched) -> None:
        group = watched.group
        await trio.sleep(100)
        assert watched.standstill.still_seconds(group.name) == 0
        group.waiting = 3
        for _ in range(20):  # it moves
            group.commit_number += 1
            await trio.sleep(LOOK_SECONDS)
        assert watched.standstill.still_seconds(group.name) <= 2 * LOOK_SECONDS
        await trio.sleep(200)
        assert watched.standstill.still_seconds(group.name) >= 200 - LOOK_SECONDS
        group.waiting = 0
        await trio.sleep(2 * LOOK_SECONDS)
        assert watched.standstill.still_seconds(group.name) == 0

    ((event, fields),) = await watch(body, caplog)
    assert event == "group.stands_still"
    assert (fields["group"], fields["waiting"]) == ("eu-west-1", 3)
    assert STILL_SECONDS <= fields["seconds"] <= STILL_SECONDS + 3 * LOOK_SECONDS


async def test_a_projection_that_stands_still_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body(watched: Watched) -> None:
        projector = watched.projector
        projector.still = 1000.0
        await trio.sleep(20)
        projector.lag, projector.condition = 9, "held up"
        projector.error = "projection 'days' of tenant 1 waits: the disk is full"
        await trio.sleep(60)
        projector.lag = 0
        await trio.sleep(20)
        projector.lag, projector.condition = 9, "stopped"
        await trio.sleep(60)

    ((event, fields),) = await watch(body, caplog)
    assert event == "projection.stands_still"
    assert (fields["lag"], fields["reason"]) == (9, "it waits for what the node lacks: see its status")


@pytest.mark.parametrize(
    ("condition", "lag", "seconds", "still"),
    [("following", 1, 30, True), ("following", 0, 99, False), ("following", 1, 29, False), ("stopped", 1, 99, False)],
)
def test_what_stands_still(condition: str, lag: int, seconds: float, still: bool) -> None:
    assert is_still(condition, lag, seconds) is still
