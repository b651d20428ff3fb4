"""Inline projections: the answer of an append waits until they have its events, so that who wrote can read it there.

Rules
- An append waits for those inline projections of its tenant that read one of its streams, on the node that answers it.
  It is committed before that: what it waits for can't undo it, and a projection that has stopped holds up nobody.
- Nobody waits for longer than WAIT_SECONDS. A projection that takes longer (it is being opened or built, its disk is
  full) is told to the log, and is behind: nobody waits for it until it has caught up.
- Answers are given in the order of their positions, as far as they wait for the same projection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import trio
from attrs import define

from vdb.errors import UnknownProjection, VerityError
from vdb.marks import mark
from vdb.node import log
from vdb.projections.config import ProjectionConfig, for_tenant
from vdb.types import GroupId, TenantId

WAIT_SECONDS = 5.0
START_SECONDS = 0.01
"""Between two looks at a projection of a tenant that has just got its first stream."""

Tell = Callable[[], None]


class Applying(Protocol):
    """What is asked of the node's projections (`vdb.node.projecting.projecting.ProjectionManager`)."""

    async def wait_for(
        self, tenant: TenantId, name: str, positions: Mapping[GroupId, int], timeout_s: float
    ) -> bool: ...


@define(eq=False)
class _Held:
    """An answer, and how many projections it still waits for."""

    tell: Tell
    left: int

    def release(self) -> None:
        self.left -= 1
        if not self.left:
            self.tell()


_Line = tuple[TenantId, GroupId, str]
"""Those who wait for one projection, in one group."""


class InlineProjections:
    """See the module's docstring. One per node; `run` is its task."""

    def __init__(
        self, projections: Applying, configs: Sequence[ProjectionConfig], wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._projections = projections
        self._configs = tuple(config for config in configs if config.inline)
        self._wait_seconds = wait_seconds
        self._of_tenant: dict[TenantId, list[ProjectionConfig]] = {}
        self._lines: dict[_Line, deque[tuple[int, _Held]]] = {}
        self._behind: dict[_Line, int] = {}
        """The position that each of these has to reach before anybody waits for it again."""
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled: then every answer that waits is given."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def awaited(self, tenant: int, streams: Sequence[str]) -> Sequence[str]:
        """The projections that an append to these streams waits for."""
        if not self._configs:
            return ()
        configs = self._of_tenant.get(TenantId(tenant))
        if configs is None:
            configs = self._of_tenant[TenantId(tenant)] = for_tenant(self._configs, TenantId(tenant))
        wanted = [config.name for config in configs if any(map(config.streams.wants, streams))]
        return list(dict.fromkeys(wanted))

    def hold(self, names: Sequence[str], tenant: int, group: GroupId, position: int, tell: Tell) -> None:
        """Call `tell` once these projections have everything before the position, at once if they needn't be waited
        for."""
        lines = [(TenantId(tenant), group, name) for name in names]
        lines = [line for line in lines if not self._is_behind(line, position)]
        if not lines or self._nursery is None:
            tell()
            return
        held = _Held(tell, len(lines))
        for line in lines:
            waiting = self._lines.get(line)
            if waiting is None:
                waiting = self._lines[line] = deque()
                self._nursery.start_soon(self._serve, line, waiting)
            waiting.append((position, held))

    def _is_behind(self, line: _Line, position: int) -> bool:
        if line not in self._behind:
            return False
        self._behind[line] = max(position, self._behind[line])
        return True

    async def _serve(self, line: _Line, waiting: deque[tuple[int, _Held]]) -> None:
        """Answer those who wait in one line, until it is empty."""
        try:
            while waiting:
                if await self._reached(line, waiting[0][0], self._wait_seconds):
                    waiting.popleft()[1].release()
                else:
                    await self._catch_up(line, waiting)
        finally:
            del self._lines[line]
            _release_all(waiting)

    async def _catch_up(self, line: _Line, waiting: deque[tuple[int, _Held]]) -> None:
        """It takes too long: answer all who wait, and hold up nobody until it has everything."""
        mark("inline.behind")
        tenant, group, name = line
        log.warning("projection.behind", projection=name, tenant=tenant, group=group)
        self._behind[line] = waiting[-1][0]
        try:
            _release_all(waiting)
            reached = -1
            while reached < self._behind[line]:
                reached = self._behind[line]
                await self._reached(line, reached, float("inf"))
        finally:
            del self._behind[line]

    async def _reached(self, line: _Line, position: int, seconds: float) -> bool:
        """Whether it has everything before the position in so many seconds, or has stopped."""
        tenant, group, name = line
        with trio.move_on_after(seconds):
            while True:
                try:
                    return await self._projections.wait_for(tenant, name, {group: position}, seconds)
                except UnknownProjection:
                    await trio.sleep(START_SECONDS)
                except VerityError:
                    mark("inline.stopped")
                    return True
        return False


def _release_all(waiting: deque[tuple[int, _Held]]) -> None:
    while waiting:
        waiting.popleft()[1].release()
