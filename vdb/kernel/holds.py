"""Legal holds and retention: what stands against an erasure, and for how long events are kept.

Rules
- A hold is numbered from 1 within its tenant, and holds until it is released; a released one keeps its row.
- At most one hold on a subject is looked up by the erasure: the last one that was placed and holds; others of the same
  subject are found by their numbers. So a row by the subject's lookup counts those that hold.
- A rule of retention is known by the lookup of the name or pattern that it is for; another one takes its place.
- Names of streams are sealed here, so the primary judges what holds of streams and rules stand against. How often any
  was placed or changed is counted: what was judged before the last of them is to be judged again.
"""

from __future__ import annotations

import struct

from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.draft import Draft
from vdb.kernel.erasure_command import PutHold, PutRetention, ReleaseHold
from vdb.kernel.erasure_rows import (
    Hold,
    Retention,
    counter_key,
    erased_key,
    numbered_key,
    unpack_hold,
    unpack_retention,
)
from vdb.kernel.reply import Numbered, Refusal, Reply
from vdb.kernel.rows import LOOKUP_SIZE
from vdb.kernel.state import State
from vdb.kernel.tables import HOLDS, RETENTION, U64, tenant_key
from vdb.kernel.view import View
from vdb.limits import RETENTION_DAYS_MAX
from vdb.types import TenantId

_HELD = struct.Struct(">QQ")
"""Of a subject's row: how many hold, and the number of the last one."""


def put_hold(draft: Draft, command: PutHold) -> Reply:
    tenant = command.tenant
    if not draft.has_tenant(tenant):
        return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {tenant} has no stream in group {draft.group}")
    if len(command.subject) not in (0, LOOKUP_SIZE):
        return Refusal(
            RefusalCode.INVALID_ARGUMENT,
            f"a subject's lookup has {LOOKUP_SIZE} bytes, or none for streams; found {len(command.subject)}",
        )
    number = 1 + _last_hold(draft, tenant)
    hold = Hold(
        tenant=tenant,
        hold=number,
        placed=draft.last_timestamp,
        released=0,
        subject=command.subject,
        released_why=b"",
        sealed=command.sealed,
    )
    draft.put(HOLDS, counter_key(tenant), U64.pack(number))
    draft.put(HOLDS, numbered_key(tenant, number), hold.pack())
    if command.subject:
        count, _ = _held(draft, tenant, command.subject)
        draft.put(HOLDS, erased_key(tenant, command.subject), _HELD.pack(count + 1, number))
    return Numbered(number)


def release_hold(draft: Draft, command: ReleaseHold) -> Reply:
    tenant, number = command.tenant, command.hold
    hold = find_hold(draft, tenant, number)
    if hold is None or hold.released:
        return Refusal(RefusalCode.INVALID_ARGUMENT, f"tenant {tenant} has no hold {number} that could be released")
    done = evolve(hold, released=draft.last_timestamp, released_why=command.sealed)
    draft.put(HOLDS, numbered_key(tenant, number), done.pack())
    if hold.subject:
        count, last = _held(draft, tenant, hold.subject)
        draft.put(HOLDS, erased_key(tenant, hold.subject), _HELD.pack(count - 1, last))
    return Numbered(number)


def put_retention(draft: Draft, command: PutRetention) -> Reply:
    tenant = command.tenant
    if not draft.has_tenant(tenant):
        return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {tenant} has no stream in group {draft.group}")
    if len(command.lookup) != LOOKUP_SIZE:
        return Refusal(RefusalCode.INVALID_ARGUMENT, f"a lookup has {LOOKUP_SIZE} bytes; found {len(command.lookup)}")
    if command.days > RETENTION_DAYS_MAX:
        return Refusal(
            RefusalCode.INVALID_ARGUMENT,
            f"a retention lasts at most {RETENTION_DAYS_MAX} days; found {command.days}",
        )
    key = erased_key(tenant, command.lookup)
    if command.days:
        rule = Retention(
            tenant=tenant,
            lookup=command.lookup,
            data_class=command.data_class,
            days=command.days,
            time=draft.last_timestamp,
            sealed=command.sealed,
        )
        draft.put(RETENTION, key, rule.pack())
    elif key in draft.rows[RETENTION]:
        draft.remove(RETENTION, key)
    draft.put(RETENTION, counter_key(tenant), U64.pack(1 + _rule_changes(draft, tenant)))
    return Numbered(0)


def judgement_serial(state: View, tenant: TenantId) -> int:
    """How often a hold was placed or a rule of retention changed. A hold's release isn't counted: it only permits."""
    return _last_hold(state, tenant) + _rule_changes(state, tenant)


def live_hold(state: View, tenant: TenantId, subject: bytes) -> int:
    """The number of a hold on this subject; 0: nothing holds it."""
    count, last = _held(state, tenant, subject)
    return last if count else 0


def find_hold(state: View, tenant: TenantId, hold: int) -> Hold | None:
    key = numbered_key(tenant, hold)
    row = state.rows[HOLDS].get(key)
    return None if row is None else unpack_hold(key, row)


def holds_of(state: View, tenant: TenantId) -> tuple[Hold, ...]:
    """A tenant's holds in order, released ones too."""
    found = (find_hold(state, tenant, number) for number in range(1, _last_hold(state, tenant) + 1))
    return tuple(hold for hold in found if hold is not None)


def retention_of(state: State, tenant: TenantId) -> tuple[Retention, ...]:
    """A tenant's rules, in the order of their lookups."""
    rows = state.rows[RETENTION]
    owner = tenant_key(tenant)
    kept = [key for key in sorted(rows) if key.startswith(owner) and key != owner]
    return tuple(unpack_retention(key, rows[key]) for key in kept)


def _last_hold(state: View, tenant: TenantId) -> int:
    row = state.rows[HOLDS].get(counter_key(tenant))
    return 0 if row is None else int(U64.unpack(row)[0])


def _rule_changes(state: View, tenant: TenantId) -> int:
    row = state.rows[RETENTION].get(counter_key(tenant))
    return 0 if row is None else int(U64.unpack(row)[0])


def _held(state: View, tenant: TenantId, subject: bytes) -> tuple[int, int]:
    row = state.rows[HOLDS].get(erased_key(tenant, subject))
    return (0, 0) if row is None else _HELD.unpack(row)
