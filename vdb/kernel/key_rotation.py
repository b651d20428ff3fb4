"""Rotation: tenants' keys under another root key, and new data keys for what is sealed from now on.

Rules
- A rotation begins with the root key's id (`RewrapKeys.begins`); the row of ROTATION holds it. From then on a new
  tenant key is wrapped by that root key, and rows are re-wrapped in as many steps as it takes: a rotation that was cut
  short is told by the rows that are still under another root key, and goes on from there.
- A row that is wrapped anew holds the same key: all but the wrap, the root key's id and the version stay, the time at
  which it was put as well. So the log, its records and its proofs don't change, and neither do other keys' wraps.
- Periods of a tenant are numbered from 0 and follow one another. A record is sealed under a key of the period that it
  is appended in (`vdb.kernel.records` asserts it): keys of a period that has ended open records, and seal none.
- Whoever begins a rotation, or a period, gives it an id: a second attempt, after an answer that was lost, changes
  nothing. The id of the last one is remembered.
"""

from __future__ import annotations

from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.command import KeyRow, KeyScope, RewrapKeys, StartPeriod
from vdb.kernel.draft import Draft
from vdb.kernel.effect import StoreKey, TurnToRootKey
from vdb.kernel.reply import KeysRewrapped, PeriodStarted, Refusal, Reply
from vdb.kernel.rows import CREATED_AT, DEK_ID_SIZE, WRAPPED_SIZE, Rotation, pack_key
from vdb.kernel.tables import KEY_PERIODS, KEYS, PERIOD_ID, ROTATION, U64, tenant_key
from vdb.kernel.view import View
from vdb.keys import ROTATION_ID_SIZE
from vdb.limits import KEY_PERIODS_MAX, REWRAPPED_KEYS_MAX


def rewrap_keys(draft: Draft, command: RewrapKeys) -> Reply:
    refusal = check_rewrap(draft, command)
    if refusal is not None:
        return refusal
    now, held = draft.last_timestamp, draft.rotation()
    if command.begins and held is not None and command.rotation_id and held.rotation_id == command.rotation_id:
        return KeysRewrapped(0)
    rotation_id = command.rotation_id if command.begins or held is None else held.rotation_id
    began_at = now if command.begins or held is None else held.began_at
    rotation = Rotation(root_key_id=command.root_key_id, began_at=began_at, changed_at=now, rotation_id=rotation_id)
    draft.put(KEY_PERIODS, ROTATION, rotation.pack())
    if command.begins:
        draft.effects.append(TurnToRootKey(command.root_key_id))
    for row in command.rows:
        created_at = int.from_bytes(draft.rows[KEYS][row.dek_id][CREATED_AT], "big")
        draft.put(KEYS, row.dek_id, pack_key(row, created_at))
        draft.effects.append(StoreKey(row))
    return KeysRewrapped(len(command.rows))


def check_rewrap(state: View, command: RewrapKeys) -> Refusal | None:
    """Why these keys can't be re-wrapped; None if they can."""
    if len(command.root_key_id) != DEK_ID_SIZE:
        return _invalid(f"a root key's id has {DEK_ID_SIZE} bytes; found {len(command.root_key_id)}")
    refusal = _check_rotation_id(command.rotation_id)
    if refusal is not None:
        return refusal
    if len(command.rows) > REWRAPPED_KEYS_MAX:
        return _invalid(f"at most {REWRAPPED_KEYS_MAX} keys are re-wrapped at once; found {len(command.rows)}")
    if command.begins:
        return _invalid("a rotation begins without rows") if command.rows else None
    rotation = state.rotation()
    if rotation is None or rotation.root_key_id != command.root_key_id:
        found = "none" if rotation is None else f"one to {rotation.root_key_id.hex()}"
        return _invalid(f"expected a rotation to root key {command.root_key_id.hex()} to have begun, found {found}")
    if len(dict.fromkeys(row.dek_id for row in command.rows)) != len(command.rows):
        return _invalid("a key is re-wrapped once in a step; found one twice")
    for row in command.rows:
        refusal = _check_row(state, row, command.root_key_id)
        if refusal is not None:
            return refusal
    return None


def _check_row(state: View, row: KeyRow, root_key_id: bytes) -> Refusal | None:
    held = state.key(row.dek_id)
    if held is None or held.scope is not KeyScope.TENANT:
        return _invalid(f"expected key {row.dek_id.hex()} to be a tenant's key, found no such key")
    if row.kek_id != root_key_id or len(row.wrapped) != WRAPPED_SIZE:
        return _invalid(f"expected key {row.dek_id.hex()} under root key {root_key_id.hex()}, found another wrap")
    if row != evolve(held, kek_id=root_key_id, wrapped=row.wrapped, kek_version=held.kek_version + 1):
        return _invalid(f"key {row.dek_id.hex()} is the same key when it is wrapped anew; found another row")
    return None


def start_period(draft: Draft, command: StartPeriod) -> Reply:
    refusal = check_period(draft, command)
    if refusal is not None:
        return refusal
    key = tenant_key(command.tenant)
    if command.rotation_id:
        if draft.rows[KEY_PERIODS].get(key + PERIOD_ID) == command.rotation_id:
            return PeriodStarted(draft.key_period(command.tenant))
        draft.put(KEY_PERIODS, key + PERIOD_ID, command.rotation_id)
    draft.put(KEY_PERIODS, key, draft.rows[KEY_PERIODS].get(key, b"") + U64.pack(draft.last_timestamp))
    return PeriodStarted(command.period)


def check_period(state: View, command: StartPeriod) -> Refusal | None:
    """Why this period can't start; None if it can."""
    if not state.has_tenant(command.tenant):
        return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {command.tenant} has no stream in group {state.group}")
    refusal = _check_rotation_id(command.rotation_id)
    if refusal is not None:
        return refusal
    current = state.key_period(command.tenant)
    if command.period != current + 1:
        return _invalid(f"expected period {current + 1} of tenant {command.tenant}, found {command.period}")
    if command.period > KEY_PERIODS_MAX:
        return Refusal(RefusalCode.TOO_LARGE, f"a tenant has at most {KEY_PERIODS_MAX} periods of keys")
    return None


def _check_rotation_id(rotation_id: bytes) -> Refusal | None:
    if len(rotation_id) in (0, ROTATION_ID_SIZE):
        return None
    return _invalid(f"a rotation's id has {ROTATION_ID_SIZE} bytes, or none; found {len(rotation_id)}")


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_ARGUMENT, message)
