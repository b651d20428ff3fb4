"""Sealed records: the known answers, round trips, and every way to spoil one."""

from __future__ import annotations

import pytest
from attrs import astuple, evolve
from hypothesis import example, given
from hypothesis import strategies as st

from vdb.crypto import record as rec
from vdb.crypto.record import (
    BODY_OVERHEAD,
    CHAIN_START,
    RecordHeader,
    RecordKey,
    chain,
    decode_header,
    decode_record,
    encode_header,
    encode_record,
    header_size,
    leaf_hash,
    open_body,
    prune_record,
    record_leaf,
    record_start,
    schema_of,
    seal,
)
from vdb.errors import RecordTampered, TooLarge
from vdb.limits import RECORD_SIZE_MAX
from vdb.types import DataClass

KEY = bytes(range(32))
SALT = bytes(range(100, 132))
PLAINTEXT = b"Jane Roe has the flu"
HEADER = RecordHeader(
    tenant=1,
    stream=7,
    offset=42,
    count=2,
    data_class=DataClass.PHI,
    region="eu-west-1",
    subject_token=bytes(range(32, 64)),
    dek_id=bytes(range(64, 80)),
    schema_id=1,
    time=1_700_000_000_000_000,
)
HEADER_BYTES = HEADER.encode()
BODY = seal(HEADER_BYTES, KEY, PLAINTEXT, SALT)
EVENT_IDS = bytes(range(32))
RECORD = encode_record(HEADER_BYTES, EVENT_IDS, BODY)

HEADERS = st.builds(
    RecordHeader,
    tenant=st.integers(0, 2**128 - 1),
    stream=st.integers(0, 2**128 - 1),
    offset=st.integers(0, 2**64 - 1),
    count=st.integers(0, 2**32 - 1),
    data_class=st.sampled_from(DataClass),
    region=st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    subject_token=st.binary(min_size=32, max_size=32),
    dek_id=st.binary(min_size=16, max_size=16),
    schema_id=st.integers(0, 2**32 - 1),
    time=st.integers(0, 2**64 - 1),
)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


# Known answers


def test_header_of_the_vector(kat: dict[str, bytes]) -> None:
    header = decode_header(kat["aad"])
    assert header.region == "eu-1"
    assert header.data_class is DataClass.PHI
    assert (header.offset, header.count, header.schema_id, header.time) == (42, 3, 7, 1_700_000_000_000_000)
    assert header.tenant == int.from_bytes(bytes(range(16)), "big")
    assert header.dek_id == bytes(range(0x40, 0x50))
    assert header.encode() == kat["aad"]


def test_body_of_the_vector(kat: dict[str, bytes]) -> None:
    plaintext = open_body(kat["aad"], kat["dek"], kat["body"])
    assert plaintext == b'{"resourceType":"Observation"}'
    assert seal(kat["aad"], kat["dek"], plaintext, kat["salt"]) == kat["body"]
    assert kat["body"][32:64] == kat["commit"]


def test_leaf_and_chain_of_the_vector(kat: dict[str, bytes]) -> None:
    leaf = leaf_hash(kat["aad"], kat["body"])
    assert leaf == kat["leaf_hash"]
    assert chain(CHAIN_START, leaf) == kat["chain_1"]
    assert record_leaf(encode_record(kat["aad"], b"", kat["body"])) == leaf


# Round trips


@given(header=HEADERS)
def test_headers_round_trip(header: RecordHeader) -> None:
    data = header.encode()
    assert len(data) == header_size(data) == 112 + len(header.region)
    assert decode_header(data) == header


@given(header=HEADERS, plaintext=st.binary(max_size=2000), salt=st.binary(min_size=32, max_size=32))
@example(header=HEADER, plaintext=b"", salt=SALT)
def test_bodies_round_trip(header: RecordHeader, plaintext: bytes, salt: bytes) -> None:
    data = header.encode()
    body = seal(data, KEY, plaintext, salt)
    assert len(body) == len(plaintext) + BODY_OVERHEAD
    assert open_body(data, KEY, body) == plaintext
    assert open_body(memoryview(data), KEY, memoryview(body)) == plaintext
    assert seal(data, KEY, memoryview(plaintext), salt) == body


