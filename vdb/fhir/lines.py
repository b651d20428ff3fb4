"""A line of a bulk export to an event, or to the reason why it isn't one. Pure; reasons hold nothing of the line.

- The event's body is the line's bytes as they stand.
- The event id is a hash of type, id and line: the same line is the same event in every import, a resource that was
  changed is a new one.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from attrs import field, frozen

from vdb.fhir.resources import PATIENT_KINDS, data_class_of, event_type_of, is_resource_id, subject_of
from vdb.limits import EVENT_ID_SIZE
from vdb.projections.times import parse_time
from vdb.types import DataClass
from vdb.wire.event import EventEnvelope, encode_envelope

ACTOR = "fhir-import"
_decoder = msgspec.json.Decoder()


@frozen(kw_only=True)
class Resource:
    """A resource as an event."""

    event_id: bytes
    subject: str = field(repr=False)
    payload: bytes = field(repr=False)
    """The encoded envelope."""


def read_line(resource_type: str, line: bytes) -> Resource | str:
    """The resource in a line of a file that should hold `resource_type`, or why it is refused."""
    try:
        found = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "not JSON"
    except RecursionError:
        return "JSON nested too deeply"
    reason = _fault(resource_type, found)
    if reason:
        return reason
    event_id = event_id_of(resource_type, found["id"], line)
    subject = subject_of(found) if data_class_of(resource_type) is DataClass.PHI else ""
    envelope = EventEnvelope(
        event_id=event_id,
        type=event_type_of(resource_type),
        time=_time_of(resource_type, found),
        actor=ACTOR,
        subject=subject,
        body=line,
    )
    return Resource(event_id=event_id, subject=subject, payload=encode_envelope(envelope))


def event_id_of(resource_type: str, resource_id: str, line: bytes) -> bytes:
    """16 bytes of SHA-256 over "fhir", type, id (each ended by a NUL) and the SHA-256 of the line."""
    names = f"fhir\0{resource_type}\0{resource_id}\0".encode()
    return hashlib.sha256(names + hashlib.sha256(line).digest()).digest()[:EVENT_ID_SIZE]


def _fault(resource_type: str, found: Any) -> str:
    if not isinstance(found, dict):
        return "not a JSON object"
    if not isinstance(found.get("resourceType"), str):
        return "no resourceType"
    if found["resourceType"] != resource_type:
        return f"a resource of another type: expected {resource_type}"
    if not is_resource_id(found.get("id")):
        return "no id, or not one that FHIR allows"
    return ""


def _time_of(resource_type: str, resource: dict[str, Any]) -> int:
    """Microseconds UTC of the clinical time; 0 where there is none that can be read."""
    kind = PATIENT_KINDS.get(resource_type)
    value = kind.time.find_in_body(resource) if kind is not None and kind.time is not None else None
    return (parse_time(value) or 0) if isinstance(value, str) else 0
