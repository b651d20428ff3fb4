"""Pruning: whole segments of a tenant's event log lose their sealed bytes; their stubs take their place.

PRUNED: tenant u64, segment u32: position of its first event u64, one above its last event's u64, bytes of the segment
u64, bytes and CRC-32 of its stub u64 and u32, when u64 (microseconds UTC).

Rules
- The primary judges that each record has expired or can't be opened, and that nothing holds it: names of streams are
  sealed, and the kernel doesn't know where a segment ends. The command says by which holds and rules; if one was placed
  or changed meanwhile, it is refused.
- A segment is pruned once: a second command that names it was judged on what was there before the first. It lies
  below the tenant's last event, and segments are in the order of their positions.
- Stubs are named by length and checksum, so every replica makes the same, or finds that it can't.
- Audit logs aren't pruned: what they tell is kept for six years at least.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from attrs import frozen

from vdb.errors import RefusalCode
from vdb.kernel.draft import Draft
from vdb.kernel.effect import PruneSegments
from vdb.kernel.erasure_command import Prune, PrunedSegment
from vdb.kernel.holds import judgement_serial
from vdb.kernel.reply import Numbered, Refusal, Reply
from vdb.kernel.state import State
from vdb.kernel.tables import PRUNED, pruned_key, tenant_key
from vdb.kernel.view import View
from vdb.limits import PRINCIPAL_BYTES_MAX, PRUNED_SEGMENTS_MAX
from vdb.types import TenantId, is_audit_log

_ROW = struct.Struct(">QQQQIQ")


@frozen(kw_only=True)
class PrunedRow:
    pruned: PrunedSegment
    time: int

    def pack(self) -> bytes:
        one = self.pruned
        return _ROW.pack(one.first_position, one.next_position, one.length, one.stub_length, one.stub_crc, self.time)


def prune(draft: Draft, command: Prune) -> Reply:
    refusal = check_prune(draft, command)
    if refusal is not None:
        return refusal
    for one in command.segments:
        row = PrunedRow(pruned=one, time=draft.last_timestamp)
        draft.put(PRUNED, pruned_key(command.tenant, one.segment), row.pack())
    draft.effects.append(PruneSegments(command.tenant, command.segments))
    return Numbered(len(command.segments))


def check_prune(state: View, command: Prune) -> Refusal | None:
    """Why these segments can't be pruned; None if they can."""
    tenant = command.tenant
    if is_audit_log(tenant):
        message = "an audit log isn't pruned: what it tells is kept for six years at least"
        return Refusal(RefusalCode.INVALID_ARGUMENT, message)
    if not state.has_tenant(tenant):
        return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {tenant} has no stream in group {state.group}")
    wrong = _wrong_shape(command) or _out_of_place(state, command)
    if wrong is not None:
        return Refusal(RefusalCode.INVALID_ARGUMENT, wrong)
    if any(is_pruned(state, tenant, one.segment) for one in command.segments):
        return Refusal(RefusalCode.POLICY_CHANGED, "segments were pruned by another call while they were judged")
    if command.judged != judgement_serial(state, tenant):
        return Refusal(RefusalCode.POLICY_CHANGED, "a hold or a rule of retention came while the segments were judged")
    return None


def _wrong_shape(command: Prune) -> str | None:
    segments = command.segments
    if not 1 <= len(segments) <= PRUNED_SEGMENTS_MAX:
        return f"a pruning names 1 to {PRUNED_SEGMENTS_MAX} segments; found {len(segments)}"
    if len(command.by.encode()) > PRINCIPAL_BYTES_MAX:
        return f"a principal has at most {PRINCIPAL_BYTES_MAX} bytes; found {len(command.by.encode())}"
    for one in segments:
        if one.segment < 1 or one.first_position >= one.next_position or not one.length or not one.stub_length:
            return f"segment {one.segment} from position {one.first_position} to {one.next_position} isn't one"
    for before, one in pairwise(segments):
        if one.segment <= before.segment or one.first_position < before.next_position:
            return f"segments come in order; found {one.segment} after {before.segment}"
    return None


def _out_of_place(state: View, command: Prune) -> str | None:
    head = state.tenant_head(command.tenant)
    for one in command.segments:
        if one.next_position > head:
            return f"segment {one.segment} ends at position {one.next_position}, the tenant's log at {head}"
    return None


def is_pruned(state: View, tenant: TenantId, segment: int) -> bool:
    return pruned_key(tenant, segment) in state.rows[PRUNED]


def pruned_of(state: State, tenant: TenantId) -> tuple[PrunedRow, ...]:
    """A tenant's pruned segments, in order. The cost follows all tenants' ones."""
    owner, rows = tenant_key(tenant), state.rows[PRUNED]
    return tuple(unpack_pruned(key, rows[key]) for key in sorted(rows) if key.startswith(owner))


def unpack_pruned(key: bytes, row: bytes) -> PrunedRow:
    first, following, length, stub_length, stub_crc, time = _ROW.unpack(row)
    pruned = PrunedSegment(
        segment=int.from_bytes(key[-4:], "big"),
        first_position=first,
        next_position=following,
        length=length,
        stub_length=stub_length,
        stub_crc=stub_crc,
    )
    return PrunedRow(pruned=pruned, time=time)