@given(header=HEADERS)
def test_headers_of_short_ids_are_the_same_without_the_value(header: RecordHeader) -> None:
    header = evolve(header, tenant=header.tenant % 2**64, stream=header.stream % 2**64)
    fields = astuple(header)
    assert encode_header(*fields[:5], header.region.encode(), *fields[6:]) == header.encode()


def test_one_record_key_seals_many_records_as_the_bare_key_does() -> None:
    key = RecordKey(KEY)
    for salt in (SALT, bytes(32), SALT):
        body = key.seal(HEADER_BYTES, PLAINTEXT, salt)
        assert body == seal(HEADER_BYTES, KEY, PLAINTEXT, salt)
        assert open_body(HEADER_BYTES, KEY, body) == PLAINTEXT
    assert repr(key) == "RecordKey()"


@pytest.mark.parametrize("ids", [b"", EVENT_IDS])
def test_records_round_trip_without_a_copy(ids: bytes) -> None:
    data = encode_record(HEADER_BYTES, ids, BODY)
    record = decode_record(data)
    assert record.header == HEADER
    assert (bytes(record.header_bytes), bytes(record.event_ids), bytes(record.body)) == (HEADER_BYTES, ids, BODY)
    assert record.body.obj is data
    assert record_leaf(memoryview(data)) == leaf_hash(HEADER_BYTES, BODY)
    assert open_body(record.header_bytes, KEY, record.body) == PLAINTEXT


@given(HEADERS)
def test_the_schema_is_read_without_the_rest(header: RecordHeader) -> None:
    assert schema_of(encode_record(header.encode(), b"", BODY)) == header.schema_id


def test_event_ids_are_no_part_of_the_leaf() -> None:
    assert record_leaf(RECORD) == record_leaf(encode_record(HEADER_BYTES, b"", BODY))


def test_the_same_run_under_another_salt_has_other_bytes() -> None:
    other = seal(HEADER_BYTES, KEY, PLAINTEXT, bytes(32))
    assert other[76:] != BODY[76:]
    assert other[32:64] != BODY[32:64]


# Every way to spoil one


@pytest.mark.parametrize("at", range(len(HEADER_BYTES)))
def test_each_byte_of_the_header_is_bound(at: int) -> None:
    with pytest.raises(RecordTampered):
        open_body(flipped(HEADER_BYTES, at), KEY, BODY)


@pytest.mark.parametrize("at", range(len(BODY)))
def test_each_byte_of_salt_commitment_nonce_ciphertext_and_tag_is_bound(at: int) -> None:
    with pytest.raises(RecordTampered):
        open_body(HEADER_BYTES, KEY, flipped(BODY, at))


@pytest.mark.parametrize("size", range(len(BODY)))
def test_a_body_cut_short_does_not_open(size: int) -> None:
    with pytest.raises(RecordTampered):
        open_body(HEADER_BYTES, KEY, BODY[:size])


def test_a_longer_body_does_not_open() -> None:
    with pytest.raises(RecordTampered):
        open_body(HEADER_BYTES, KEY, BODY + b"\0")


@pytest.mark.parametrize("at", range(32))
def test_another_key_does_not_open(at: int) -> None:
    with pytest.raises(RecordTampered):
        open_body(HEADER_BYTES, flipped(KEY, at), BODY)


def test_a_short_header_does_not_open() -> None:
    with pytest.raises(RecordTampered):
        open_body(HEADER_BYTES[:40], KEY, BODY)


@pytest.mark.parametrize("size", range(len(RECORD) - len(PLAINTEXT)))
def test_a_record_cut_short_is_refused(size: int) -> None:
    with pytest.raises(RecordTampered):
        decode_record(RECORD[:size])
    with pytest.raises(RecordTampered):
        record_leaf(RECORD[:size])


@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_in_one_way(data: bytes) -> None:
    for read in (decode_record, record_leaf, decode_header):
        try:
            read(data)
        except RecordTampered:
            continue


