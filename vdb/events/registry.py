"""The registered classes of a program by name and version, and the upcasters from version to version.

Rules
- A (name, version) pair names one class for ever. The newest version is what new events are written with.
- The body is JSON by msgspec, keys sorted, so that equal events have equal bytes. Decimal, UUID, date, datetime with
  a zone, optional fields, lists and nested attrs classes are carried; unknown fields of a newer writer are passed over.
- What is encoded is decoded once at once: an event that its own class can't read never reaches the log.
- An upcaster turns the body of one version, as plain JSON values, into that of the next. A body goes through all that
  there are from its version on; the class of the version it then has reads it. Old classes needn't be kept.
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
from vdb.events.zones import Checker, zone_checker
from vdb.ports import Buffer
from vdb.wire.event import EventEnvelope, decode_envelope, encode_envelope

C = TypeVar("C")
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""The body of one version as JSON values, to that of the next. It may change what it is given."""
U = TypeVar("U", bound=Callable[..., Any])
Subject = str | Callable[[Any], str]
"""Whose data an event is: the name of a field, or a function of the event."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_PATH = re.compile(r" - at `(?:key in )?(\$[A-Za-z0-9_.\[\]]*)`$")
_WITHOUT_VALUES = re.compile(
    r"(Expected `[^`]*`, got `[A-Za-z]+`|Expected `datetime` with a timezone component|"
    r"Object missing required field `[A-Za-z0-9_]+`)"
)
_encoder = msgspec.json.Encoder(order="deterministic")


_plain = msgspec.json.Decoder()


@frozen
class EventType:
    """A registered class."""

    name: str
    version: int
    cls: type[Any]
    subject: Subject | None = field(repr=False)
    decoder: msgspec.json.Decoder[Any] = field(repr=False, eq=False)
    zones: Checker | None = field(repr=False, eq=False)

    def subject_of(self, event: Any) -> str:
        """Whose data an event of this class is, as text; empty when the class doesn't say."""
        if self.subject is None:
            return ""
        found = getattr(event, self.subject) if isinstance(self.subject, str) else self.subject(event)
        return "" if found is None else str(found)


