"""The key store's rows: wrapped keys enter it through the log, so that every replica holds them.

Rules
- A key's op precedes its first record; `records.check_record` asserts it.
- A tenant key is wrapped by the root key, which isn't in the log; every other key by a tenant key that is.
- Putting the same row again changes nothing: a primary may propose it twice across a view change. Another row under
  the same id is refused, because the records sealed under the first would be lost.
- The global group holds no key for PHI.
- Tenant 0, the system's own, has keys for its audit log alone.
"""

from __future__ import annotations

from vdb.errors import RefusalCode
from vdb.kernel.command import KeyRow, KeyScope
from vdb.kernel.draft import Draft
from vdb.kernel.effect import StoreKey
from vdb.kernel.erasure import SUBJECT_WAS_ERASED, is_erased
from vdb.kernel.reply import KeyPut, Refusal, Reply
from vdb.kernel.rows import DEK_ID_SIZE, LOOKUP_SIZE, TOKEN_SIZE, WRAPPED_SIZE, pack_key
from vdb.kernel.tables import KEYS
from vdb.kernel.view import View
from vdb.types import GLOBAL_GROUP, SYSTEM_TENANT, DataClass

_SCOPES_OF_SYSTEM = (KeyScope.TENANT, KeyScope.AUDIT)


def put_key(draft: Draft, row: KeyRow) -> Reply:
    refusal = check_key(draft, row)
    if refusal is not None:
        return refusal
    if row.dek_id not in draft.rows[KEYS]:
        draft.put(KEYS, row.dek_id, pack_key(row, draft.last_timestamp))
        draft.effects.append(StoreKey(row))
    return KeyPut(row.dek_id)


def check_key(state: View, row: KeyRow) -> Refusal | None:
    """Why this key can't be put; None if it can."""
    return _check_shape(row) or _check_owner(state, row)


def _check_shape(row: KeyRow) -> Refusal | None:
    secret_size = WRAPPED_SIZE if row.scope is KeyScope.SUBJECT else 0
    for name, expected, found in (
        ("dek_id", DEK_ID_SIZE, row.dek_id),
        ("lookup", LOOKUP_SIZE, row.lookup),
        ("subject token", TOKEN_SIZE, row.subject_token),
        ("kek_id", DEK_ID_SIZE, row.kek_id),
        ("wrapped key", WRAPPED_SIZE, row.wrapped),
        ("wrapped secret", secret_size, row.wrapped_secret),
    ):
        if len(found) != expected:
            return Refusal(
                RefusalCode.INVALID_ARGUMENT,
                f"the {name} of a {row.scope.name} key has {expected} bytes; found {len(found)}",
            )
    if row.is_destroyed:
        return Refusal(RefusalCode.INVALID_ARGUMENT, f"expected a key, found key {row.dek_id.hex()} as a destroyed one")
    if row.tenant == SYSTEM_TENANT and row.scope not in _SCOPES_OF_SYSTEM:
        return Refusal(RefusalCode.INVALID_ARGUMENT, "a tenant id starts at 1; found 0")
    return None


def _check_owner(state: View, row: KeyRow) -> Refusal | None:
    if row.data_class is DataClass.PHI and state.group == GLOBAL_GROUP:
        return Refusal(RefusalCode.PLACEMENT_VIOLATION, "a key for PHI needs a region; found the global group")
    if row.scope is not KeyScope.TENANT:
        kek = state.key(row.kek_id)
        if kek is None or kek.scope is not KeyScope.TENANT or kek.tenant != row.tenant:
            return Refusal(
                RefusalCode.INVALID_ARGUMENT,
                f"expected kek_id {row.kek_id.hex()} to be a key of tenant {row.tenant}, found no such key",
            )
    if row.scope is KeyScope.SUBJECT and is_erased(state, row.tenant, row.lookup):
        return Refusal(RefusalCode.SUBJECT_ERASED, SUBJECT_WAS_ERASED)
    present = state.key(row.dek_id)
    if present is not None and present != row:
        return Refusal(RefusalCode.INVALID_ARGUMENT, f"key {row.dek_id.hex()} is there already, with another value")
    return None
