"""How far a reader of the log is, and how fast: an EventSource around another that watches its one reader.

Rules
- It changes neither what is read nor the order; it may let its reader wait.
- A reader that gives way rests about as long as it works while others append, so that a rebuild takes at most half of
  the time that the writers would have. While nobody appends it doesn't rest.
- A reader that is held reads up to where the log ended at that moment, and nothing beyond until it is released.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import trio
from attrs import frozen

from vdb.projections.source import EventSource, OpenedRun
from vdb.types import GroupId, TenantId

REST_SECONDS_MAX = 0.1
WINDOW_SECONDS = 10.0
"""Over which a rate is measured."""
SAMPLE_SECONDS = 0.25


@frozen(kw_only=True)
class Progress:
    """Positions of the tenant's groups, added up."""

    done: int
    total: int
    events_per_second: float
    eta_seconds: float | None
    """None: not known yet."""


class WatchedSource:
    """Implements `vdb.projections.source.EventSource`."""

    def __init__(self, inner: EventSource, tenant: TenantId, *, gives_way: bool = False) -> None:
        self._inner = inner
        self._tenant = tenant
        self._gives_way = gives_way
        self._positions: dict[GroupId, int] = {}
        self._heads = self._read_heads()
        self._handed_out_at = self.moved_at = trio.current_time()
        self._events = 0
        self._samples: deque[tuple[float, int, int]] = deque()  # time, events, positions done
        self._bounds: dict[GroupId, int] | None = None
        self._released = trio.Event()

    # What the reader asks --------------------------------------------------------------------------------------

    def groups(self) -> Sequence[GroupId]:
        return self._inner.groups()

    def head(self, tenant: TenantId, group: GroupId) -> int:
        return self._inner.head(tenant, group)

    async def read_log(
        self, tenant: TenantId, group: GroupId, from_position: int, max_events: int
    ) -> tuple[Sequence[OpenedRun], int]:
        self._note(group, from_position)
        if self._gives_way:
            await self._rest()
        if self._is_held(group, from_position):
            return (), from_position
        runs, next_position = await self._inner.read_log(tenant, group, from_position, max_events)
        if self._bounds is not None and next_position > self._bounds[group]:
            runs, next_position = _up_to(runs, self._bounds[group]), max(from_position, self._bounds[group])
        self._events += sum(run.count for run in runs)
        self._handed_out_at = trio.current_time()
        return runs, next_position

    async def wait_for_events(self, tenant: TenantId, positions: Mapping[GroupId, int]) -> None:
        while self._bounds is not None and all(self._is_held(group, at) for group, at in positions.items()):
            await self._released.wait()
        await self._inner.wait_for_events(tenant, positions)

    # Holding ---------------------------------------------------------------------------------------------------

    def hold(self, positions: Mapping[GroupId, int]) -> None:
        """Let the reader go no further than these positions, which are ends of the log as it was."""
        self._bounds = dict(positions)
        self._released = trio.Event()

    def release(self) -> None:
        """Let it go on."""
        self._bounds = None
        self._released.set()

    @property
    def events(self) -> int:
        """Events that were handed out."""
        return self._events

    # How far it is ---------------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        heads = self._read_heads()
        done, total = self._done(heads), sum(heads.values())
        events_per_second = positions_per_second = 0.0
        if self._samples:
            at, events, positions = self._samples[0]
            seconds = max(trio.current_time() - at, SAMPLE_SECONDS)
            events_per_second = (self._events - events) / seconds
            positions_per_second = (done - positions) / seconds
        left = max(total - done, 0)
        eta = 0.0 if left == 0 else left / positions_per_second if positions_per_second > 0 else None
        return Progress(done=done, total=total, events_per_second=events_per_second, eta_seconds=eta)

    def heads(self) -> dict[GroupId, int]:
        """Where the tenant's events end now, by group."""
        return self._read_heads()

    async def knows(self, positions: Mapping[GroupId, int]) -> bool:
        """Whether the log is known here up to these positions, whosever events lie before them."""
        for group, position in positions.items():
            head = self._inner.head(self._tenant, group)
            if head < position:
                _, known = await self._inner.read_log(self._tenant, group, head, 1)
                if known < position:
                    return False
        return True

    def _read_heads(self) -> dict[GroupId, int]:
        return {group: self._inner.head(self._tenant, group) for group in self._inner.groups()}

    def _done(self, heads: Mapping[GroupId, int]) -> int:
        return sum(min(self._positions.get(group, 0), head) for group, head in heads.items())

    def _note(self, group: GroupId, position: int) -> None:
        now = trio.current_time()
        if position > self._positions.get(group, -1):
            self._positions[group] = position
            self.moved_at = now
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self._events, self._done(self._read_heads())))
            while len(self._samples) > 1 and now - self._samples[1][0] > WINDOW_SECONDS:
                self._samples.popleft()

    def _is_held(self, group: GroupId, position: int) -> bool:
        return self._bounds is not None and position >= self._bounds.get(group, 0)

    async def _rest(self) -> None:
        heads = self._read_heads()
        if heads != self._heads:
            self._heads = heads
            worked = trio.current_time() - self._handed_out_at
            await trio.sleep(min(worked, REST_SECONDS_MAX))


def _up_to(runs: Sequence[OpenedRun], bound: int) -> list[OpenedRun]:
    """Those before a position; no run lies across what was once the end of the log."""
    kept = [run for run in runs if run.first_position < bound]
    assert not kept or kept[-1].next_position <= bound, "a run lies across what was the end of the log"
    return kept
