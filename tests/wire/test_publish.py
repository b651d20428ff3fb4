"""What is read and laid by hand is what pycapnp reads and lays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.wire import schema
from vdb.wire.api import batch_from
from vdb.wire.publish import batch_of_one, group_text, publish_results, usual_publish

METHOD = schema.verity.VerityDb.schema.methods["publish"]
PARAMS = schema.struct_module(METHOD.param_type, "publish$Params")
RESULTS = schema.struct_module(METHOD.result_type, "publish$Results")
U64 = st.integers(0, 2**64 - 1)


def params(**fields: Any) -> bytearray:
    message = PARAMS.new_message()
    for name, value in fields.items():
        setattr(message, name, value)
    (segment,) = message.to_segments()
    return bytearray(segment)


@given(
    tenant=U64,
    stream=st.text(max_size=20),
    payload=st.binary(min_size=1, max_size=300),
    subject=st.text(max_size=9),
    event_id=st.none() | st.binary(min_size=1, max_size=17),
    schema_id=st.integers(0, 2**32 - 1),
    origin=st.none() | st.fixed_dictionaries({"client": st.binary(min_size=1), "session": U64, "number": U64}),
)
def test_usual_parameters_are_read_as_pycapnp_reads_them(
    tenant: int,
    stream: str,
    payload: bytes,
    subject: str,
    event_id: bytes | None,
    schema_id: int,
    origin: dict[str, Any] | None,
) -> None:
    fields: dict[str, Any] = {"tenant": tenant, "stream": stream, "payloads": [payload], "schemaId": schema_id}
    if subject:
        fields["subject"] = subject
    if event_id is not None:
        fields["eventIds"] = [event_id]
    if origin is not None:
        fields["origin"] = origin
    content = params(**fields)
    found = usual_publish(content)
    assert found is not None
    reader = PARAMS.from_segments([content])
    assert (found.tenant, found.stream, found.subject) == (reader.tenant, reader.stream, reader.subject)
    assert (found.batch, found.schema_id) == (batch_from(reader.payloads), reader.schemaId)
    assert found.event_ids == b"".join(reader.eventIds)
    assert (found.client, found.session, found.number) == (
        reader.origin.client,
        reader.origin.session,
        reader.origin.number,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": "a"},
        {"stream": "a", "payloads": []},
        {"stream": "a", "payloads": [b""]},
        {"stream": "a", "payloads": [b"1", b"2"]},
        {"stream": "a", "payloads": [b"1"], "eventIds": [b"1", b"2"]},
        {"stream": "a", "payloads": [b"1"], "expected": {"exact": 7}},
        {"payloads": [b"1"]},
    ],
)
def test_other_parameters_are_left_to_pycapnp(fields: dict[str, Any]) -> None:
    assert usual_publish(params(**fields)) is None


@given(data=st.data())
def test_changed_bytes_are_read_as_pycapnp_reads_them_or_left_to_it(data: st.DataObject) -> None:
    content = params(tenant=1, stream="notes", payloads=[b"abc"], subject="p-1", origin={"client": bytes(16)})
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    found = usual_publish(content)
    if found is None:
        return
    try:
        reader = PARAMS.from_segments([content], len(content) + 64)
        assert (found.tenant, found.stream, found.subject) == (reader.tenant, reader.stream, reader.subject)
        assert (found.batch, found.client) == (batch_from(reader.payloads), reader.origin.client)
    except schema.CapnpError as error:
        raise WireError("read by hand what pycapnp refuses") from error


@given(payload=st.binary(min_size=1, max_size=100))
def test_a_batch_of_one_is_the_message_that_pycapnp_makes(payload: bytes) -> None:
    message = schema.event.EventBatch.new_message()
    message.payloads = [payload]
    assert batch_of_one(payload) == message.to_bytes()


@given(first=U64, last=U64, position=U64, time=st.integers(-(2**63), 2**63 - 1), group=st.text(min_size=1, max_size=20))
def test_results_are_what_pycapnp_makes(first: int, last: int, position: int, time: int, group: str) -> None:
    message = RESULTS.new_message()
    message.firstOffset, message.nextOffset, message.nextPosition, message.time = first, last, position, time
    message.group = group
    assert [publish_results(first, last, position, time, group_text(group))] == list(message.to_segments())
