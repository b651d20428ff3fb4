"""SQL values between Python and the interface."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.changes import RawText
from vdb.wire.schema import verity
from vdb.wire.sql_api import check_value, parameters_from, parameters_into, rows_from, rows_into, value_from, value_into

values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=100),
    st.binary(max_size=20).map(RawText),
)


@given(st.integers(1, 5).flatmap(lambda width: st.lists(st.tuples(*[values] * width), max_size=6)))
def test_rows_come_back_as_they_were(rows: list[tuple[object, ...]]) -> None:
    message = verity.SqlAnswer.new_message()
    rows_into(message, rows)
    with verity.SqlAnswer.from_bytes(message.to_bytes()) as reader:
        assert rows_from(reader, len(rows[0]) if rows else 3) == rows


@given(st.one_of(st.lists(values).map(tuple), st.dictionaries(st.text(min_size=1), values)))
def test_parameters_come_back_as_they_were(parameters: object) -> None:
    message = verity.SqlParameters.new_message()
    parameters_into(message, parameters)
    with verity.SqlParameters.from_bytes(message.to_bytes()) as reader:
        assert parameters_from(reader) == (parameters or ())


def test_kinds_of_bytes_and_of_numbers_are_kept() -> None:
    for given_value, expected in ((bytearray(b"x"), b"x"), (memoryview(b"y"), b"y"), (True, 1)):
        message = verity.Value.new_message()
        value_into(message, given_value)
        found = value_from(message.as_reader())
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [(2**63, OverflowError, "too large"), (-(2**63) - 1, OverflowError, "too large"), (object(), TypeError, "object")],
)
def test_what_sqlite_cannot_hold_is_said_before(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_value(value)
    check_value(2**63 - 1)
    check_value(RawText(b"\xff"))
