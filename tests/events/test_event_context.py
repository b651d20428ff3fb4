"""What contexts say, who they hold for, and the ids they take."""

from __future__ import annotations

import contextvars
from typing import Any
from uuid import UUID

import pytest

import vdb
from vdb.errors import InvalidArgument
from vdb.events.event_context import current_context, id_bytes
from vdb.events.recorded import RecordedEvent, record_from
from vdb.types import DataClass, GroupId, Position
from vdb.wire.event import EventEnvelope, encode_envelope

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


def recorded(**values: Any) -> RecordedEvent:
    envelope = EventEnvelope(type="gone", time=1, body=b"{}", **values)
    found = record_from(
        encode_envelope(envelope), 1, "s", 0, Position(GroupId("r"), 0), 1, None, DataClass.PHI, registry=Anything()
    )
    assert found is not None
    return found


class Anything(vdb.events.EventRegistry):
    """Knows every type."""

    def decode_body(self, name: str, version: int, body: Any) -> Any:
        return name


def test_contexts_nest_and_end() -> None:
    with vdb.context(actor="dr.lee", correlation_id=ONE):
        with vdb.context(causation_id=TWO):
            here = current_context()
            assert (here.actor, here.correlation_id, here.causation_id) == ("dr.lee", ONE, TWO)
        with vdb.context(actor=""):
            assert current_context().actor == ""
        assert current_context().causation_id == b""
    assert current_context().actor == ""


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), vdb.context(actor="dr.lee"):
        raise KeyError
    assert current_context().actor == ""


def test_what_an_event_caused_goes_on_with_its_correlation() -> None:
    with vdb.context(caused_by=recorded(event_id=ONE, correlation_id=TWO)):
        assert (current_context().causation_id, current_context().correlation_id) == (ONE, TWO)
    with vdb.context(caused_by=recorded(event_id=ONE)):
        assert (current_context().causation_id, current_context().correlation_id) == (ONE, ONE)
    with vdb.context(caused_by=recorded(event_id=ONE), correlation_id=THREE):
        assert (current_context().causation_id, current_context().correlation_id) == (ONE, THREE)


def test_another_context_of_python_is_untouched() -> None:
    outside = contextvars.copy_context()
    with vdb.context(actor="dr.lee"):
        assert outside.run(lambda: current_context().actor) == ""


def test_ids_have_many_forms() -> None:
    uuid = UUID(bytes=ONE)
    assert [id_bytes(one, "x") for one in (ONE, uuid, str(uuid), uuid.hex)] == [ONE] * 4


@pytest.mark.parametrize("value", [b"short", "text", "z" * 32, 7, None, "é" * 32])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="an id is 16 bytes, their hexadecimal digits, or a UUID"):
        id_bytes(value, "an id")
