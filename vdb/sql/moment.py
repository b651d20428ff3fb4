"""A moment in a database's past, in any of the forms in which it is named.

7, "7"                               an offset of the database's log: the transactions that end at or before it
"ap-southeast-2:120", a Position     those that lie before a position
"2026-03-01T12:00:00Z", a datetime   those logged at or before a time; without a zone it is UTC
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import frozen

from vdb.errors import InvalidArgument
from vdb.types import Position

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = "an offset, a position GROUP:NUMBER, or a time such as 2026-03-01T12:00:00Z"


@frozen(kw_only=True)
class Moment:
    """One of the three."""

    offset: int | None = None
    position: Position | None = None
    timestamp: int | None = None
    """Microseconds UTC."""


AnyMoment = int | str | datetime | Position | Moment
"""A moment in any of its forms."""


def parse_moment(value: AnyMoment) -> Moment:
    """InvalidArgument for anything that names no moment."""
    if isinstance(value, Moment):
        return value
    if isinstance(value, Position):
        return Moment(position=value)
    if isinstance(value, datetime):
        return Moment(timestamp=_micros(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Moment(offset=_checked(value))
    if isinstance(value, str):
        return _parse_text(value.strip())
    raise InvalidArgument(f"a moment is {_FORMS}; found {type(value).__name__}")


def moment_text(moment: Moment) -> str:
    """The text of a moment, which `parse_moment` reads. InvalidArgument for a time beyond the calendar."""
    if moment.offset is not None:
        return str(moment.offset)
    if moment.position is not None:
        return str(moment.position)
    if moment.timestamp is None:
        raise InvalidArgument(f"a moment is {_FORMS}; found none of them")
    try:
        return (_EPOCH + timedelta(microseconds=moment.timestamp)).isoformat()
    except OverflowError:
        raise InvalidArgument(f"a time lies in the years 1 to 9999; found {moment.timestamp} µs") from None


def _parse_text(text: str) -> Moment:
    if text.isascii() and text.isdigit():
        return Moment(offset=_checked(int(text)))
    try:
        return Moment(timestamp=_micros(datetime.fromisoformat(text)))
    except ValueError:
        pass
    try:
        return Moment(position=Position.parse(text))
    except InvalidArgument:
        raise InvalidArgument(f"a moment is {_FORMS}; found {text!r}") from None


def _micros(time: datetime) -> int:
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _checked(offset: int) -> int:
    if not 0 <= offset < 2**63:
        raise InvalidArgument(f"an offset is 0 or more; found {offset}")
    return offset
