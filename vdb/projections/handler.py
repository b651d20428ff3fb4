"""What a handler gets, and what a template is.

Rules
- Handlers are synchronous and pure but for the database: no clock, no randomness, no network. All they may use is
  the event and its context, so a rebuild gives the same rows.
- A handler neither begins nor ends a transaction: its rows and the projection's position commit together.
- It may raise: the batch is then rolled back and the projection stops at this event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from attrs import define, field, frozen

from vdb.errors import InvalidEvent
from vdb.events import REGISTRY
from vdb.ports import Connection
from vdb.projections.tables import Table
from vdb.types import DataClass, Position, TenantId

_decoder = msgspec.json.Decoder()


@frozen
class Context:
    """Where an event lies."""

    tenant: TenantId
    stream: str = field(repr=False)
    offset: int
    position: Position
    time: int
    """Microseconds UTC of the op that appended it."""
    event_id: bytes
    data_class: DataClass


@define
class StoredEvent:
    """An event as the log gives it. An opaque payload has the type "" and itself as its body."""

    type: str
    version: int
    time: int
    """Microseconds UTC: when it happened, according to the writer; 0 for an opaque payload."""
    actor: str = field(repr=False)
    subject: str = field(repr=False)
    body: bytes = field(repr=False)
    opaque: bool
    _value: Any = field(init=False, repr=False, default=None)

    def json(self) -> Any:
        """The body as plain Python values, decoded once; InvalidEvent when it isn't JSON."""
        if self._value is None:
            try:
                self._value = _decoder.decode(self.body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise InvalidEvent("an event's body isn't JSON") from None
        return self._value

    def decode(self) -> Any:
        """The body as an instance of its registered class (`vdb.event`)."""
        return REGISTRY.decode_body(self.type, self.version, self.body)


class Template(Protocol):
    """What turns events into rows: a built-in template, or `Handlers`."""

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

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        handler = self.handlers.get(event.type)
        if handler is not None:
            handler(db, event, context)

    def description(self) -> str:
        return "handlers: " + ", ".join(sorted(self.handlers))
