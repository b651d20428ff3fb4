"""Which events are meant, and where to begin: what reads by filter and consumer groups have in common.

An event fits a filter when everything that the filter gives holds. Names are text, as clients write them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import field, frozen

from vdb.types import DataClass, Position
from vdb.values import fast_frozen

SYSTEM_STREAMS = "$"
"""What the names of the system's own streams begin with."""


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@frozen(kw_only=True)
class EventFilter:
    """The default fits every event."""

    stream: str = field(default="", repr=False)
    """Exactly this stream; empty: any."""
    prefixes: tuple[str, ...] = field(default=(), converter=_texts, repr=False)
    """Streams whose names begin with one of these; empty: any."""
    types: tuple[str, ...] = field(default=(), converter=_texts)
    """Types of events ("" for opaque payloads); empty: all."""

    def fits_stream(self, name: str) -> bool:
        """Whether events of this stream are meant, their types aside.

        Streams whose names begin with '$' are the system's own records: they are meant only where a '$' is given.
        """
        if self.stream and name != self.stream:
            return False
        if self.prefixes and not name.startswith(self.prefixes):
            return False
        return not name.startswith(SYSTEM_STREAMS) or bool(self.stream or self.prefixes)

    def fits_type(self, name: str) -> bool:
        """Whether events of this type are meant; "" is that of an opaque payload."""
        return not self.types or name in self.types


class StartKind(Enum):
    """The values are the names of the fields of the interface's EventStart."""

    EDGE = "edge"
    """With the first event; backward: with the last."""
    OFFSET = "offset"
    """With this offset, where the filter names one stream."""
    POSITION = "position"
    """With this number of the group's log."""
    TIME = "time"
    """Microseconds UTC: with the first event appended then or later; backward: the last before."""
    END = "end"
    """Behind the last event."""


@frozen
class EventStart:
    """Where to begin."""

    kind: StartKind = StartKind.EDGE
    value: int = 0
    """0 where the kind has none."""


@fast_frozen(kw_only=True)
class EventRecord:
    """One event as a node hands it out, its payload still encoded."""

    stream: str = field(repr=False)
    offset: int
    position: Position
    time: int
    """Microseconds UTC of the op that appended it."""
    payload: bytes = field(repr=False)
    """An EventEnvelope (event.capnp) where the schema id is 1."""
    event_id: bytes | None
    """16 bytes, or None if the writer gave none."""
    schema_id: int
    data_class: DataClass
    subject_token: bytes = field(default=b"", repr=False)
    """Whose data it is, on a node; zeros where no subject was given."""
    dek_id: bytes = b""
    """Of the key under which it was sealed, on a node."""


@frozen(kw_only=True)
class Selected:
    """A piece of a read by filter."""

    events: tuple[EventRecord, ...] = field(repr=False)
    next: int
    """Where the next piece begins: an offset where the filter names a stream, else a position's number. Backward, the
    event before it comes first."""
    head: int
    """Where the stream or the log ended."""
    ended: bool
    """Nothing more fits for now."""
