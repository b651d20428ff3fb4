"""What `create_consumer` is given, checked and turned into `ConsumerSettings`.

Durations are seconds or timedeltas; types of events are registered classes or names; errors name the argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from vdb.client.values import U32_MAX, check_number, check_text
from vdb.consumers import ConsumerSettings, OrderedBy
from vdb.errors import InvalidArgument
from vdb.events import REGISTRY
from vdb.events.times import time_us
from vdb.limits import CONSUMER_DELAY_SECONDS_MAX, STREAM_NAME_BYTES_MAX
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.types import U64_MAX, Position

T = TypeVar("T")

Seconds = float | timedelta
"""A duration."""

AnyStart = str | int | Position | datetime
"""'first', 'last', an offset of the one stream that is meant, a position, or a time with a zone."""

AnyType = type[Any] | str
"""A registered class, or the name of a type."""

WAITING_SECONDS_MAX = 10 * 365 * 24 * 3600
"""Of the wait of a fetch."""
_BACKOFF_ENDS = 2
_ORDERS = {None: OrderedBy.NOTHING, "stream": OrderedBy.STREAM, "subject": OrderedBy.SUBJECT}


def consumer_settings(
    *,
    stream: str,
    prefixes: Sequence[str],
    types: Sequence[AnyType],
    start: AnyStart,
    ack_deadline: Seconds,
    max_in_flight: int,
    max_in_flight_member: int,
    ordered_by: str | None,
    max_deliver: int,
    backoff: tuple[Seconds, Seconds],
) -> ConsumerSettings:
    """See `create_consumer`. InvalidArgument names what doesn't do."""
    first, longest = _backoff(backoff)
    if check_number(max_in_flight, U32_MAX, "max_in_flight") < 1:
        raise InvalidArgument("max_in_flight: expected at least 1 delivery, found 0")
    if ordered_by not in _ORDERS:
        raise InvalidArgument(f"ordered_by: expected None, 'stream' or 'subject', found {ordered_by!r}")
    ack_us = duration_us(ack_deadline, "ack_deadline")
    if not ack_us:
        raise InvalidArgument("ack_deadline: expected more than 0 seconds, found 0")
    return ConsumerSettings(
        filter=event_filter(stream=stream, prefixes=prefixes, types=types),
        start=event_start(start, has_stream=bool(stream)),
        ack_us=ack_us,
        in_flight_max=max_in_flight,
        member_in_flight_max=check_number(max_in_flight_member, U32_MAX, "max_in_flight_member"),
        ordered_by=_ORDERS[ordered_by],
        max_deliver=check_number(max_deliver, U32_MAX, "max_deliver"),
        backoff_us=first,
        backoff_max_us=longest,
    )


def event_filter(*, stream: str, prefixes: Sequence[str], types: Sequence[AnyType]) -> EventFilter:
    """UnknownEventType for a class that isn't registered."""
    check_text(stream, "a stream's name")
    if stream and prefixes:
        raise InvalidArgument("expected either one stream or prefixes, found both")
    return EventFilter(
        stream=stream,
        prefixes=tuple(_prefix(prefix) for prefix in _several(prefixes, "prefixes")),
        types=tuple(type_name(each) for each in _several(types, "types")),
    )


def _prefix(prefix: str) -> str:
    size = len(check_text(prefix, "a prefix of streams"))
    if not 1 <= size <= STREAM_NAME_BYTES_MAX:
        raise InvalidArgument(f"a prefix of streams has 1 to {STREAM_NAME_BYTES_MAX} bytes; found {size}")
    return prefix


def type_name(value: AnyType) -> str:
    """The name that an event's type is stored with."""
    if isinstance(value, type):
        return REGISTRY.type_of(value).name
    check_text(value, "a type of events")
    return value


def _several(values: Sequence[T], what: str) -> Sequence[T]:
    if isinstance(values, str | type):
        raise InvalidArgument(f"{what}: expected several, such as ({_shown(values)},), found one alone")
    return values


def _shown(value: str | type) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def event_start(start: AnyStart, *, has_stream: bool) -> EventStart:
    """Where to begin."""
    if isinstance(start, Position):
        return EventStart(StartKind.POSITION, check_number(start.number, U64_MAX, "the number of a position"))
    if isinstance(start, datetime):
        return EventStart(StartKind.TIME, time_us(start, "start"))
    if start == "first":
        return EventStart()
    if start == "last":
        return EventStart(StartKind.END)
    if isinstance(start, int) and not isinstance(start, bool):
        if not has_stream:
            raise InvalidArgument("start: an offset is of one stream: expected stream=NAME with it, found none")
        return EventStart(StartKind.OFFSET, check_number(start, U64_MAX, "start, as an offset"))
    raise InvalidArgument(
        "start: expected 'first', 'last', an offset, a Position or a datetime with a zone, found "
        + (repr(start) if isinstance(start, str) else type(start).__name__)
    )


def duration_us(value: Seconds, what: str, most: int = CONSUMER_DELAY_SECONDS_MAX) -> int:
    """Microseconds of a duration of at most so many seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidArgument(f"{what}: expected seconds or a timedelta, found {type(value).__name__}")
    if not math.isfinite(seconds) or not 0 <= seconds <= most:
        raise InvalidArgument(f"{what}: expected 0 to {most} seconds, found {seconds}")
    return round(seconds * 1e6)


def _backoff(backoff: tuple[Seconds, Seconds]) -> tuple[int, int]:
    if not isinstance(backoff, tuple | list) or len(backoff) != _BACKOFF_ENDS:
        raise InvalidArgument("backoff: expected (first, longest) in seconds, such as (1.0, 60.0)")
    first, longest = (duration_us(end, "backoff") for end in backoff)
    if first > longest:
        raise InvalidArgument(f"backoff: expected the first pause to be at most the longest, found {backoff!r}")
    return first, longest
