"""What a handler gets, and what a template is.

Rules
- Handlers are synchronous and pure but for the database: no clock, no randomness, no network. All they may use is
  the event and its context, so a rebuild gives the same rows.
- A handler neither begins nor ends a transaction: its rows and the projection's position commit together.
- It may raise: the batch is then rolled back and the projection does as its error policy says.
- Bodies are upcast on the way, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from attrs import frozen

from vdb.errors import InvalidEvent
from vdb.events import REGISTRY
from vdb.events.erased import ERASED, ERASED_TYPE
from vdb.limits import EVENT_ID_SIZE
from vdb.ports import Connection
from vdb.projections.handle import ProjectionDb
from vdb.projections.source import OpenedRun
from vdb.projections.tables import Table
from vdb.types import DataClass, Position, TenantId
from vdb.wire.envelope_view import Envelope, view_envelope
from vdb.wire.event import ENVELOPE_SCHEMA, ERASED_SCHEMA

_decode = msgspec.json.Decoder().decode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_EVENT_ID = bytes(EVENT_ID_SIZE)
_NOT_DECODED: Any = object()


def decode_json(body: bytes) -> Any:
    """Plain Python values; InvalidEvent when it isn't JSON."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidEvent("an event's body isn't JSON") from None


class StoredEvent:
    """An event as the log gives it. An opaque payload has the type "" and itself as its body."""

    __slots__ = ("_value", "body", "envelope", "type")

    def __init__(self, envelope: Envelope | None, body: bytes) -> None:
        self.envelope = envelope
        self.type = "" if envelope is None else envelope.type
        self.body = body
        self._value = _NOT_DECODED

    @classmethod
    def of(cls, payload: bytes, schema_id: int) -> StoredEvent:
        """From a payload of a run; WireError when it says that it is an envelope, and isn't."""
        if schema_id == ERASED_SCHEMA:
            erased = cls(None, b"{}")
            erased.type = ERASED_TYPE
            return erased
        if schema_id != ENVELOPE_SCHEMA:
            return cls(None, payload)
        envelope = view_envelope(payload)
        return cls(envelope, envelope.body)

    def __repr__(self) -> str:
        return f"StoredEvent(type={self.type!r}, version={self.version})"

    @property
    def opaque(self) -> bool:
        return self.envelope is None

    @property
    def version(self) -> int:
        """That it was written with; 0 for an opaque payload."""
        return 0 if self.envelope is None else self.envelope.version

    @property
    def time(self) -> int:
        """Microseconds UTC: when it happened, according to the writer; 0 for an opaque payload."""
        return 0 if self.envelope is None else self.envelope.time

    @property
    def actor(self) -> str:
        return "" if self.envelope is None else self.envelope.actor

    @property
    def subject(self) -> str:
        return "" if self.envelope is None else self.envelope.subject

    def json(self) -> Any:
        """The body as plain Python values, upcast, decoded once; InvalidEvent when it isn't JSON."""
        if self._value is _NOT_DECODED:
            value = decode_json(self.body)
            envelope = self.envelope
            if envelope is not None:
                value = REGISTRY.upcast_value(envelope.type, envelope.version, value)
            self._value = value
        return self._value

    def decode(self) -> Any:
        """The body as an instance of its registered class (`vdb.event`), upcast to the newest."""
        if self.type == ERASED_TYPE:
            return ERASED
        return REGISTRY.decode_body(self.type, self.version, self.body)


class Context:
    """Where an event lies, and what its envelope says. Nothing of it depends on when it is applied.

    Times are microseconds UTC, and datetimes with a zone under names that end with `_at`. Ids are 16 bytes, or empty.
    """

    __slots__ = ("_event", "_index", "_run", "db")

    def __init__(self, run: OpenedRun, index: int, event: StoredEvent, db: ProjectionDb | None = None) -> None:
        self._run = run
        self._index = index
        self._event = event
        self.db: ProjectionDb = db  # type: ignore[assignment]  # templates get a connection instead, and don't use it

    def __repr__(self) -> str:
        return f"Context(position={str(self.position)!r}, offset={self.offset})"

    @property
    def tenant(self) -> TenantId:
        return self._run.tenant

    @property
    def stream(self) -> str:
        return self._run.stream

    @property
    def offset(self) -> int:
        """In its stream, from 0."""
        return self._run.first_offset + self._index

    @property
    def position(self) -> Position:
        """In the log of its group: what orders the events that a projection reads."""
        return Position(self._run.group, self._run.first_position + self._index)

    @property
    def time(self) -> int:
        """When it was appended, according to the log."""
        return self._run.time

    @property
    def occurred(self) -> int:
        """When it happened, according to the writer; `time` for an opaque payload."""
        return self._run.time if self._event.envelope is None else self._event.envelope.time

    @property
    def appended_at(self) -> datetime:
        """`time`."""
        return _EPOCH + timedelta(microseconds=self.time)

    @property
    def occurred_at(self) -> datetime:
        """`occurred`."""
        return _EPOCH + timedelta(microseconds=self.occurred)

    @property
    def type(self) -> str:
        """The event's registered name; "" for an opaque payload."""
        return self._event.type

    @property
    def version(self) -> int:
        """That it was written with; 0 for an opaque payload."""
        return self._event.version

    @property
    def actor(self) -> str:
        return self._event.actor

    @property
    def subject(self) -> str:
        """Whose data it is, as the envelope says, or empty."""
        return self._event.subject

    @property
    def event_id(self) -> bytes:
        envelope = self._event.envelope
        if envelope is not None:
            return envelope.event_id
        at = EVENT_ID_SIZE * self._index
        return self._run.event_ids[at : at + EVENT_ID_SIZE] or _NO_EVENT_ID

    @property
    def correlation_id(self) -> bytes:
        return b"" if self._event.envelope is None else self._event.envelope.correlation_id

    @property
    def causation_id(self) -> bytes:
        return b"" if self._event.envelope is None else self._event.envelope.causation_id

    @property
    def data_class(self) -> DataClass:
        return self._run.data_class


class Template(Protocol):
    """What turns events into rows: a built-in template, `Handlers`, or a projection's own functions."""

    @property
    def tables(self) -> tuple[Table, ...]: ...

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        """Apply one event; events of no interest are passed over."""

    def description(self) -> str:
        """All that decides which rows come out, as text: a change of it asks for a new version."""


Handler = Callable[[Connection, StoredEvent, Context], None]


@frozen(kw_only=True)
class Handlers:
    """Plain functions by event type. "" receives opaque payloads."""

    tables: tuple[Table, ...]
    handlers: Mapping[str, Handler]

    @property
    def handled(self) -> Collection[str]:
        """The types that functions take by their name."""
        return self.handlers

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        handler = self.handlers.get(event.type)
        if handler is not None:
            handler(db, event, context)

    def description(self) -> str:
        return "handlers: " + ", ".join(sorted(self.handlers))
