"""The verifier's parts against those of the product, and against what others have written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from vdb.evidence.merkle import Frontier, leaf_hash
from vdb.evidence.tiles import tiles_of
from vdb.verifier.assemble import verifier_source
from vdb.verifier.canonical import canonical_event, canonical_json, parse_json
from vdb.verifier.disclosures import csv_line, disclosure_rows
from vdb.verifier.faults import Fault
from vdb.verifier.records import batch_payloads
from vdb.verifier.trees import GrowingTree, hash_of_leaf, tile_names
from vdb.wire.event import encode_batch

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_canonical_json_is_that_of_others(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)
    assert parse_json(canonical_json(value)) == value


EVENTS = st.dictionaries(
    st.text(st.characters(codec="ascii"), max_size=9),
    st.recursive(
        TEXTS | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=9), inner)
        ),
        max_leaves=9,
    ),
)


@given(EVENTS)
def test_events_have_the_same_form(event: Any) -> None:
    assert canonical_event(event) == canonical_json(event)


def test_an_event_that_utf_8_can_not_hold_is_refused() -> None:
    with pytest.raises(Fault):
        canonical_event({"a": "\ud800"})


@pytest.mark.parametrize("value", [2**53, -(2**53), 1.5, "\ud800", {"\udfff": 1}, b"x"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(Fault):
        canonical_json(value)


@pytest.mark.parametrize("data", [b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(Fault):
        parse_json(data)


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_a_tree_grows_as_the_product_s(leaves: list[bytes]) -> None:
    ours, theirs = GrowingTree(), Frontier()
    for leaf in leaves:
        assert hash_of_leaf(leaf) == leaf_hash(leaf)
        ours.add(hash_of_leaf(leaf))
        theirs = theirs.append(leaf_hash(leaf))
    assert (ours.size, ours.root()) == (theirs.size, theirs.root())


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 70_000, 256_001])
def test_tiles_have_the_names_of_the_standard(size: int) -> None:
    assert list(tile_names(size)) == [tile.path for tile in tiles_of(size) if tile.level == 0]


@given(st.lists(st.binary(max_size=3000), max_size=12))
def test_batches_are_read_without_a_library(payloads: list[bytes]) -> None:
    assert batch_payloads(encode_batch(payloads)) == payloads


def test_a_large_batch_lies_in_several_segments() -> None:
    payloads = [bytes([number]) * 5000 for number in range(40)]
    data = encode_batch(payloads)
    assert int.from_bytes(data[:4], "little") > 0
    assert batch_payloads(data) == payloads


@given(st.lists(st.binary(max_size=30), max_size=6), st.data())
def test_a_damaged_batch_is_a_fault_and_nothing_else(payloads: list[bytes], data: st.DataObject) -> None:
    batch = bytearray(encode_batch(payloads))
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(0, len(batch) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = batch_payloads(bytes(batch[: data.draw(st.integers(0, len(batch)))]))
    except Fault:
        return
    assert all(isinstance(one, bytes) for one in found)


def test_disclosures_say_to_whom_of_whom_and_why() -> None:
    entry = {
        "kind": "export",
        "time": 1_795_330_440_123_000,
        "actor": "officer.kim",
        "purpose": "PUBHLTH",
        "subjects": ["Patient/1", "Patient/2"],
        "detail": {"recipient": "State, Dept", "description": "=1+1", "disclosure-basis": "164.512(b)"},
    }
    rows = disclosure_rows(entry, "4-0")
    assert [row[2] for row in rows] == ["Patient/1", "Patient/2"]
    assert csv_line(rows[0]) == (
        '4-0,2026-11-22T06:54:00.123Z,Patient/1,"State, Dept",,\'=1+1,PUBHLTH,164.512(b),officer.kim,,\r\n'
    )
    assert disclosure_rows({**entry, "purpose": "TREAT", "detail": {}}, "4-0")[0][-1].startswith("treatment, payment")
    assert disclosure_rows({**entry, "detail": {"disclosure-basis": "164.508"}}, "4-0")[0][-1].endswith("(a)(1)(iv)")
    assert disclosure_rows({**entry, "outcome": "denied"}, "4-0") == []
    assert disclosure_rows({**entry, "kind": "read"}, "4-0") == []
    assert disclosure_rows({**entry, "subjects": []}, "4-0")[0][2] == "*"


def test_the_verifier_is_one_file_that_imports_nothing_of_ours() -> None:
    source = verifier_source().decode()
    compile(source, "verify.py", "exec")
    assert "from vdb" not in source
    assert "import vdb" not in source
    assert json.dumps(source)
