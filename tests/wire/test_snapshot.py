"""Blocks of rows: round trips, widths, and bytes that aren't blocks."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.wire.schema import snapshot
from vdb.wire.snapshot import decode_rows, encode_rows

ROWS = st.dictionaries(st.binary(max_size=20), st.binary(max_size=40), max_size=20)
FIXED = st.dictionaries(st.binary(min_size=8, max_size=8), st.binary(min_size=24, max_size=24), max_size=20)


@given(table=st.integers(0, 65535), rows=ROWS | FIXED, removed=st.lists(st.binary(max_size=20), max_size=5))
def test_a_block_decodes_to_what_was_encoded(table: int, rows: dict[bytes, bytes], removed: list[bytes]) -> None:
    data = encode_rows(table, list(rows), list(rows.values()), removed)
    block = decode_rows(data)
    assert block.table == table
    assert dict(zip(block.keys, block.values, strict=True)) == rows
    assert block.removed == removed
    assert encode_rows(table, list(rows), list(rows.values()), removed) == data


def test_rows_of_one_width_have_no_sizes() -> None:
    data = encode_rows(1, [b"12345678"] * 1000, [b"v" * 24] * 1000)
    assert len(data) < 1000 * 32 + 200


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_a_block(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_rows(data)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"count": 3, "keySize": 2, "keys": b"abcde"}, "expected 3 times 2 bytes, found 5"),
        ({"count": 3, "keySizes": b"\0\0\0\1", "keys": b"a"}, "expected 3 sizes, found 4 bytes"),
        ({"count": 1, "keySizes": b"\0\0\0\1", "keys": b"ab"}, "the sizes add up to 1, found 2"),
        ({"removed": b"\0\0\0\5ab"}, "a removed key is cut short"),
    ],
)
def test_sizes_that_do_not_add_up_are_refused(fields: dict[str, object], text: str) -> None:
    message = snapshot.RowBlock.new_message(**fields)
    with pytest.raises(WireError, match=text):
        decode_rows(message.to_bytes())
