"""Typed events: attrs classes registered by name and version, their way to bytes and back, and what upcasts old ones.

    @vdb.event("note-created", version=2, subject="patient_id")
    @attrs.frozen(kw_only=True)
    class NoteCreated: ...

    @vdb.upcast("note-created", 1)
    def _(body: dict) -> dict: ...                 # of version 1 to version 2

`registry` holds classes and upcasters, `new_event` what is to be appended, `event_context` what envelopes get by
default, `recorded` the one way from what a log holds to an event, `folding` the methods of aggregates.
"""

from vdb.events.deeds import DeadLettersDropped, DeadLettersReplayed
from vdb.events.erased import Erased
from vdb.events.event_context import context
from vdb.events.folding import applies
from vdb.events.new_event import NewEvent
from vdb.events.recorded import RecordedEvent, record_from
from vdb.events.registry import (
    REGISTRY,
    EventRegistry,
    EventType,
    decode_event,
    encode_event,
    event,
    upcast,
)

__all__ = [
    "REGISTRY",
    "DeadLettersDropped",
    "DeadLettersReplayed",
    "Erased",
    "EventRegistry",
    "EventType",
    "NewEvent",
    "RecordedEvent",
    "applies",
    "context",
    "decode_event",
    "encode_event",
    "event",
    "record_from",
    "upcast",
]
