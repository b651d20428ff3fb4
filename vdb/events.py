"""Typed events: attrs classes registered by name and version, and their way to bytes and back.

    @vdb.event("note-created", version=1)
    @attrs.frozen(kw_only=True)
    class NoteCreated: ...

Rules
- A (name, version) pair names one class for ever. The newest version is what new events are written with.
- The body is JSON by msgspec, keys sorted, so that equal events have equal bytes. Decimal, UUID, date, datetime,
  optional fields, lists and nested attrs classes are carried; unknown fields of a newer writer are passed over.
- What is encoded is decoded once at once: an event that its own class can't read never reaches the log.
- Errors name the event's type and the path of the offending field, never a value: events hold PHI.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import msgspec
from attrs import field, frozen

from vdb.errors import InvalidArgument, InvalidEvent, UnknownEventType
from vdb.ports import Buffer
from vdb.wire.event import EventEnvelope, decode_envelope, encode_envelope

C = TypeVar("C")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_PATH = re.compile(r" - at `(?:key in )?(\$[A-Za-z0-9_.\[\]]*)`$")
_WITHOUT_VALUES = re.compile(
    r"(Expected `[^`]*`, got `[A-Za-z]+`|Expected `datetime` with a timezone component|"
    r"Object missing required field `[A-Za-z0-9_]+`)"
)
_encoder = msgspec.json.Encoder(order="deterministic")


@frozen
class EventType:
    """A registered class."""

    name: str
    version: int
    cls: type[Any]
    decoder: msgspec.json.Decoder[Any] = field(repr=False, eq=False)


class EventRegistry:
    """The classes of one program. `event` and the functions of this module use `REGISTRY`."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[int, EventType]] = {}
        self._by_class: dict[type[Any], EventType] = {}

    def event(self, name: str, version: int = 1) -> Callable[[type[C]], type[C]]:
        """Class decorator: register an attrs class. InvalidArgument when name, version or class don't do."""
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f"an event's name has 1 to 128 characters of a-z, 0-9, '.', '/', '_', '-'; found {name!r}"
            )
        if version < 1:
            raise InvalidArgument(f"an event's version counts from 1; found {version}")

        def register(cls: type[C]) -> type[C]:
            self._add(name, version, cls)
            return cls

        return register

    def _add(self, name: str, version: int, cls: type[Any]) -> None:
        if not attrs.has(cls):
            raise InvalidArgument(f"event {name!r}: {cls.__qualname__} isn't an attrs class")
        versions = self._by_name.setdefault(name, {})
        other = versions.get(version)
        if other is not None and (other.cls.__module__, other.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InvalidArgument(
                f"event {name!r} version {version} is {other.cls.__qualname__} already; found {cls.__qualname__}"
            )
        try:
            decoder = msgspec.json.Decoder(cls)
        except (TypeError, NameError) as error:
            raise InvalidArgument(f"event {name!r}: a field's type can't be carried as JSON: {error}") from None
        entry = EventType(name, version, cls, decoder)
        versions[version] = entry
        self._by_class[cls] = entry

    def type_of(self, cls: type[Any]) -> EventType:
        """The registration of a class; UnknownEventType when there is none."""
        found = self._by_class.get(cls)
        if found is None:
            raise UnknownEventType(f"{cls.__qualname__} isn't a registered event: decorate it with @vdb.event(NAME)")
        return found

    def lookup(self, name: str, version: int) -> EventType:
        """The registration of a name and version; UnknownEventType names what was looked for."""
        versions = self._by_name.get(name, {})
        found = versions.get(version)
        if found is None:
            known = (
                f"known versions: {', '.join(map(str, sorted(versions)))}" if versions else "the name isn't registered"
            )
            raise UnknownEventType(f"unknown event type {name!r} version {version}: {known}")
        return found

    def encode_body(self, event: Any) -> bytes:
        """The JSON body of an event; InvalidEvent names the path of a field that doesn't fit its type."""
        entry = self.type_of(type(event))
        try:
            body = _encoder.encode(event)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
            raise InvalidEvent(f"event {entry.name!r}: a value in it can't be carried as JSON") from None
        self._decode(entry, body)
        return body

    def encode(
        self,
        event: Any,
        *,
        event_id: bytes,
        time: int,
        actor: str = "",
        subject: str = "",
        correlation_id: bytes = b"",
        causation_id: bytes = b"",
    ) -> bytes:
        """The envelope's bytes. `event_id` is 16 bytes, `time` microseconds UTC; the other ids 16 bytes or empty."""
        entry = self.type_of(type(event))
        return encode_envelope(
            EventEnvelope(
                event_id=event_id,
                type=entry.name,
                version=entry.version,
                time=time,
                actor=actor,
                correlation_id=correlation_id,
                causation_id=causation_id,
                subject=subject,
                body=self.encode_body(event),
            )
        )

    def decode(self, envelope: EventEnvelope | Buffer) -> Any:
        """The event in an envelope, or in an envelope's bytes: an instance of its registered class."""
        if not isinstance(envelope, EventEnvelope):
            envelope = decode_envelope(envelope)
        return self.decode_body(envelope.type, envelope.version, envelope.body)

    def decode_body(self, name: str, version: int, body: Buffer) -> Any:
        """The event in a JSON body. UnknownEventType; InvalidEvent with the path of what doesn't fit."""
        return self._decode(self.lookup(name, version), body)

    def _decode(self, entry: EventType, body: Buffer) -> Any:
        try:
            return entry.decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = _reason(error)
        raise InvalidEvent(f"event {entry.name!r} version {entry.version}: {reason}")


def _reason(error: Exception) -> str:
    """What msgspec found, without values: validators and enums put those into their messages."""
    if not isinstance(error, msgspec.ValidationError):
        return "its body isn't JSON"
    text = str(error)
    path = _PATH.search(text)
    known = _WITHOUT_VALUES.match(text)
    return f"{known[1] if known else 'a value is not allowed'} at {path[1] if path else '$'}"


REGISTRY = EventRegistry()

event = REGISTRY.event
encode_event = REGISTRY.encode
decode_event = REGISTRY.decode
