"""What a client refuses before anything is sent, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.client.values import EventRun, StreamAppend
from vdb.errors import InvalidArgument, TooLarge
from vdb.kernel.command import ANY, EMPTY, EXISTS, Expected, ExpectedKind
from vdb.types import U64_MAX


def append(**values: Any) -> StreamAppend:
    return StreamAppend(**{"stream": "notes", "runs": (), **values})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, ANY),
        (EMPTY, EMPTY),
        (EXISTS, EXISTS),
        (0, Expected(ExpectedKind.EXACT, 0)),
        (U64_MAX, Expected(ExpectedKind.EXACT, U64_MAX)),
    ],
)
def test_an_expectation(given: Any, found: Expected) -> None:
    assert append(expected=given).expected == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (True, "found bool"),
        ("5", "found str"),
        (5.0, "found float"),
        (-1, "expected an int from 0 to 18446744073709551615, found -1"),
        (2**64, "found 18446744073709551616"),
        (Expected(ExpectedKind.EXACT, -1), "the offset of an Expected: expected an int from 0 to .*, found -1"),
    ],
)
def test_an_expectation_that_is_none(given: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        append(expected=given)


@pytest.mark.parametrize("schema_id", [True, "1", None, -1, 2**32])
def test_a_schema_id_that_is_none(schema_id: Any) -> None:
    assert EventRun(payloads=b"x", schema_id=2**32 - 1).schema_id == 2**32 - 1
    with pytest.raises(InvalidArgument, match="a schema id: expected an int from 0 to 4294967295, found "):
        EventRun(payloads=b"x", schema_id=schema_id)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "expected a str, found NoneType"), (b"x", "found bytes"), ("a\ud800", "a lone surrogate at character 1")],
)
def test_names_and_subjects_that_are_no_text(text: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"a subject is text: .*{message}"):
        EventRun(payloads=b"x", subject=text)
    with pytest.raises(InvalidArgument, match=f"a stream's name is text: .*{message}"):
        append(stream=text)


def test_a_subject_that_is_too_long_is_not_quoted() -> None:
    with pytest.raises(TooLarge, match=r"^a subject has at most 512 bytes; found 514$"):
        EventRun(payloads=b"x", subject="é" * 257)
