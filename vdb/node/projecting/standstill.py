"""Alarms of what stands still: a group that commits nothing while requests wait, a projection that applies nothing.

A projection's lag counts from the head of the log. When the head itself stands still, because nothing commits any
more, every lag is nothing and all looks well: so the groups are watched, too. Each standstill is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio
from attrs import define

from vdb.marks import mark
from vdb.node import log
from vdb.node.replication.group import Group
from vdb.projections.projector import Projector
from vdb.types import GroupId, TenantId

LOOK_SECONDS = 5.0
AT_ONCE = 50
PAUSE_SECONDS = 0.1
STILL_SECONDS = 30.0
"""After so long without a move an alarm is due."""


@define
class _Watched:
    commit: int
    since: float
    told: bool = False


class Standstill:
    """Looks at groups and projections every few seconds."""

    def __init__(self, groups: Iterable[Group], projectors: Callable[[], Iterable[Projector]]) -> None:
        self._groups = tuple(groups)
        self._projectors = projectors
        self._watched: dict[GroupId, _Watched] = {}
        self._told: dict[tuple[TenantId, str], None] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_at_projections)
            while True:
                for group in self._groups:
                    self._look_at_group(group)
                await trio.sleep(LOOK_SECONDS)

    def still_seconds(self, group: GroupId) -> float:
        """How long requests have waited here without any commit; 0 while none wait, or some commit."""
        watched = self._watched.get(group)
        return 0.0 if watched is None else trio.current_time() - watched.since

    async def _look_at_projections(self) -> None:
        """A few at a time: of many tenants there are so many that all at once would hold the loop up."""
        while True:
            for number, projector in enumerate(list(self._projectors()), 1):
                self._look_at_projection(projector)
                if number % AT_ONCE == 0:
                    await trio.sleep(PAUSE_SECONDS)
            await trio.sleep(LOOK_SECONDS)

    def _look_at_group(self, group: Group) -> None:
        watched, commit = self._watched.get(group.name), group.replica.commit_number
        if not group.waiting:
            self._watched.pop(group.name, None)
        elif watched is None or watched.commit != commit:
            self._watched[group.name] = _Watched(commit=commit, since=trio.current_time())
        elif not watched.told and self.still_seconds(group.name) >= STILL_SECONDS:
            mark("standstill.group")
            watched.told = True
            log.warning(
                "group.stands_still",
                group=group.name,
                commit=commit,
                waiting=group.waiting,
                seconds=round(self.still_seconds(group.name)),
            )

    def _look_at_projection(self, projector: Projector) -> None:
        status, name = projector.status(), (projector.tenant, projector.name)
        if not is_still(status.condition, status.rows.lag, status.still_seconds):
            self._told.pop(name, None)
        elif name not in self._told:
            mark("standstill.projection")
            self._told[name] = None
            log.warning(
                "projection.stands_still",
                projection=projector.name,
                tenant=projector.tenant,
                lag=status.rows.lag,
                seconds=round(status.still_seconds),
                reason=_reason(status.condition, status.rows.error),
            )


def is_still(condition: str, lag: int, still_seconds: float) -> bool:
    """Whether a projection should move and doesn't. One that has stopped was reported when it did."""
    return condition != "stopped" and lag > 0 and still_seconds >= STILL_SECONDS


def _reason(condition: str, error: str) -> str:
    """In words of the project's own: an error may hold a handler's."""
    if not error:
        return "no event was applied"
    return "it waits for what the node lacks: see its status" if condition == "held up" else "its handler fails"
