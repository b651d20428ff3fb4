"""The part of the face that reads typed events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from vdb.client.face_base import LINEARIZABLE, FaceBase, read_level
from vdb.client.recorded_events import ReadPlan, RecordedEvents
from vdb.client.values import check_number, check_text
from vdb.errors import InvalidArgument
from vdb.events.registry import EventRegistry
from vdb.events.times import time_us
from vdb.selection import EventFilter, EventStart, Selected, StartKind
from vdb.types import U64_MAX, Consistency, GroupId, Position

EVENTS_PER_FETCH = 1000
EventKind = type[Any] | str
"""A registered class, or the name of a type; "" is that of opaque payloads."""


class EventFace(FaceBase):
    """Reading typed events."""

    def read_events(
        self,
        stream: str | None = None,
        *,
        prefix: str | None = None,
        prefixes: Iterable[str] = (),
        types: EventKind | Iterable[EventKind] = (),
        from_offset: int | None = None,
        from_position: Position | str | None = None,
        from_time: datetime | int | None = None,
        backward: bool = False,
        follow: bool = False,
        max_events: int | None = None,
        group: GroupId | str | None = None,
        ignore_unknown: bool = False,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> RecordedEvents:
        """Iterate over events in the order of their commit, decoded and upcast: `async for event in db.read_events()`.

        Of one `stream`; or of all streams of a group (a region's name or 'global'; None: that of the position, or the
        node's region) whose names begin with `prefix`, or one of `prefixes`. `types`: classes, or names of types.

        It begins with the first event, or at one of: an offset of the stream; a position; a time (a datetime with a
        zone, or microseconds UTC: the first event appended then or later). `backward`: from the last event down, or
        from just before that place: a place parts the log into what is read forward and what is read backward from it.
        `follow`: goes on into what is appended from now on, and never ends.

        An event of an unknown type raises UnknownEventType, unless `ignore_unknown` passes over it. InvalidEvent: a
        body that doesn't fit its class. `timeout`: seconds for each piece that is fetched.
        """
        wanted = EventFilter(
            stream="" if stream is None else _text(stream, "a stream's name"),
            prefixes=_prefixes(prefix, prefixes),
            types=event_types(self.registry, types),
        )
        if stream == "":
            raise InvalidArgument("a stream's name isn't empty; None reads all streams")
        if follow and backward:
            raise InvalidArgument("following goes forward: expected either follow or backward, found both")
        place = None if from_position is None else _position(from_position)
        start = event_start(from_offset, place, from_time, of_stream=stream is not None)
        if max_events is not None:
            check_number(max_events, U64_MAX, "max_events")
        level = read_level(consistency, at_least)
        seconds = self._seconds(timeout)
        chosen = _group(group, place)

        async def fetch(at: EventStart, maximum: int, wait: float) -> Selected:
            nonlocal chosen
            if stream is not None:
                where = await self._group_of(stream, level, seconds)
                if chosen not in (None, where):
                    raise InvalidArgument(f"stream '{stream}' lies in group {where}; found a position of {chosen}")
                chosen = where
            elif chosen is None:
                chosen = GroupId(await self._region_of_node(timeout))
            return await self._gateway.read_events(
                self.tenant,
                chosen,
                wanted,
                at,
                backward=backward,
                max_events=maximum,
                wait=wait,
                level=level,
                timeout=seconds,
            )

        plan = ReadPlan(
            start=start,
            goes_on=StartKind.POSITION if stream is None else StartKind.OFFSET,
            backward=backward,
            follow=follow,
            max_events=max_events,
            per_fetch=EVENTS_PER_FETCH,
            registry=self.registry,
            ignore_unknown=ignore_unknown,
        )
        return RecordedEvents(fetch, plan)


def event_types(registry: EventRegistry, types: EventKind | Iterable[EventKind]) -> tuple[str, ...]:
    """The names of these classes and types; UnknownEventType for a class that isn't registered."""
    given = (types,) if isinstance(types, str | type) else tuple(types)
    for kind in given:
        if not isinstance(kind, str | type):
            raise InvalidArgument(f"a type of events is a class or its name; found {type(kind).__name__}")
    return tuple(dict.fromkeys(registry.name_of(kind) for kind in given))


def event_start(
    offset: int | None, position: Position | None, time: datetime | int | None, *, of_stream: bool
) -> EventStart:
    """Where a read begins. InvalidArgument for more than one place, and for an offset of no stream."""
    given = [name for name, value in (("offset", offset), ("position", position), ("time", time)) if value is not None]
    if len(given) > 1:
        raise InvalidArgument(f"a read begins at one place; found {' and '.join(f'from_{name}' for name in given)}")
    if offset is not None:
        if not of_stream:
            raise InvalidArgument("from_offset counts the events of one stream: expected a stream")
        return EventStart(StartKind.OFFSET, check_number(offset, U64_MAX, "from_offset"))
    if position is not None:
        return EventStart(StartKind.POSITION, position.number)
    if time is not None:
        return EventStart(StartKind.TIME, time_us(time, "from_time"))
    return EventStart()


def _text(value: str, what: str) -> str:
    check_text(value, what)
    return value


def _prefixes(prefix: str | None, prefixes: Iterable[str]) -> tuple[str, ...]:
    if isinstance(prefixes, str):
        raise InvalidArgument("prefixes are a list; one alone is given as prefix")
    found = tuple(prefixes) if prefix is None else (prefix, *prefixes)
    return tuple(_text(one, "a prefix") for one in found)


def _position(value: Position | str) -> Position:
    return value if isinstance(value, Position) else Position.parse(_text(value, "a position"))


def _group(group: GroupId | str | None, place: Position | None) -> GroupId | None:
    """The group that is named, if one is."""
    named = None if group is None else GroupId(str(group))
    if place is None:
        return named
    if named not in (None, place.group):
        raise InvalidArgument(f"group {named} has no position {place}")
    return place.group
