"""What envelopes get unless an event says otherwise: who acts, and on what account.

    with vdb.context(actor="dr.lee", caused_by=recorded):
        await db.append("patient-7", [PatientAdmitted(...)])

It goes with the task or the thread (a context variable), contexts nest, and an inner one keeps what it doesn't name.
The actor is also on whose behalf all else is asked within it, reads too: the audit log names them beside the principal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from attrs import evolve, field, frozen

from vdb.errors import InvalidArgument
from vdb.events.recorded import RecordedEvent
from vdb.limits import EVENT_ID_SIZE

ID_TEXT_SIZE = 32


class HasBytes(Protocol):
    """A `uuid.UUID`, for one."""

    @property
    def bytes(self) -> bytes: ...


AnyId = bytes | str | HasBytes
"""16 bytes, their 32 hexadecimal digits (with or without hyphens), or a UUID."""


@frozen(kw_only=True)
class EventContext:
    """What a context says. Ids are 16 bytes, or empty where it says nothing."""

    actor: str = field(default="", repr=False)
    correlation_id: bytes = b""
    causation_id: bytes = b""


_current: ContextVar[EventContext] = ContextVar("vdb.context", default=EventContext())  # noqa: B039


def current_context() -> EventContext:
    """What holds here and now."""
    return _current.get()


def id_bytes(value: AnyId, what: str) -> bytes:
    """The 16 bytes of an id in any of its forms; InvalidArgument for another."""
    if isinstance(value, str):
        digits = value.replace("-", "")
        try:
            found = bytes.fromhex(digits) if len(digits) == ID_TEXT_SIZE else b""
        except ValueError:
            found = b""
    else:
        found = value if isinstance(value, bytes) else getattr(value, "bytes", b"")
    if not isinstance(found, bytes) or len(found) != EVENT_ID_SIZE:
        raise InvalidArgument(f"{what} is {EVENT_ID_SIZE} bytes, their hexadecimal digits, or a UUID")
    return found


@contextmanager
def context(
    *,
    actor: str | None = None,
    correlation_id: AnyId | None = None,
    causation_id: AnyId | None = None,
    caused_by: RecordedEvent | None = None,
) -> Iterator[None]:
    """A context for `with`: whoever appends in it, directly or in what it calls, fills envelopes from it.

    `caused_by` is the event that is being handled: its id is the causation, and its correlation, or else its id, goes
    on. An id that is given as well counts more.
    """
    found = _current.get()
    if actor is not None:
        found = evolve(found, actor=actor)
    if caused_by is not None and caused_by.event_id:
        correlation = caused_by.correlation_id or caused_by.event_id
        found = evolve(found, causation_id=caused_by.event_id, correlation_id=correlation)
    if correlation_id is not None:
        found = evolve(found, correlation_id=id_bytes(correlation_id, "a correlation id"))
    if causation_id is not None:
        found = evolve(found, causation_id=id_bytes(causation_id, "a causation id"))
    with within_context(found):
        yield


@contextmanager
def within_context(said: EventContext) -> Iterator[None]:
    """What was said elsewhere, such as in another thread, holds here."""
    token = _current.set(said)
    try:
        yield
    finally:
        _current.reset(token)
