"""Keys of periods, and tenants' keys under another root key: the keyring's part in a rotation."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKey, RootKeys, RootRing
from vdb.errors import KeyUnavailable, WrongKey
from vdb.kernel.command import KeyRow, KeyScope
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, TenantId

EU = GroupId("eu-west-1")
T1 = TenantId(1)
PHI = DataClass.PHI
NAME = "Jane Roe"


def put(keyring: Keyring, scope: KeyScope, entropy: Any) -> KeyRow:
    row = keyring.make(T1, scope, "" if scope is KeyScope.TENANT else NAME, PHI, entropy)
    keyring.add(row)
    return row


def test_each_period_of_a_name_has_a_key_of_its_own(keyring: Keyring, entropy: Any) -> None:
    rows = []
    for period in (0, 1, 3):
        row = keyring.make(T1, KeyScope.STREAM, NAME, PHI, entropy, period=period)
        keyring.add(row)
        rows.append(row)
        assert keyring.row(T1, KeyScope.STREAM, NAME, period) == row
    assert keyring.rows(T1, KeyScope.STREAM, NAME, 3) == rows
    assert keyring.rows(T1, KeyScope.STREAM, NAME, 1) == rows[:2]
    assert keyring.row(T1, KeyScope.STREAM, NAME, 2) is None
    assert len({row.lookup for row in rows}) == 1
    assert len({keyring.key(row.dek_id) for row in rows}) == 3


def test_a_subject_keeps_its_token_in_all_periods(keyring: Keyring, entropy: Any) -> None:
    first = keyring.make(T1, KeyScope.SUBJECT, NAME, PHI, entropy)
    keyring.add(first)
    second = keyring.make(T1, KeyScope.SUBJECT, NAME, PHI, entropy, period=2)
    keyring.add(second)
    assert second.subject_token == first.subject_token == keyring.subject_token(second, NAME)
    assert second.wrapped_secret != first.wrapped_secret
    keyring.remove(first)
    keyring.remove(second)
    again = keyring.make(T1, KeyScope.SUBJECT, NAME, PHI, entropy, period=3)
    assert again.subject_token != first.subject_token, "nobody can tell once all its rows are gone"


def test_a_row_of_another_period_does_not_open(keyring: Keyring, entropy: Any) -> None:
    row = keyring.make(T1, KeyScope.STREAM, NAME, PHI, entropy, period=1)
    keyring.add(attrs.evolve(row, period=2))
    with pytest.raises(KeyUnavailable, match="doesn't unwrap"):
        keyring.key(row.dek_id)


def test_a_tenants_key_is_the_same_under_another_root_key(entropy: Any) -> None:
    old, new = RootKey(b"o" * 32), RootKey(b"n" * 32)
    keyring = Keyring(group=EU, root=RootRing(old, [new]))
    tenant = put(keyring, KeyScope.TENANT, entropy)
    stream = put(keyring, KeyScope.STREAM, entropy)
    again = keyring.rewrap(tenant, new.key_id)
    assert (again.kek_id, again.kek_version) == (new.key_id, tenant.kek_version + 1)
    assert again == attrs.evolve(tenant, kek_id=again.kek_id, kek_version=again.kek_version, wrapped=again.wrapped)
    keyring.add(again)
    assert keyring.row(T1, KeyScope.TENANT) == again
    assert keyring.tenant_rows() == [again]

    later = Keyring(group=EU, root=new)
    with pytest.raises(WrongKey, match=f"wrapped by root key {old.key_id.hex()}, this node was given"):
        later.add(tenant)
    later.add(again)
    later.add(stream)
    assert later.key(stream.dek_id) == keyring.key(stream.dek_id)
    assert later.row(T1, KeyScope.STREAM, NAME) == stream
    with pytest.raises(WrongKey, match=f"wants root key {old.key_id.hex()}"):
        later.rewrap(again, old.key_id)
    assert later.tenant_rows() == [again]


def test_a_new_tenants_key_is_under_the_root_key_that_is_asked_for(entropy: Any) -> None:
    old, new = RootKey(b"o" * 32), RootKey(b"n" * 32)
    keyring = Keyring(group=EU, root=RootRing(old, [new]))
    assert keyring.make(T1, KeyScope.TENANT, "", PHI, entropy).kek_id == old.key_id
    assert keyring.make(T1, KeyScope.TENANT, "", PHI, entropy, root_key_id=new.key_id).kek_id == new.key_id


def test_a_nodes_root_keys_make_a_ring_for_each_group() -> None:
    keys = RootKeys(b"n" * 32, others=[b"o" * 32])
    before = RootKeys(b"o" * 32)
    ring = keys.ring(EU)
    assert ring.current.key_id == keys.for_group(EU).key_id == ring.ids[0]
    assert ring.ids[1] == before.for_group(EU).key_id
    assert ring.find(before.for_group(GLOBAL_GROUP).key_id) is None
    assert repr(keys) == "RootKeys()"
    assert (b"n" * 32).hex() not in repr(ring)
