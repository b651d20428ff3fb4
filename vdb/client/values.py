"""What a client gives and gets: frozen values. Times are microseconds UTC since 1970; offsets start at 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from attrs import field, frozen

from vdb.errors import InvalidArgument, TooLarge
from vdb.kernel.command import ANY, Expected, ExpectedKind
from vdb.limits import EVENT_ID_SIZE, EVENTS_PER_APPEND_MAX, STREAMS_PER_APPEND_MAX, SUBJECT_BYTES_MAX
from vdb.types import U64_MAX, DataClass, GroupId, Position
from vdb.wire.event import ERASED_SCHEMA

U32_MAX = 2**32 - 1

SqlValue = int | float | str | bytes | None


@frozen(kw_only=True)
class Event:
    """One event as it is read back."""

    stream: str
    offset: int
    position: Position
    time: int
    payload: bytes = field(repr=False)
    event_id: bytes | None
    """16 bytes, or None if the writer gave none."""
    schema_id: int
    """0: an opaque payload. 1: an EventEnvelope."""
    data_class: DataClass

    @property
    def erased(self) -> bool:
        """Whether its subject was erased: then the payload is empty."""
        return self.schema_id == ERASED_SCHEMA


def _payloads(value: bytes | Sequence[bytes]) -> tuple[bytes, ...]:
    payloads = (bytes(value),) if isinstance(value, bytes | bytearray | memoryview) else tuple(value)
    for payload in payloads:
        if not isinstance(payload, bytes):
            raise InvalidArgument(f"a payload is bytes; found {type(payload).__name__}")
    return payloads


def _ids(value: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(value)


def _runs(value: Iterable[EventRun]) -> tuple[EventRun, ...]:
    return tuple(value)


def check_text(value: str, what: str) -> bytes:
    """The UTF-8 of a text that travels; InvalidArgument for what isn't one. The message doesn't hold the text."""
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} is text: expected a str, found {type(value).__name__}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{what} is text: expected what UTF-8 can hold, found a lone surrogate at character {error.start}"
        ) from None


def check_number(value: int, most: int, what: str) -> int:
    """A number from 0 to `most`; InvalidArgument for another, and for what isn't an int."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"{what}: expected an int from 0 to {most}, found {type(value).__name__}")
    if not 0 <= value <= most:
        raise InvalidArgument(f"{what}: expected an int from 0 to {most}, found {value}")
    return value


def _expected(value: Expected | int | None) -> Expected:
    if value is None:
        return ANY
    if isinstance(value, Expected):
        check_number(value.offset, U64_MAX, "the offset of an Expected")
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"expected: None, an Expected, or an int (the next offset); found {type(value).__name__}")
    return Expected(ExpectedKind.EXACT, check_number(value, U64_MAX, "an expected offset"))


@frozen(kw_only=True)
class EventRun:
    """Consecutive new events of one subject. They are sealed together, under the subject's key."""

    payloads: tuple[bytes, ...] = field(converter=_payloads, repr=False)
    subject: str = field(default="", repr=False)
    """Whose data this is; empty: the stream's own."""
    event_ids: tuple[bytes, ...] = field(default=(), converter=_ids)
    """16 bytes for each payload, or empty."""
    schema_id: int = 0

    def __attrs_post_init__(self) -> None:
        if not self.payloads:
            raise InvalidArgument("a run has at least one payload; found none")
        if self.event_ids and len(self.event_ids) != len(self.payloads):
            raise InvalidArgument(
                f"expected an event id for each of {len(self.payloads)} payloads, found {len(self.event_ids)}"
            )
        for event_id in self.event_ids:
            if len(event_id) != EVENT_ID_SIZE:
                raise InvalidArgument(f"an event id has {EVENT_ID_SIZE} bytes; found {len(event_id)}")
        size = len(check_text(self.subject, "a subject"))
        if size > SUBJECT_BYTES_MAX:
            raise TooLarge(f"a subject has at most {SUBJECT_BYTES_MAX} bytes; found {size}")
        check_number(self.schema_id, U32_MAX, "a schema id")


@frozen(kw_only=True)
class StreamAppend:
    """New events of one stream and a condition on its next offset: part of an atomic append."""

    stream: str
    runs: tuple[EventRun, ...] = field(converter=_runs)
    """May be empty: then only the condition counts."""
    expected: Expected = field(default=ANY, converter=_expected)
    """`Expected`, or an int for exactly that next offset, or None for any."""

    def __attrs_post_init__(self) -> None:
        check_text(self.stream, "a stream's name")

    @property
    def count(self) -> int:
        """Number of events."""
        return sum(len(run.payloads) for run in self.runs)


def check_appends(appends: Sequence[StreamAppend]) -> None:
    """Raise InvalidArgument for an append that no node would take."""
    if not appends:
        raise InvalidArgument("an append names at least one stream; found none")
    if len(appends) > STREAMS_PER_APPEND_MAX:
        raise TooLarge(f"an append has at most {STREAMS_PER_APPEND_MAX} streams; found {len(appends)}")
    names = sorted(append.stream for append in appends)
    for name, following in pairwise(names):
        if name == following:
            raise InvalidArgument("an append names each stream once; found one twice")
    count = sum(append.count for append in appends)
    if count > EVENTS_PER_APPEND_MAX:
        raise TooLarge(f"an append has at most {EVENTS_PER_APPEND_MAX} events; found {count}")


@frozen(kw_only=True)
class Published:
    """Where new events of one stream lie. They are durable."""

    stream: str
    first_offset: int
    next_offset: int
    position: Position
    """Just after the append in its group's log: what `wait_for_projection` takes, and where `read_log` goes on."""
    time: int


@frozen(kw_only=True)
class StreamInfo:
    name: str
    id: int
    data_class: DataClass
    placement: str
    """A region's name, or 'global'."""
    next_offset: int
    """The number of events; the next one gets this offset."""
    created_at: int

    @property
    def group(self) -> GroupId:
        """The group whose log holds this stream."""
        return GroupId(self.placement)


@frozen(kw_only=True)
class Rows:
    """Rows of a projection's table, and the projection's position when they were read."""

    columns: tuple[str, ...]
    rows: tuple[tuple[SqlValue, ...], ...] = field(repr=False)
    position: tuple[Position, ...]

    def dicts(self) -> list[dict[str, SqlValue]]:
        """Each row as a dict by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def parse_positions(text: str) -> tuple[Position, ...]:
    """Positions of several groups, separated by spaces, as a projection's position travels."""
    return tuple(Position.parse(word) for word in text.split())


@frozen(kw_only=True)
class ReadRun:
    """Consecutive events of one stream, as a node hands them out."""

    stream: str
    first_offset: int
    first_position: int
    time: int
    payloads: tuple[bytes, ...] = field(repr=False)
    """Empty when only ids were asked for."""
    event_ids: tuple[bytes, ...]
    schema_id: int
    data_class: DataClass

    def events(self, group: GroupId) -> list[Event]:
        """The run's events, one by one."""
        ids = self.event_ids or (None,) * len(self.payloads)
        return [
            Event(
                stream=self.stream,
                offset=self.first_offset + index,
                position=Position(group, self.first_position + index),
                time=self.time,
                payload=payload,
                event_id=event_id,
                schema_id=self.schema_id,
                data_class=self.data_class,
            )
            for index, (payload, event_id) in enumerate(zip(self.payloads, ids, strict=True))
        ]


@frozen(kw_only=True)
class ReadPage:
    """What one read returns. `next` is where the next read starts; `head` is where the stream or log ends now."""

    runs: tuple[ReadRun, ...]
    next: int
    head: int


Where = Mapping[str, SqlValue]
