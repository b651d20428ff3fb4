"""Values become plain ones that JSON and a browser hold exactly; messages are told by their fields."""

from __future__ import annotations

import json
from enum import Enum

import pytest
from attrs import frozen

from sim.timeline.describe import TEXT_MAX, detail, message_details, message_type, traced_event


class Colour(Enum):
    RED = 1


@frozen
class Header:
    op: int
    view: int
    group: bytes = b"g" * 32


@frozen
class StartViewMessage:
    view: int
    header: Header
    tail: tuple[Header, ...]
    checksum: bytes
    body: bytes = b"12345"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (3, 3),
        (1 << 60, str(1 << 60)),
        (True, True),
        (None, None),
        (Colour.RED, "red"),
        (b"\xab" * 32, "abababababab"),
        (memoryview(b"\xab" * 40), "abababababab…"),
        ((1, 2), "(1, 2)"),
        ((b"\xab" * 6, b"\xcd" * 6), "abababababab, cdcdcdcdcdcd"),
        ("x" * 2 * TEXT_MAX, "x" * (TEXT_MAX - 1) + "…"),
    ],
)
def test_details_are_plain(value: object, plain: object) -> None:
    assert detail(value) == plain
    json.dumps(detail(value))


def test_a_message_is_told_by_its_fields_and_its_header_s() -> None:
    message = StartViewMessage(4, Header(7, 3), (Header(5, 3), Header(6, 3)), b"\x01" * 32)
    assert message_type(message) == "start_view"
    assert message_details(message) == {
        "op": 7, "view": 3, "tail": "2: ops 5 to 6", "checksum": "010101010101", "body_bytes": 5,
    }  # fmt: skip


def test_trace_lines_that_others_tell_better_are_left_out() -> None:
    assert traced_event("n0.1", "commit", ("eu", 7)) is None
    assert traced_event("c0", "append", ("ok",)) is None


def test_trace_lines_of_lives_and_the_nemesis_are_events() -> None:
    assert traced_event("n0.1", "ended", ("DiskFull", "no space")) == (
        "ended",
        "DiskFull no space",
        {"error": "DiskFull", "message": "no space"},
    )
    assert traced_event("n0.1", "crash at", ("write",)) == ("fault", "power fails at write", {"port_call": "write"})
    assert traced_event("nemesis", "healed", ()) == ("heal", "healed", {})
    assert traced_event("nemesis", "odd", (1, 2)) == ("nemesis", "odd 1 2", {"value 1": 1, "value 2": 2})
