"""The parts of `schemas/verity.capnp` that move filters, events and consumer groups: values into builders and back.

What is read from a message is copied: it outlives the message. What a message holds that no value can be raises
WireError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

# Filters and events ----------------------------------------------------------------------------------------------


def filter_into(builder: Any, value: EventFilter) -> None:
    builder.stream = value.stream
    if value.prefixes:
        builder.prefixes = list(value.prefixes)
    if value.types:
        builder.types = list(value.types)


def filter_from(reader: Any) -> EventFilter:
    return EventFilter(stream=reader.stream, prefixes=tuple(reader.prefixes), types=tuple(reader.types))


def start_into(builder: Any, value: EventStart) -> None:
    """Edge is what a fresh message says already."""
    if value.kind is StartKind.END:
        builder.end = None
    elif value.kind is not StartKind.EDGE:
        setattr(builder, value.kind.value, value.value)


def start_from(reader: Any) -> EventStart:
    kind = StartKind(reader._which_str())
    return EventStart(kind, 0 if kind in (StartKind.EDGE, StartKind.END) else reader._get(kind.value))


def record_into(builder: Any, value: EventRecord) -> None:
    builder.stream = value.stream
    builder.offset = value.offset
    builder.position = value.position.number
    builder.time = value.time
    builder.payload = value.payload
    if value.event_id is not None:
        builder.eventId = value.event_id
    builder.schemaId = value.schema_id
    builder.dataClass = int(value.data_class)


def record_from(reader: Any, group: GroupId) -> EventRecord:
    """An event of this group's log."""
    get = reader._get
    return EventRecord(
        stream=get("stream"),
        offset=get("offset"),
        position=Position(group, get("position")),
        time=get("time"),
        payload=bytes(get("payload")),
        event_id=bytes(get("eventId")) or None,
        schema_id=get("schemaId"),
        data_class=DataClass(get("dataClass")),
    )


# Consumer groups -------------------------------------------------------------------------------------------------


def settings_into(builder: Any, value: ConsumerSettings) -> None:
    filter_into(builder.filter, value.filter)
    start_into(builder.start, value.start)
    builder.ackMicros = value.ack_us
    builder.inFlightMax = value.in_flight_max
    builder.memberInFlightMax = value.member_in_flight_max
    builder.orderedBy = int(value.ordered_by)
    builder.maxDeliver = value.max_deliver
    builder.backoffMicros = value.backoff_us
    builder.backoffMaxMicros = value.backoff_max_us


def settings_from(reader: Any) -> ConsumerSettings:
    order = reader.orderedBy
    if order >= len(OrderedBy):
        raise WireError(f"a consumer's order is a number below {len(OrderedBy)}; found {order}")
    return ConsumerSettings(
        filter=filter_from(reader.filter),
        start=start_from(reader.start),
        ack_us=reader.ackMicros,
        in_flight_max=reader.inFlightMax,
        member_in_flight_max=reader.memberInFlightMax,
        ordered_by=OrderedBy(order),
        max_deliver=reader.maxDeliver,
        backoff_us=reader.backoffMicros,
        backoff_max_us=reader.backoffMaxMicros,
    )


def deliveries_into(results: Any, values: Sequence[Delivered]) -> None:
    """Fill the results of consumerFetch."""
    for builder, value in zip(results.init("deliveries", len(values)), values, strict=True):
        record_into(builder.event, value.event)
        builder.attempt = value.attempt
        builder.deadline = value.deadline


def deliveries_from(results: Any, group: GroupId) -> list[Delivered]:
    return [
        Delivered(
            event=record_from(reader._get("event"), group),
            attempt=reader._get("attempt"),
            deadline=reader._get("deadline"),
        )
        for reader in results.deliveries
    ]


def settlements_into(params: Any, values: Sequence[Settlement]) -> None:
    """Fill the settlements of consumerSettle."""
    for builder, value in zip(params.init("settlements", len(values)), values, strict=True):
        builder.position = value.position
        builder.attempt = value.attempt
        if value.verdict is Verdict.NAK:
            builder.nak = value.delay_us
        elif value.verdict is Verdict.EXTEND:
            builder.extend = value.delay_us
        elif value.verdict is Verdict.TERM:
            builder.term = value.reason
        elif value.verdict is Verdict.UNTRIED:
            builder.untried = None


def settlements_from(params: Any) -> list[Settlement]:
    found = []
    for reader in params.settlements:
        verdict = Verdict(reader._which_str())
        delayed = verdict in (Verdict.NAK, Verdict.EXTEND)
        found.append(
            Settlement(
                position=reader._get("position"),
                attempt=reader._get("attempt"),
                verdict=verdict,
                delay_us=reader._get(verdict.value) if delayed else 0,
                reason=reader._get("term") if verdict is Verdict.TERM else "",
            )
        )
    return found


def infos_into(results: Any, values: Sequence[ConsumerInfo]) -> None:
    """Fill the results of consumerList."""
    for builder, value in zip(results.init("consumers", len(values)), values, strict=True):
        builder.name = value.name
        builder.group = value.group
        settings_into(builder.settings, value.settings)
        builder.position = value.position
        builder.head = value.head
        builder.inFlight = value.in_flight
        builder.waiting = value.waiting
        builder.deadLetters = value.dead_letters
        builder.acked = value.acked
        builder.delivered = value.delivered
        builder.createdAt = value.created_at
        for member, info in zip(builder.init("members", len(value.members)), value.members, strict=True):
            member.id = info.id
            member.inFlight = info.in_flight


def infos_from(results: Any) -> list[ConsumerInfo]:
    return [
        ConsumerInfo(
            name=reader.name,
            group=reader.group,
            settings=settings_from(reader.settings),
            position=reader.position,
            head=reader.head,
            in_flight=reader.inFlight,
            waiting=reader.waiting,
            dead_letters=reader.deadLetters,
            acked=reader.acked,
            delivered=reader.delivered,
            created_at=reader.createdAt,
            members=tuple(MemberInfo(id=bytes(member.id), in_flight=member.inFlight) for member in reader.members),
        )
        for reader in results.consumers
    ]


def letters_into(results: Any, values: Sequence[DeadLetterInfo]) -> None:
    """Fill the letters of deadLetters."""
    for builder, value in zip(results.init("letters", len(values)), values, strict=True):
        builder.position = value.position
        builder.stream = value.stream
        builder.offset = value.offset
        builder.attempts = value.attempts
        builder.time = value.time
        builder.reason = value.reason


def letters_from(results: Any) -> list[DeadLetterInfo]:
    return [
        DeadLetterInfo(
            position=reader.position,
            stream=reader.stream,
            offset=reader.offset,
            attempts=reader.attempts,
            time=reader.time,
            reason=reader.reason,
        )
        for reader in results.letters
    ]
