"""Commands of consumer groups in a prepare's body (`schemas/command.capnp`): into builders, and back out of readers.

Lists that are long are packed, big-endian, since an element of a Cap'n Proto list costs a microsecond:

    candidates    position u64, key u64
    settlements   position u64, attempt u32, verdict u8, amount i64; their reasons, where there are any, are in a list
    positions     u64
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, assert_never

from vdb.errors import WireError
from vdb.kernel.consumer_command import (
    ConsumerCommand,
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
from vdb.types import TenantId

_CANDIDATE = struct.Struct(">QQ")
_SETTLEMENT = struct.Struct(">QIBq")
_POSITION = struct.Struct(">Q")
_VERDICTS = tuple(Verdict)


def encode_consumer(builder: Any, command: ConsumerCommand) -> None:
    """Fill a request's builder."""
    if isinstance(command, ConsumerFetch):
        target = builder.init("consumerFetch")
        target.member = command.member
        target.countMax = command.count_max
        target.scannedFrom = command.scanned_from
        target.scannedTo = command.scanned_to
        target.candidates = b"".join([_CANDIDATE.pack(*one) for one in command.candidates])
    elif isinstance(command, ConsumerSettle):
        target = builder.init("consumerSettle")
        target.member = command.member
        _encode_settlements(target, command.settlements)
    elif isinstance(command, ConsumerLeave):
        target = builder.init("consumerLeave")
        target.member = command.member
    elif isinstance(command, CreateConsumer):
        target = builder.init("createConsumer")
        _encode_terms(target, command.terms)
        target.start = command.start
        target.fingerprint = command.fingerprint
        target.sealed = command.sealed
    elif isinstance(command, DeleteConsumer):
        target = builder.init("deleteConsumer")
    elif isinstance(command, SettleLetters):
        target = builder.init("settleLetters")
        target.positions = b"".join([_POSITION.pack(one) for one in command.positions])
        target.drop = command.drop
    else:
        assert_never(command)
    target.tenant = command.tenant
    target.lookup = command.lookup


def _encode_settlements(target: Any, settlements: Sequence[SettleOne]) -> None:
    target.settlements = b"".join(
        [_SETTLEMENT.pack(one.position, one.attempt, one.verdict, one.amount) for one in settlements]
    )
    if any(one.sealed_reason for one in settlements):
        target.reasons = [one.sealed_reason for one in settlements]


def _encode_terms(target: Any, terms: ConsumerTerms) -> None:
    target.ackMicros = terms.ack_us
    target.inFlightMax = terms.in_flight_max
    target.memberInFlightMax = terms.member_in_flight_max
    target.orderedBy = terms.ordered_by
    target.maxDeliver = terms.max_deliver
    target.backoffMicros = terms.backoff_us
    target.backoffMaxMicros = terms.backoff_max_us


def _decode_fetch(request: Any) -> ConsumerFetch:
    reader = request._get("consumerFetch")
    candidates = _unpack(_CANDIDATE, reader._get("candidates"))
    if not _rise([position for position, _ in candidates]):
        raise WireError("the candidates of a consumer's fetch stand in the order of their positions; found others")
    return ConsumerFetch(
        tenant=TenantId(reader._get("tenant")),
        lookup=reader._get("lookup"),
        member=reader._get("member"),
        count_max=reader._get("countMax"),
        scanned_from=reader._get("scannedFrom"),
        scanned_to=reader._get("scannedTo"),
        candidates=candidates,
    )


def _decode_settle(request: Any) -> ConsumerSettle:
    reader = request._get("consumerSettle")
    packed = _unpack(_SETTLEMENT, reader._get("settlements"))
    reasons: Sequence[bytes] = list(reader._get("reasons")) or [b""] * len(packed)
    if len(reasons) != len(packed):
        raise WireError(f"{len(packed)} settlements have as many reasons, or none; found {len(reasons)}")
    return ConsumerSettle(
        tenant=TenantId(reader._get("tenant")),
        lookup=reader._get("lookup"),
        member=reader._get("member"),
        settlements=tuple(
            [
                SettleOne(position, attempt, _verdict(verdict), amount, reason)
                for (position, attempt, verdict, amount), reason in zip(packed, reasons, strict=True)
            ]
        ),
    )


def _decode_leave(request: Any) -> ConsumerLeave:
    reader = request._get("consumerLeave")
    return ConsumerLeave(
        tenant=TenantId(reader._get("tenant")), lookup=reader._get("lookup"), member=reader._get("member")
    )


def _decode_create(request: Any) -> CreateConsumer:
    reader = request._get("createConsumer")
    return CreateConsumer(
        tenant=TenantId(reader._get("tenant")),
        lookup=reader._get("lookup"),
        terms=ConsumerTerms(
            ack_us=reader._get("ackMicros"),
            in_flight_max=reader._get("inFlightMax"),
            member_in_flight_max=reader._get("memberInFlightMax"),
            ordered_by=reader._get("orderedBy"),
            max_deliver=reader._get("maxDeliver"),
            backoff_us=reader._get("backoffMicros"),
            backoff_max_us=reader._get("backoffMaxMicros"),
        ),
        start=reader._get("start"),
        fingerprint=reader._get("fingerprint"),
        sealed=reader._get("sealed"),
    )


def _decode_delete(request: Any) -> DeleteConsumer:
    reader = request._get("deleteConsumer")
    return DeleteConsumer(tenant=TenantId(reader._get("tenant")), lookup=reader._get("lookup"))


def _decode_letters(request: Any) -> SettleLetters:
    reader = request._get("settleLetters")
    positions = tuple([position for (position,) in _unpack(_POSITION, reader._get("positions"))])
    if not _rise(positions):
        raise WireError("the dead letters that are settled stand in the order of their positions; found others")
    return SettleLetters(
        tenant=TenantId(reader._get("tenant")),
        lookup=reader._get("lookup"),
        positions=positions,
        drop=reader._get("drop"),
    )


def _unpack(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) % layout.size:
        raise WireError(f"a packed list has elements of {layout.size} bytes; found {len(data)} bytes")
    return tuple(layout.iter_unpack(data))


def _rise(positions: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(positions))


def _verdict(number: int) -> Verdict:
    if number >= len(_VERDICTS):
        raise WireError(f"a member's answer is a number below {len(_VERDICTS)}; found {number}")
    return _VERDICTS[number]


CONSUMER_DECODERS: dict[str, Callable[[Any], ConsumerCommand]] = {
    "consumerFetch": _decode_fetch,
    "consumerLeave": _decode_leave,
    "consumerSettle": _decode_settle,
    "createConsumer": _decode_create,
    "deleteConsumer": _decode_delete,
    "settleLetters": _decode_letters,
}
"""By the name of the request's field."""