class EventRegistry:
    """The classes of one program. `event`, `upcast` and the functions of this module use `REGISTRY`."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[int, EventType]] = {}
        self._by_class: dict[type[Any], EventType] = {}
        self._upcasters: dict[str, dict[int, Upcaster]] = {}

    def event(self, name: str, version: int = 1, *, subject: Subject | None = None) -> Callable[[type[C]], type[C]]:
        """Class decorator: register an attrs class. InvalidArgument when name, version or class don't do.

        `subject`: whose data such an event is, unless it is said when it is appended: a field's name, or a function.
        """
        _check_name(name, version)

        def register(cls: type[C]) -> type[C]:
            self._add(name, version, cls, subject)
            return cls

        return register

    def upcast(self, name: str, version: int) -> Callable[[U], U]:
        """Decorator of a function: it makes the body of `version + 1` out of that of `version`.

        Both are dicts of JSON values (a date is text). InvalidArgument when there is another one already.
        """
        _check_name(name, version)

        def register(upcaster: U) -> U:
            steps = self._upcasters.setdefault(name, {})
            other = steps.get(version)
            if other is not None and not _same(other, upcaster):
                raise InvalidArgument(f"event {name!r} has an upcaster of version {version} already")
            steps[version] = upcaster
            return upcaster

        return register

    def _add(self, name: str, version: int, cls: type[Any], subject: Subject | None) -> None:
        if not attrs.has(cls):
            raise InvalidArgument(f"event {name!r}: {cls.__qualname__} isn't an attrs class")
        if isinstance(subject, str) and subject not in attrs.fields_dict(cls):
            raise InvalidArgument(f"event {name!r}: its subject is a field of {cls.__qualname__}; found {subject!r}")
        versions = self._by_name.setdefault(name, {})
        other = versions.get(version)
        if other is not None and not _same(other.cls, cls):
            raise InvalidArgument(
                f"event {name!r} version {version} is {other.cls.__qualname__} already; found {cls.__qualname__}"
            )
        try:
            decoder = msgspec.json.Decoder(cls)
            zones = zone_checker(cls)
        except (TypeError, NameError) as error:
            raise InvalidArgument(f"event {name!r}: a field's type can't be carried as JSON: {error}") from None
        entry = EventType(name, version, cls, subject, decoder, zones)
        versions[version] = entry
        self._by_class[cls] = entry

    def knows(self, name: str) -> bool:
        """Whether a class is registered under this name, in any version."""
        return name in self._by_name

    def name_of(self, kind: type[Any] | str) -> str:
        """The name of an event's class; a name stands for itself."""
        return kind if isinstance(kind, str) else self.type_of(kind).name

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
        naive = entry.zones(event, "$") if entry.zones is not None else None
        if naive is not None:
            raise InvalidEvent(
                f"event {entry.name!r} version {entry.version}: "
                f"Expected `datetime` with a timezone component at {naive}"
            )
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
        """The event in a JSON body, upcast to the newest version that there is a way to.

        UnknownEventType; InvalidEvent with the path of what doesn't fit, or with the upcaster that failed.
        """
        steps = self._upcasters.get(name)
        if steps is not None and version in steps:
            version, body = self._upcast(name, version, body, steps)
        return self._decode(self.lookup(name, version), body)

    def _upcast(self, name: str, version: int, body: Buffer, steps: dict[int, Upcaster]) -> tuple[int, bytes]:
        try:
            value = _plain.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise InvalidEvent(f"event {name!r} version {version}: its body isn't JSON") from None
        version, value = _through(steps, name, version, value)
        try:
            return version, _encoder.encode(value)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
            raise InvalidEvent(
                f"event {name!r}: its upcaster to version {version} made what can't be carried as JSON"
            ) from None

    def upcasts(self, name: str) -> bool:
        """Whether bodies of this type may need a change."""
        return name in self._upcasters

    def upcast_value(self, name: str, version: int, value: Any) -> Any:
        """A body that is decoded to plain JSON values already, upcast as `decode_body` does; it may be changed."""
        steps = self._upcasters.get(name)
        return value if steps is None or version not in steps else _through(steps, name, version, value)[1]

    def _decode(self, entry: EventType, body: Buffer) -> Any:
        try:
            return entry.decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = _reason(error)
        raise InvalidEvent(f"event {entry.name!r} version {entry.version}: {reason}")


def _check_name(name: str, version: int) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"an event's name has 1 to 128 characters of a-z, 0-9, '.', '/', '_', '-'; found {name!r}"
        )
    if version < 1:
        raise InvalidArgument(f"an event's version counts from 1; found {version}")


def _same(one: Any, other: Any) -> bool:
    """Whether two objects stem from the same line: a module that is loaded again defines its own anew."""
    if (one.__module__, one.__qualname__) != (other.__module__, other.__qualname__):
        return False
    code, other_code = getattr(one, "__code__", None), getattr(other, "__code__", None)
    return code is None or other_code is None or code.co_firstlineno == other_code.co_firstlineno


def _through(steps: dict[int, Upcaster], name: str, version: int, value: Any) -> tuple[int, Any]:
    """The version that there is a way to, and the value as it has it."""
    while (step := steps.get(version)) is not None:
        value = _stepped(name, version, step, value)
        version += 1
    return version, value


def _stepped(name: str, version: int, step: Upcaster, value: Any) -> dict[str, Any]:
    """One upcaster applied. What it raises may hold values, so only the kind of its error is passed on."""
    where = f"event {name!r}: its upcaster from version {version} to {version + 1}"
    if not isinstance(value, dict):
        raise InvalidEvent(f"event {name!r} version {version}: expected an object at $")
    try:
        stepped = step(value)
    except Exception as error:
        reason = type(error).__name__
    else:
        if isinstance(stepped, dict):
            return stepped
        raise InvalidEvent(f"{where} gave {type(stepped).__name__}: expected a dict")
    raise InvalidEvent(f"{where} failed: {reason}")


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
upcast = REGISTRY.upcast
encode_event = REGISTRY.encode
decode_event = REGISTRY.decode
