"""What crosses about consumer groups comes out as it went in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.consumers import (
    ConsumerInfo,
    ConsumerSettings,
    DeadLetterInfo,
    Delivered,
    MemberInfo,
    OrderedBy,
    Settlement,
    Verdict,
)
from vdb.errors import WireError
from vdb.selection import EventFilter, EventRecord, EventStart, StartKind
from vdb.types import DataClass, GroupId, Position
from vdb.wire import consumer_api as api
from vdb.wire.schema import struct_module, verity

GROUP = GroupId("ap-southeast-2")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
ID = st.binary(min_size=16, max_size=16)

FILTERS = st.builds(EventFilter, stream=TEXT, prefixes=st.lists(TEXT, max_size=3), types=st.lists(TEXT, max_size=3))
STARTS = st.one_of(
    st.sampled_from([EventStart(), EventStart(StartKind.END)]),
    st.builds(EventStart, st.sampled_from([StartKind.OFFSET, StartKind.POSITION]), U64),
    st.builds(EventStart, st.just(StartKind.TIME), I64),
)
SETTINGS = st.builds(
    ConsumerSettings,
    filter=FILTERS,
    start=STARTS,
    ack_us=U64,
    in_flight_max=U32,
    member_in_flight_max=U32,
    ordered_by=st.sampled_from(OrderedBy),
    max_deliver=U32,
    backoff_us=U64,
    backoff_max_us=U64,
)
RECORDS = st.builds(
    EventRecord,
    stream=TEXT,
    offset=U64,
    position=st.builds(Position, st.just(GROUP), U64),
    time=I64,
    payload=st.binary(max_size=30),
    event_id=st.none() | ID,
    schema_id=U32,
    data_class=st.sampled_from(DataClass),
)
DELIVERIES = st.builds(Delivered, event=RECORDS, attempt=U32, deadline=I64)
SETTLEMENTS = st.one_of(
    st.builds(Settlement, position=U64, attempt=U32, verdict=st.sampled_from([Verdict.ACK, Verdict.UNTRIED])),
    st.builds(Settlement, position=U64, attempt=U32, verdict=st.just(Verdict.NAK), delay_us=I64),
    st.builds(Settlement, position=U64, attempt=U32, verdict=st.just(Verdict.EXTEND), delay_us=U64),
    st.builds(Settlement, position=U64, attempt=U32, verdict=st.just(Verdict.TERM), reason=TEXT),
)
INFOS = st.builds(
    ConsumerInfo,
    name=TEXT,
    group=TEXT,
    settings=SETTINGS,
    position=U64,
    head=U64,
    in_flight=U32,
    waiting=U32,
    dead_letters=U64,
    acked=U64,
    delivered=U64,
    created_at=I64,
    members=st.lists(st.builds(MemberInfo, id=ID, in_flight=U32), max_size=3).map(tuple),
)
LETTERS = st.builds(DeadLetterInfo, position=U64, stream=TEXT, offset=U64, attempts=U32, time=I64, reason=TEXT)


def results_of(method: str) -> Any:
    """A fresh message of the results of one method."""
    return struct_module(verity.VerityDb.schema.methods[method].result_type, method).new_message()


def params_of(method: str) -> Any:
    return struct_module(verity.VerityDb.schema.methods[method].param_type, method).new_message()


@given(SETTINGS)
def test_settings(settings: ConsumerSettings) -> None:
    builder = verity.ConsumerSettings.new_message()
    api.settings_into(builder, settings)
    assert api.settings_from(builder.as_reader()) == settings


@given(st.lists(DELIVERIES, max_size=3))
def test_deliveries(deliveries: list[Delivered]) -> None:
    results = results_of("consumerFetch")
    api.deliveries_into(results, deliveries)
    assert api.deliveries_from(results.as_reader(), GROUP) == deliveries


@given(st.lists(SETTLEMENTS, max_size=4))
def test_settlements(settlements: list[Settlement]) -> None:
    params = params_of("consumerSettle")
    api.settlements_into(params, settlements)
    assert api.settlements_from(params.as_reader()) == settlements


@given(st.lists(INFOS, max_size=3))
def test_consumers(infos: list[ConsumerInfo]) -> None:
    results = results_of("consumerList")
    api.infos_into(results, infos)
    assert api.infos_from(results.as_reader()) == infos


@given(st.lists(LETTERS, max_size=3))
def test_dead_letters(letters: list[DeadLetterInfo]) -> None:
    results = results_of("deadLetters")
    api.letters_into(results, letters)
    assert api.letters_from(results.as_reader()) == letters


def test_an_unknown_order_is_refused() -> None:
    builder = verity.ConsumerSettings.new_message(orderedBy=3)
    with pytest.raises(WireError, match="a consumer's order is a number below 3; found 3"):
        api.settings_from(builder.as_reader())
