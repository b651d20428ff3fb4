from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import RefusalCode, WireError
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import (
    AppendBatch,
    AppendPart,
    CreateStream,
    Expected,
    ExpectedKind,
    KeyRow,
    KeyScope,
    KnownAppend,
    KnownPiece,
    MemberRow,
    OpenSession,
    Origin,
    PutKey,
    Reconfigure,
    Reject,
    Request,
    RewrapKeys,
    Run,
    StartPeriod,
    StreamAppend,
    VoidTransaction,
)
from vdb.limits import RECORD_SIZE_MAX
from vdb.types import DataClass
from vdb.wire import schema
from vdb.wire.command import decode_body, encode_body

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
data_classes = st.sampled_from(DataClass)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
octets = st.binary(max_size=80)

nodes = st.lists(st.integers(0, 255), max_size=8).map(tuple)
runs = st.builds(Run, count=u32, record=octets)
expecteds = st.builds(Expected, st.sampled_from(ExpectedKind), u64)
appends = st.builds(StreamAppend, stream=u64, expected=expecteds, runs=st.lists(runs, max_size=3).map(tuple))
known_pieces = st.builds(
    KnownPiece, stream=u64, event_id=st.binary(min_size=16, max_size=16), count=st.integers(1, 2**32 - 1)
)
key_rows = st.builds(
    KeyRow,
    dek_id=octets,
    tenant=u64,
    scope=st.sampled_from(KeyScope),
    data_class=data_classes,
    lookup=octets,
    subject_token=octets,
    kek_id=octets,
    kek_version=st.integers(0, 2**16 - 1),
    wrapped=octets,
    wrapped_secret=octets,
    period=st.integers(0, 2**16 - 1),
)
commands = st.one_of(
    st.builds(AppendBatch, tenant=u64, appends=st.lists(appends, max_size=3).map(tuple)),
    st.builds(
        AppendPart,
        transaction=u64,
        number=u32,
        tenant=u64,
        appends=st.lists(appends, max_size=3).map(tuple),
        last=st.booleans(),
    ),
    st.builds(VoidTransaction, transaction=u64),
    st.builds(AuditAppend, tenant=st.integers(0, 2**63 - 1), count=u32, writes=u32, record=octets),
    st.builds(
        KnownAppend,
        tenant=u64,
        pieces=st.lists(
            st.one_of(
                st.builds(KnownPiece, stream=u64, event_id=st.just(b""), count=st.just(0)),
                known_pieces,
            ),
            max_size=3,
        ).flatmap(lambda some: known_pieces.map(lambda last: (*some, last))),
        whole=st.just(True),
    ),
    st.builds(
        KnownAppend,
        tenant=u64,
        pieces=st.tuples(
            st.builds(KnownPiece, stream=u64, event_id=st.binary(min_size=16, max_size=16), count=st.just(1))
        ),
        whole=st.just(False),
    ),
    st.builds(
        CreateStream,
        tenant=u64,
        stream=u64,
        data_class=data_classes,
        region=text,
        lookup=octets,
        record=octets,
        if_not_exists=st.booleans(),
    ),
    st.builds(OpenSession, owner=st.sampled_from([b"", b"o" * 32])),
    st.builds(PutKey, row=key_rows),
    st.builds(
        RewrapKeys,
        root_key_id=octets,
        begins=st.booleans(),
        rotation_id=octets,
        rows=st.lists(key_rows, max_size=3).map(tuple),
    ),
    st.builds(StartPeriod, tenant=u64, period=u32, rotation_id=octets),
    st.builds(
        Reconfigure,
        epoch=u64,
        base_epoch=u64,
        voters=nodes,
        learners=nodes,
        members=st.lists(
            st.builds(MemberRow, node=st.integers(0, 255), name=text, peer_address=text, address=text, disk_id=octets),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(Reject, code=st.sampled_from(RefusalCode), message=text),
)
requests = st.builds(Request, st.builds(Origin, st.binary(min_size=16, max_size=16), u64, u64), commands)
bodies = st.lists(requests, max_size=5)

OPEN = Request(Origin(b"c" * 16), OpenSession())


@given(bodies)
def test_round_trip(batch: list[Request]) -> None:
    assert decode_body(encode_body(batch)) == batch


@given(bodies)
def test_encoding_is_deterministic(batch: list[Request]) -> None:
    assert encode_body(batch) == encode_body([evolve(request) for request in batch])


def test_records_come_back_as_bytes() -> None:
    run = Run(count=1, record=b"sealed")
    batch = AppendBatch(tenant=1, appends=(StreamAppend(stream=2, expected=Expected(), runs=(run,)),))
    (request,) = decode_body(encode_body([Request(Origin(), batch)]))
    assert type(request.command.appends[0].runs[0].record) is bytes
    assert type(request.origin.client) is bytes


def test_a_body_of_the_largest_message() -> None:
    record = bytes(4 * 1024 * 1024 - 4096)
    append = StreamAppend(stream=2, expected=Expected(), runs=(Run(count=1, record=record),) * 4)
    batch = [Request(Origin(), AppendBatch(tenant=1, appends=(append,)))]
    body = encode_body(batch)
    assert RECORD_SIZE_MAX - 32_768 < len(body) <= RECORD_SIZE_MAX
    assert decode_body(body) == batch


def test_a_body_of_many_small_requests() -> None:
    assert decode_body(encode_body([OPEN] * 10_000)) == [OPEN] * 10_000


@pytest.mark.parametrize("size", [7, RECORD_SIZE_MAX + 8])
def test_a_body_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(WireError, match=f"whole words of 8 bytes, at most 16777216 bytes; found {size}"):
        decode_body(bytes(size))


@given(st.binary(max_size=400).map(lambda data: data + bytes(-len(data) % 8)))
def test_arbitrary_bytes_give_requests_or_a_wire_error(data: bytes) -> None:
    decodes_or_wire_error(data)


@given(bodies, st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bodies_give_requests_or_a_wire_error(batch: list[Request], damage: list[tuple[int, int]]) -> None:
    data = bytearray(encode_body(batch))
    for place, value in damage:
        data[place % len(data)] = value
    decodes_or_wire_error(bytes(data))


@given(bodies, st.integers(0, 2**16))
def test_cut_bodies_give_requests_or_a_wire_error(batch: list[Request], cut: int) -> None:
    data = encode_body(batch)
    decodes_or_wire_error(data[: cut % len(data) // 8 * 8])


def decodes_or_wire_error(data: bytes) -> None:
    """What decodes can be encoded again; so each field is in its range."""
    try:
        batch = decode_body(data)
    except WireError:
        return
    assert decode_body(encode_body(batch)) == batch


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def test_a_list_that_claims_half_a_billion_requests_is_refused() -> None:
    """A composite list of structs without a size takes one word, however many it claims."""
    root, list_of_structs, count = 1 << 48, 1 | 7 << 32, (2**29 - 1) << 2
    with pytest.raises(WireError):
        decode_body(words(3 << 32, root, list_of_structs, count))


def test_pointers_that_overlap_are_refused() -> None:
    """Each of 100 runs claims the same record: decoded they would be 60 times the message."""
    runs = (Run(count=1, record=bytes(4096)),) + (Run(count=1, record=b""),) * 99
    append = StreamAppend(stream=2, expected=Expected(), runs=runs)
    body = encode_body([Request(Origin(), AppendBatch(tenant=1, appends=(append,)))])
    record = body.index((2 | 4096 << 3).to_bytes(4, "little")) - 4
    offset = int.from_bytes(body[record : record + 4], "little") >> 2
    overlapping = bytearray(body)
    for index in range(1, 100):
        at = record + 16 * index
        pointer = (1 | (offset - 2 * index) << 2) | (2 | 4096 << 3) << 32
        overlapping[at : at + 8] = pointer.to_bytes(8, "little")
    with pytest.raises(WireError):
        decode_body(bytes(overlapping))


def body_with(**fields: object) -> bytes:
    """One request with these raw fields, whatever the encoder would say."""
    request = {"client": b"c" * 16, **fields}
    encoded: bytes = schema.command.PrepareBody.new_message(requests=[request]).to_bytes()
    return encoded


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (body_with(client=b"short"), "a client id has 16 bytes; found 5"),
        (
            body_with(appendBatch={"appends": [{"expectedKind": 4}]}),
            "an expected offset is of kind 0 to 3; found 4",
        ),
        (
            body_with(knownAppend={"pieces": [{"eventId": b"short", "count": 1}], "whole": True}),
            "the id of 1 known events has 16 bytes; found 5",
        ),
        (
            body_with(knownAppend={"pieces": [{"eventId": bytes(16)}], "whole": True}),
            "the id of 0 known events has 0 bytes; found 16",
        ),
        (
            body_with(knownAppend={"pieces": [{"stream": 1}], "whole": True}),
            "an append that is known has events; one that is refused names one of them",
        ),
        (
            body_with(knownAppend={"pieces": [{"eventId": bytes(16), "count": 2}]}),
            "an append that is known has events; one that is refused names one of them",
        ),
        (body_with(createStream={"dataClass": 3}), "a data class lies between 0 and 2; found 3"),
        (body_with(putKey={"scope": 9}), "a key's scope lies between 0 and 5; found 9"),
        (body_with(putKey={"dataClass": 200}), "a data class lies between 0 and 2; found 200"),
        (
            body_with(auditAppend={"tenant": 2**63}),
            "an audit log is that of a tenant up to 9223372036854775807; found 9223372036854775808",
        ),
        (body_with(reject={"code": "NEW"}), "a rejected request names a refusal code of this version; found another"),
        (body_with(openSessionAs=b"short"), "whose a session is, 32 bytes say; found 5"),
        (b"\xff" * 64, "a prepare's body isn't a message of requests of this version"),
        (b"", "a prepare's body isn't a message of requests of this version"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, message: str) -> None:
    with pytest.raises(WireError, match=f"^{message}$"):
        decode_body(body)


def test_a_command_of_a_newer_version_is_refused() -> None:
    """The union's tag is the third word of the request, behind framing, two pointers and the list's tag."""
    body = bytearray(encode_body([OPEN]))
    at = 8 * (1 + 2 + 1 + 2)
    assert body[at : at + 2] == (2).to_bytes(2, "little")
    body[at : at + 2] = (99).to_bytes(2, "little")
    with pytest.raises(WireError, match="isn't a message of requests of this version"):
        decode_body(bytes(body))
