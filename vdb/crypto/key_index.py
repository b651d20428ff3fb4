"""The key rows of a group in memory, packed: a million streams have a million keys.

Packed row, big-endian:

    0    tenant          8        42   period, kek_version  2 each
    8    scope           1        46   kek_id         16
    9    data class      1        62   wrapped        40
    10   lookup         32        102  and for SUBJECT alone: subject token 32, wrapped secret 40

Rows are found by dek_id, and by (tenant, scope, lookup, period). When two rows have the same place (a put that a view
change lost, and its successor), the one added last is found, and both open their records.
"""

from __future__ import annotations

import struct

from vdb.crypto.keywrap import WRAPPED_SIZE
from vdb.crypto.record import DEK_ID_SIZE, NO_SUBJECT, TOKEN_SIZE
from vdb.kernel.command import KeyRow, KeyScope
from vdb.types import DataClass, TenantId

NO_LOOKUP = bytes(32)
"""The lookup of rows that are the only ones of their scope in a tenant."""

_ROW = struct.Struct(">QBB32sHH16s40s")
_SUBJECT = struct.Struct(">32s40s")
_PLACE = struct.Struct(">QBH")


class KeyIndex:
    __slots__ = ("_by_place", "_files", "_rows", "_tenants")

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._by_place: dict[bytes, bytes] = {}
        self._tenants: dict[TenantId, bytes] = {}
        self._files: dict[TenantId, dict[bytes, None]] = {}

    def add(self, row: KeyRow) -> bool:
        """Hold a row; True when another one had its place."""
        packed = _pack(row)
        dek_id = bytes(row.dek_id)
        place = _place(row.tenant, row.scope, row.lookup, row.period)
        before = self._by_place.get(place)
        self._rows[dek_id] = packed
        self._by_place[place] = dek_id
        if row.scope is KeyScope.TENANT:
            self._tenants[row.tenant] = dek_id
        if row.scope is KeyScope.PROJECTION:
            self._files.setdefault(row.tenant, {})[dek_id] = None
        return before is not None and before != dek_id

    def remove(self, row: KeyRow) -> None:
        """Forget a row that is here."""
        dek_id = bytes(row.dek_id)
        del self._rows[dek_id]
        if row.scope is KeyScope.PROJECTION:
            del self._files[row.tenant][dek_id]
        place = _place(row.tenant, row.scope, row.lookup, row.period)
        if self._by_place.get(place) == dek_id:
            del self._by_place[place]
            if row.scope is KeyScope.TENANT:
                del self._tenants[row.tenant]

    def get(self, dek_id: bytes) -> KeyRow | None:
        packed = self._rows.get(dek_id)
        return None if packed is None else _unpack(dek_id, packed)

    def find(self, tenant: TenantId, scope: KeyScope, lookup: bytes, period: int = 0) -> KeyRow | None:
        dek_id = self._by_place.get(_place(tenant, scope, lookup, period))
        return None if dek_id is None else self.get(dek_id)

    def files(self, tenant: TenantId) -> list[KeyRow]:
        """Rows of the keys of a tenant's files, in the order of their ids."""
        return [_unpack(dek_id, self._rows[dek_id]) for dek_id in sorted(self._files.get(tenant, ()))]

    def tenants(self) -> list[KeyRow]:
        """Rows of tenants' keys, by tenant."""
        return [_unpack(dek_id, self._rows[dek_id]) for _, dek_id in sorted(self._tenants.items())]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"KeyIndex({len(self)} rows)"


def _place(tenant: TenantId, scope: KeyScope, lookup: bytes, period: int) -> bytes:
    return _PLACE.pack(tenant, scope, period) + lookup


def _pack(row: KeyRow) -> bytes:
    assert len(row.dek_id) == DEK_ID_SIZE
    assert len(row.kek_id) == DEK_ID_SIZE
    assert len(row.lookup) == len(NO_LOOKUP)
    assert len(row.wrapped) == WRAPPED_SIZE
    packed = _ROW.pack(
        row.tenant, row.scope, row.data_class, row.lookup, row.period, row.kek_version, row.kek_id, row.wrapped
    )
    if row.scope is not KeyScope.SUBJECT:
        assert row.subject_token == NO_SUBJECT
        assert not row.wrapped_secret
        return packed
    assert len(row.subject_token) == TOKEN_SIZE
    assert len(row.wrapped_secret) == WRAPPED_SIZE
    return packed + _SUBJECT.pack(row.subject_token, row.wrapped_secret)


def _unpack(dek_id: bytes, packed: bytes) -> KeyRow:
    tenant, scope, data_class, lookup, period, kek_version, kek_id, wrapped = _ROW.unpack_from(packed)
    token, secret = _SUBJECT.unpack_from(packed, _ROW.size) if len(packed) > _ROW.size else (NO_SUBJECT, b"")
    return KeyRow(
        dek_id=dek_id,
        tenant=TenantId(tenant),
        scope=KeyScope(scope),
        data_class=DataClass(data_class),
        lookup=lookup,
        subject_token=token,
        kek_id=kek_id,
        kek_version=kek_version,
        wrapped=wrapped,
        wrapped_secret=secret,
        period=period,
    )
