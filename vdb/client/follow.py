"""Iterating over events: from history into live, a batch at a time.

The iterator is a plain object that holds no connection and no cancel scope between two batches, so that it may be
driven from several tasks one after the other (the sync face does), and may be dropped at any time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vdb.client.values import Event

Fetch = Callable[[int, int, float], Awaitable[tuple[list[Event], int, int]]]
"""(from, at most so many events, seconds to wait if there are none) to (events, next, head)."""

FOLLOW_WAIT_SECONDS = 20.0


class EventIterator:
    """Asynchronous iterator over events; `next_batch` gives them as they arrive."""

    def __init__(self, fetch: Fetch, start: int, max_events: int | None, *, follow: bool, per_fetch: int) -> None:
        self._fetch = fetch
        self.next = start
        """Where the next batch starts: an offset, or a position's number."""
        self._left = max_events
        self._follow = follow
        self._per_fetch = per_fetch
        self._batch: list[Event] = []
        self._index = 0

    async def next_batch(self) -> list[Event]:
        """At least one event, or an empty list at the end (never when following)."""
        while self._left is None or self._left > 0:
            maximum = self._per_fetch if self._left is None else min(self._left, self._per_fetch)
            wait = FOLLOW_WAIT_SECONDS if self._follow else 0.0
            events, following, head = await self._fetch(self.next, maximum, wait)
            at_end = following <= self.next or (following >= head and not events)
            self.next = max(self.next, following)
            if self._left is not None:
                self._left -= len(events)
            if events:
                return events
            if at_end and not self._follow:
                break
        return []

    def __aiter__(self) -> EventIterator:
        return self

    async def __anext__(self) -> Event:
        if self._index >= len(self._batch):
            self._batch = await self.next_batch()
            self._index = 0
            if not self._batch:
                raise StopAsyncIteration
        event = self._batch[self._index]
        self._index += 1
        return event
