"""The part of the face that reads payloads: of one stream, or of a group's log, forward."""

from __future__ import annotations

from vdb.client.face_base import LINEARIZABLE, FaceBase, check_start, read_level
from vdb.client.follow import EventIterator
from vdb.client.values import Event, check_text
from vdb.limits import EVENTS_PER_APPEND_MAX
from vdb.types import Consistency, GroupId, Position, ReadLevel

READ_EVENTS = 1000
"""Events asked for at a time."""


class ReadFace(FaceBase):
    """Reading payloads."""

    async def read(
        self,
        stream: str,
        from_offset: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events from an offset on; fewer only at the stream's end."""
        events: list[Event] = []
        iterator = self.events(
            stream, from_offset, max_events=max_events, consistency=consistency, at_least=at_least, timeout=timeout
        )
        while batch := await iterator.next_batch():
            events += batch
        return events

    def events(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        max_events: int | None = None,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> EventIterator:
        """Iterate over a stream from an offset to where it ends at the time of the last read."""
        level = read_level(consistency, at_least)
        return self._iterate(stream, from_offset, max_events, follow=False, level=level, timeout=timeout)

    def follow(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> EventIterator:
        """Iterate over a stream from an offset through its history into what is appended from now on; never ends."""
        level = read_level(consistency, at_least)
        return self._iterate(stream, from_offset, None, follow=True, level=level, timeout=timeout)

    def log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        *,
        max_events: int | None = None,
        follow: bool = False,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> EventIterator:
        """Iterate over all events of the tenant in one group (a region's name or 'global'), in commit order."""
        check_start(from_position)
        level = read_level(consistency, at_least)
        name = GroupId(str(group))
        seconds = self._seconds(timeout)

        async def fetch(start: int, maximum: int, wait: float) -> tuple[list[Event], int, int]:
            page = await self._gateway.read_log(
                self.tenant, name, start, max_events=maximum, wait=wait, level=level, timeout=seconds
            )
            return [event for run in page.runs for event in run.events(name)], page.next, page.head

        return EventIterator(fetch, from_position, max_events, follow=follow, per_fetch=READ_EVENTS)

    async def read_log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events of the tenant in one group, in commit order; fewer only at the log's end."""
        events: list[Event] = []
        iterator = self.log(
            group, from_position, max_events=max_events, consistency=consistency, at_least=at_least, timeout=timeout
        )
        while batch := await iterator.next_batch():
            events += batch
        return events

    async def event_ids(self, stream: str, from_offset: int = 0, *, timeout: float | None = None) -> list[bytes]:
        """The event ids of a stream from an offset to its end, without payloads. Events without an id are left out."""
        found: list[bytes] = []
        while True:
            ids, following = await self.read_event_ids(stream, from_offset, timeout=timeout)
            found += ids
            if following <= from_offset:
                return found
            from_offset = following

    async def read_event_ids(
        self, stream: str, from_offset: int, *, timeout: float | None = None
    ) -> tuple[list[bytes], int]:
        """Ids of the next events, and the offset to go on from: `from_offset` itself at the stream's end."""
        check_text(stream, "a stream's name")
        check_start(from_offset)
        page = await self._gateway.read(
            self.tenant,
            stream,
            from_offset,
            max_events=EVENTS_PER_APPEND_MAX,
            wait=0.0,
            ids_only=True,
            level=LINEARIZABLE,
            timeout=self._seconds(timeout),
        )
        return [event_id for run in page.runs for event_id in run.event_ids], max(page.next, from_offset)

    def _iterate(
        self,
        stream: str,
        from_offset: int,
        max_events: int | None,
        *,
        follow: bool,
        level: ReadLevel,
        timeout: float | None,
    ) -> EventIterator:
        check_text(stream, "a stream's name")
        check_start(from_offset)
        seconds = self._seconds(timeout)

        async def fetch(start: int, maximum: int, wait: float) -> tuple[list[Event], int, int]:
            group = await self._group_of(stream, level, seconds)
            page = await self._gateway.read(
                self.tenant,
                stream,
                start,
                max_events=maximum,
                wait=wait,
                ids_only=False,
                level=level,
                timeout=seconds,
            )
            return [event for run in page.runs for event in run.events(group)], page.next, page.head

        return EventIterator(fetch, from_offset, max_events, follow=follow, per_fetch=READ_EVENTS)
