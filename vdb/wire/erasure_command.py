"""Commands by which data end, in a prepare's body (`schemas/command.capnp`): into builders, and back out of readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from vdb.errors import WireError
from vdb.kernel.erasure_command import (
    AckErasure,
    EraseSubject,
    ErasureCommand,
    Prune,
    PrunedSegment,
    PutHold,
    PutRetention,
    ReleaseHold,
)
from vdb.types import DataClass, TenantId

_DATA_CLASSES = tuple(DataClass)


def encode_erasure(builder: Any, command: ErasureCommand) -> None:
    """Fill a request's builder."""
    if isinstance(command, EraseSubject):
        target = builder.init("eraseSubject")
        target.subject = command.subject
        target.dekIds = list(command.dek_ids)
        target.basis = command.basis
        target.by = command.by
        target.members = bytes(command.members)
        target.sealed = command.sealed
        target.judged = command.judged
    elif isinstance(command, AckErasure):
        target = builder.init("ackErasure")
        target.erasure = command.erasure
        target.node = command.node
        target.statement = command.statement
        target.signature = command.signature
    elif isinstance(command, PutHold):
        target = builder.init("putHold")
        target.subject = command.subject
        target.sealed = command.sealed
    elif isinstance(command, ReleaseHold):
        target = builder.init("releaseHold")
        target.hold = command.hold
        target.sealed = command.sealed
    elif isinstance(command, PutRetention):
        target = builder.init("putRetention")
        target.lookup = command.lookup
        target.dataClass = command.data_class.value
        target.days = command.days
        target.sealed = command.sealed
    elif isinstance(command, Prune):
        target = builder.init("prune")
        for one, segment in zip(target.init("segments", len(command.segments)), command.segments, strict=True):
            one.segment, one.length = segment.segment, segment.length
            one.firstPosition, one.nextPosition = segment.first_position, segment.next_position
            one.stubLength, one.stubCrc = segment.stub_length, segment.stub_crc
        target.judged = command.judged
        target.by = command.by
    else:
        assert_never(command)
    target.tenant = command.tenant


def _decode_erase(request: Any) -> ErasureCommand:
    reader = request._get("eraseSubject")
    return EraseSubject(
        tenant=TenantId(reader._get("tenant")),
        subject=reader._get("subject"),
        dek_ids=tuple(reader._get("dekIds")),
        basis=reader._get("basis"),
        by=reader._get("by"),
        members=tuple(reader._get("members")),
        sealed=reader._get("sealed"),
        judged=reader._get("judged"),
    )


def _decode_ack(request: Any) -> ErasureCommand:
    reader = request._get("ackErasure")
    return AckErasure(
        tenant=TenantId(reader._get("tenant")),
        erasure=reader._get("erasure"),
        node=reader._get("node"),
        statement=reader._get("statement"),
        signature=reader._get("signature"),
    )


def _decode_hold(request: Any) -> ErasureCommand:
    reader = request._get("putHold")
    return PutHold(tenant=TenantId(reader._get("tenant")), subject=reader._get("subject"), sealed=reader._get("sealed"))


def _decode_release(request: Any) -> ErasureCommand:
    reader = request._get("releaseHold")
    return ReleaseHold(tenant=TenantId(reader._get("tenant")), hold=reader._get("hold"), sealed=reader._get("sealed"))


def _decode_retention(request: Any) -> ErasureCommand:
    reader = request._get("putRetention")
    data_class = reader._get("dataClass")
    if data_class >= len(_DATA_CLASSES):
        raise WireError(f"a data class lies between 0 and {len(_DATA_CLASSES) - 1}; found {data_class}")
    return PutRetention(
        tenant=TenantId(reader._get("tenant")),
        lookup=reader._get("lookup"),
        data_class=_DATA_CLASSES[data_class],
        days=reader._get("days"),
        sealed=reader._get("sealed"),
    )


def _decode_prune(request: Any) -> ErasureCommand:
    reader = request._get("prune")
    return Prune(
        tenant=TenantId(reader._get("tenant")),
        segments=tuple(_decode_segment(one) for one in reader._get("segments")),
        judged=reader._get("judged"),
        by=reader._get("by"),
    )


def _decode_segment(reader: Any) -> PrunedSegment:
    return PrunedSegment(
        segment=reader._get("segment"),
        first_position=reader._get("firstPosition"),
        next_position=reader._get("nextPosition"),
        length=reader._get("length"),
        stub_length=reader._get("stubLength"),
        stub_crc=reader._get("stubCrc"),
    )


ERASURE_DECODERS: dict[str, Callable[[Any], ErasureCommand]] = {
    "ackErasure": _decode_ack,
    "eraseSubject": _decode_erase,
    "prune": _decode_prune,
    "putHold": _decode_hold,
    "putRetention": _decode_retention,
    "releaseHold": _decode_release,
}
"""By the name of the request's field."""
