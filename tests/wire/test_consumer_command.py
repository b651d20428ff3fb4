"""Commands of consumer groups through a prepare's body."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.kernel.command import INTERNAL, Request
from vdb.kernel.consumer_command import (
    ConsumerFetch,
    ConsumerLeave,
    ConsumerSettle,
    ConsumerTerms,
    CreateConsumer,
    DeleteConsumer,
    SettleLetters,
    SettleOne,
    Verdict,
)
from vdb.wire import schema
from vdb.wire.command import decode_body, encode_body

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
lookups = st.binary(min_size=32, max_size=32)
members = st.binary(max_size=16)
rising = st.lists(u64, max_size=8, unique=True).map(sorted)
of_group: dict[str, Any] = {"tenant": u64, "lookup": lookups}
commands = st.one_of(
    st.builds(
        CreateConsumer,
        **of_group,
        terms=st.builds(
            ConsumerTerms,
            ack_us=u64,
            in_flight_max=u32,
            member_in_flight_max=u32,
            ordered_by=st.integers(0, 255),
            max_deliver=u32,
            backoff_us=u64,
            backoff_max_us=u64,
        ),
        start=u64,
        fingerprint=lookups,
        sealed=st.binary(),
    ),
    st.builds(
        ConsumerFetch,
        **of_group,
        member=members,
        count_max=u32,
        scanned_from=u64,
        scanned_to=u64,
        candidates=rising.flatmap(
            lambda positions: st.tuples(*[st.tuples(st.just(position), u64) for position in positions])
        ),
    ),
    st.builds(
        ConsumerSettle,
        **of_group,
        member=members,
        settlements=st.lists(
            st.builds(
                SettleOne, u64, u32, st.sampled_from(Verdict), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=9)
            ),
            max_size=5,
        ).map(tuple),
    ),
    st.builds(ConsumerLeave, **of_group, member=members),
    st.builds(DeleteConsumer, **of_group),
    st.builds(SettleLetters, **of_group, positions=rising.map(tuple), drop=st.booleans()),
)


@given(st.lists(commands, max_size=3))
def test_round_trip(found: list[Any]) -> None:
    requests = [Request(INTERNAL, command) for command in found]
    assert decode_body(encode_body(requests)) == requests


def body(field: str, **values: Any) -> bytes:
    message = schema.command.PrepareBody.new_message()
    (request,) = message.init("requests", 1)
    request.client = bytes(16)
    target = request.init(field)
    for name, value in values.items():
        setattr(target, name, value)
    encoded: bytes = message.to_bytes()
    return encoded


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (body("consumerFetch", candidates=b"x" * 15), "elements of 16 bytes; found 15"),
        (body("consumerFetch", candidates=b"\0" * 32), "in the order of their positions"),
        (body("settleLetters", positions=b"\0" * 16), "in the order of their positions"),
        (body("consumerSettle", settlements=b"\0" * 12 + b"\x05" + b"\0" * 8), "a number below 5; found 5"),
        (body("consumerSettle", settlements=b"\0" * 21, reasons=[b"", b""]), "1 settlements have as many reasons"),
    ],
)
def test_what_is_no_command_is_an_error(bad: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        decode_body(bad)