@given(at=st.integers(0, len(RECORD) - 1), byte=st.integers(0, 255))
def test_a_changed_record_is_refused_or_reads_as_what_it_says(at: int, byte: int) -> None:
    changed = RECORD[:at] + bytes((byte,)) + RECORD[at + 1 :]
    try:
        record = decode_record(changed)
        plaintext = open_body(record.header_bytes, KEY, record.body)
    except RecordTampered:
        return
    in_event_ids = len(HEADER_BYTES) + 4 <= at < len(HEADER_BYTES) + 4 + len(EVENT_IDS)
    assert changed == RECORD or in_event_ids
    assert plaintext == PLAINTEXT


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 0, "not a sealed record: expected VDBR version 1 algorithm 1, found other bytes, version 1 algorithm 1"),
        (4, 2, "not a sealed record: expected VDBR version 1 algorithm 1, found other bytes, version 2 algorithm 1"),
        (5, 9, "not a sealed record: expected VDBR version 1 algorithm 1, found other bytes, version 1 algorithm 9"),
        (50, 3, "a record's data class is 0, 1 or 2; found 3"),
        (51, 8, "a record's header ends wrong: expected 120 bytes, found 121"),
        (52, 0xC3, "a record's region is ASCII; found other bytes"),
    ],
)
def test_what_a_malformed_header_is_told(at: int, value: int, message: str) -> None:
    with pytest.raises(RecordTampered) as caught:
        decode_header(HEADER_BYTES[:at] + bytes((value,)) + HEADER_BYTES[at + 1 :])
    assert str(caught.value) == message


def test_event_ids_must_fit_the_count() -> None:
    with pytest.raises(RecordTampered, match="a record of 2 events holds none or 32 bytes of event ids; found 16"):
        decode_record(encode_record(HEADER_BYTES, EVENT_IDS[:16], BODY))


def test_a_record_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match=f"at most {RECORD_SIZE_MAX} bytes; found {RECORD_SIZE_MAX + 1}"):
        seal(HEADER_BYTES, KEY, bytes(RECORD_SIZE_MAX - BODY_OVERHEAD + 1), SALT)


# What must not show


def test_the_commitment_is_compared_in_constant_time_before_anything_is_decrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: memoryview) -> bool:
        compared.append((a, bytes(b)))
        return False

    monkeypatch.setattr(rec, "compare_digest", compare)
    monkeypatch.setattr(rec, "AESGCM", None)
    with pytest.raises(TypeError):
        seal(HEADER_BYTES, KEY, PLAINTEXT, SALT)
    with pytest.raises(RecordTampered):
        open_body(HEADER_BYTES, KEY, BODY)
    assert compared == [(BODY[32:64], BODY[32:64])]


@pytest.mark.parametrize("spoiled", [(flipped(KEY, 0), BODY), (KEY, flipped(BODY, len(BODY) - 1)), (KEY, b"")])
def test_no_key_and_no_plaintext_in_errors(spoiled: tuple[bytes, bytes]) -> None:
    with pytest.raises(RecordTampered) as caught:
        open_body(HEADER_BYTES, *spoiled)
    assert caught.value.__context__ is None
    assert str(caught.value) == (
        "a sealed record doesn't open: expected the key and the bytes that it was sealed with, found others"
    )


def test_no_token_and_no_body_in_reprs() -> None:
    shown = repr(decode_record(RECORD))
    assert "subject_token" not in shown
    assert "body" not in shown
    assert repr(HEADER.subject_token)[2:-1] not in shown


@given(count=st.integers(1, 5), with_ids=st.booleans(), body=st.binary(min_size=BODY_OVERHEAD, max_size=300))
def test_what_is_left_of_a_pruned_record_has_its_leaf_its_ids_and_its_place(
    count: int, with_ids: bool, body: bytes
) -> None:
    header = evolve(HEADER, count=count)
    whole = encode_record(header.encode(), b"i" * 16 * count if with_ids else b"", body)
    left = prune_record(whole)
    assert body not in left
    assert record_leaf(left) == record_leaf(whole)
    assert whole.startswith(record_start(header.tenant))
    assert left.startswith(record_start(header.tenant))
    before, after = decode_record(whole), decode_record(left)
    assert after.is_pruned
    assert not before.is_pruned
    assert (after.header, after.event_ids, after.leaf_data) == (before.header, before.event_ids, before.leaf_data)
    assert bytes(after.body) == b""
    assert prune_record(left) == left
    with pytest.raises(RecordTampered, match="doesn't open"):
        open_body(after.header_bytes, KEY, after.body)


def test_a_pruned_record_of_another_length_is_refused() -> None:
    left = prune_record(encode_record(HEADER.encode(), b"", bytes(BODY_OVERHEAD)))
    for wrong in (left[:-1], left + b"x"):
        with pytest.raises(RecordTampered, match=f"a pruned record has {len(left)} bytes; found {len(wrong)}"):
            decode_record(wrong)
