"""What the log would answer, asked of a state without changing it.

The primary asks these of its prepared state before it seals: the offsets that go into the headers of records, the id
of a new stream, or the refusal. Apply asks the same functions of the committed state, so the two can't disagree: a
log survives only as a prefix, so what held when an op was prepared holds when it commits.

The order of the checks is part of the replicated behaviour: it decides which refusal a client sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vdb.errors import RefusalCode
from vdb.kernel.command import ANY, Expected
from vdb.kernel.reply import Refusal, StreamCreated
from vdb.kernel.rows import LOOKUP_SIZE, STREAM_ROW
from vdb.kernel.streamid import stream_id
from vdb.kernel.tables import STREAMS, TENANTS, stream_key, tenant_key
from vdb.kernel.view import View
from vdb.limits import EVENTS_PER_COMMAND_MAX, STREAMS_PER_APPEND_MAX
from vdb.types import GLOBAL_GROUP, DataClass, StreamId, TenantId


class NewStream(NamedTuple):
    """What a stream that would be created gets."""

    stream: StreamId
    catalogue_offset: int
    """Offset of its sealed name in the tenant's catalogue (stream 0)."""


def check_append(
    state: View, tenant: TenantId, appends: Sequence[tuple[StreamId, Expected, int]]
) -> Refusal | tuple[int, ...]:
    """Offsets that the first event of each append would get, in order; or why the whole batch is refused.

    An append is (stream, condition, number of events); with no events only its condition counts.
    """
    if len(appends) == 1:
        ((stream, expected, count),) = appends
        outcome = check_append_to(state, tenant, stream, expected, count)
        return outcome if isinstance(outcome, Refusal) else (outcome,)
    if tenant_key(tenant) not in state.rows[TENANTS]:
        return _unknown_tenant(state, tenant)
    rows = state.rows[STREAMS]
    first_offsets: list[int] = []
    for stream, _, _ in appends:
        row = rows.get(stream_key(tenant, stream))
        if row is None:
            return _unknown_stream(state, tenant, stream)
        first_offsets.append(STREAM_ROW.unpack(row)[1])
    return _check_streams_differ(appends) or _check_conditions(appends, first_offsets) or tuple(first_offsets)


def check_append_to(state: View, tenant: TenantId, stream: StreamId, expected: Expected, count: int) -> Refusal | int:
    """`check_append` for one stream: the offset that its first event would get, or why it is refused."""
    rows = state.rows
    if tenant_key(tenant) not in rows[TENANTS]:
        return _unknown_tenant(state, tenant)
    row = rows[STREAMS].get(stream_key(tenant, stream))
    if row is None:
        return _unknown_stream(state, tenant, stream)
    next_offset: int = STREAM_ROW.unpack(row)[1]
    if expected is not ANY or not 0 < count <= EVENTS_PER_COMMAND_MAX:
        refusal = _check_conditions(((stream, expected, count),), (next_offset,))
        if refusal is not None:
            return refusal
    return next_offset


def _unknown_tenant(state: View, tenant: TenantId) -> Refusal:
    return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {tenant} has no stream in group {state.group}")


def _unknown_stream(state: View, tenant: TenantId, stream: StreamId) -> Refusal:
    return Refusal(RefusalCode.UNKNOWN_STREAM, f"tenant {tenant} has no stream {stream} in group {state.group}")


def _check_streams_differ(appends: Sequence[tuple[StreamId, Expected, int]]) -> Refusal | None:
    if len(appends) < 2:
        return None
    seen: dict[StreamId, None] = {}
    for stream, _, _ in appends:
        if stream in seen:
            return Refusal(
                RefusalCode.INVALID_ARGUMENT, f"an append names each stream once; found stream {stream} twice"
            )
        seen[stream] = None
    return None


def _check_conditions(
    appends: Sequence[tuple[StreamId, Expected, int]], first_offsets: Sequence[int]
) -> Refusal | None:
    events = 0
    for (stream, expected, count), next_offset in zip(appends, first_offsets, strict=True):
        events += count
        if expected is not ANY and not expected.holds(next_offset):
            return Refusal(
                RefusalCode.WRONG_EXPECTED_OFFSET, f"expected {expected}, stream {stream} is at {next_offset}"
            )
    if len(appends) > STREAMS_PER_APPEND_MAX:
        return Refusal(
            RefusalCode.TOO_LARGE,
            f"an append holds at most {STREAMS_PER_APPEND_MAX} streams; found {len(appends)}",
        )
    if events > EVENTS_PER_COMMAND_MAX:
        return Refusal(
            RefusalCode.TOO_LARGE, f"an append holds at most {EVENTS_PER_COMMAND_MAX} events; found {events}"
        )
    if events == 0:
        return Refusal(RefusalCode.INVALID_ARGUMENT, "an append holds at least one event; found none")
    return None


def check_create(
    state: View, tenant: TenantId, lookup: bytes, data_class: DataClass, region: str, if_not_exists: bool
) -> Refusal | StreamCreated | NewStream:
    """What a new stream would get; or the stream that is there already; or why it is refused.

    `lookup` is the HMAC of the name, 32 bytes; `region` a region's name or 'global'.
    """
    if tenant == 0:
        return Refusal(RefusalCode.INVALID_ARGUMENT, "a tenant id starts at 1; found 0")
    if len(lookup) != LOOKUP_SIZE:
        return Refusal(RefusalCode.INVALID_ARGUMENT, f"a stream's lookup has {LOOKUP_SIZE} bytes; found {len(lookup)}")
    if region != state.group:
        return Refusal(
            RefusalCode.PLACEMENT_VIOLATION, f"group {state.group} holds no data placed in {region!r}: wrong group"
        )
    if data_class is DataClass.PHI and state.group == GLOBAL_GROUP:
        return Refusal(RefusalCode.PLACEMENT_VIOLATION, "PHI needs a region; found the global group")
    existing = state.stream_by_lookup(tenant, lookup)
    if existing is None:
        owner = state.tenant(tenant)
        if owner is None:
            return NewStream(stream_id(state.group, 1), 0)
        return NewStream(owner.next_stream, owner.stream_count)
    if if_not_exists and existing.data_class is data_class:
        return StreamCreated(existing.stream, created=False)
    return Refusal(
        RefusalCode.STREAM_EXISTS,
        f"expected a new {data_class.label} stream, found stream {existing.stream} of that name"
        f" ({existing.data_class.label})",
    )
