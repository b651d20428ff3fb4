"""The keyring: what it makes it opens, for the tenant, group and row that it was made for and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.crypto.kdf import keyed_hash
from vdb.crypto.key_index import NO_LOOKUP, KeyIndex
from vdb.crypto.keyring import Keyring
from vdb.crypto.record import NO_SUBJECT
from vdb.crypto.root import RootKeys
from vdb.errors import KeyUnavailable, WrongKey
from vdb.kernel.command import KeyRow, KeyScope
from vdb.types import DataClass, GroupId, TenantId

EU = GroupId("eu-west-1")
ROOT = RootKeys(bytes(range(32)))
T1 = TenantId(1)
T2 = TenantId(2)
PHI = DataClass.PHI
NAME = "Jane Roe"
INNER_SCOPES = [scope for scope in KeyScope if scope is not KeyScope.TENANT]


def name_for(scope: KeyScope) -> str:
    return "" if scope in (KeyScope.TENANT, KeyScope.CATALOGUE) else NAME


def put(keyring: Keyring, scope: KeyScope, entropy: Any, *, tenant: TenantId = T1, name: str | None = None) -> KeyRow:
    row = keyring.make(tenant, scope, name_for(scope) if name is None else name, PHI, entropy)
    keyring.add(row)
    return row


def reopened(*rows: KeyRow, root: RootKeys = ROOT, group: GroupId = EU) -> Keyring:
    """Another node's keyring, from the rows alone."""
    keyring = Keyring(group=group, root=root.for_group(group))
    for row in rows:
        keyring.add(row)
    return keyring


def tenant_row(keyring: Keyring) -> KeyRow:
    row = keyring.row(T1, KeyScope.TENANT)
    assert row is not None
    return row


# Making and finding


@pytest.mark.parametrize("scope", INNER_SCOPES)
def test_a_key_is_found_by_name_and_opens_elsewhere(keyring: Keyring, entropy: Any, scope: KeyScope) -> None:
    row = put(keyring, scope, entropy)
    other = reopened(tenant_row(keyring), row)
    assert other.row(T1, scope, name_for(scope)) == row
    assert other.key(row.dek_id) == keyring.key(row.dek_id)
    assert len(other.key(row.dek_id)) == 32
    assert row.kek_id == tenant_row(keyring).dek_id


def test_make_adds_nothing(keyring: Keyring, entropy: Any) -> None:
    row = keyring.make(T1, KeyScope.STREAM, NAME, PHI, entropy)
    assert keyring.row(T1, KeyScope.STREAM, NAME) is None
    with pytest.raises(KeyUnavailable, match=rf"^key {row.dek_id.hex()} isn't in the key store of group eu-west-1$"):
        keyring.key(row.dek_id)


def test_two_makes_give_two_keys_and_the_one_added_last_is_found(keyring: Keyring, entropy: Any) -> None:
    first, second = put(keyring, KeyScope.STREAM, entropy), keyring.make(T1, KeyScope.STREAM, NAME, PHI, entropy)
    assert keyring.row(T1, KeyScope.STREAM, NAME) == first
    keyring.add(second)
    assert keyring.row(T1, KeyScope.STREAM, NAME) == second
    assert keyring.key(first.dek_id) != keyring.key(second.dek_id)


def test_adding_twice_is_harmless(keyring: Keyring, entropy: Any) -> None:
    row = put(keyring, KeyScope.STREAM, entropy)
    keyring.add(row)
    keyring.add(tenant_row(keyring))
    assert keyring.row(T1, KeyScope.STREAM, NAME) == row


def test_the_tenant_key_comes_first(keyring: Keyring, entropy: Any) -> None:
    assert keyring.row(T2, KeyScope.SUBJECT, NAME) is None
    assert keyring.row(T2, KeyScope.CATALOGUE) is None
    assert keyring.row(T2, KeyScope.TENANT) is None
    for act in (
        lambda: keyring.make(T2, KeyScope.SUBJECT, NAME, PHI, entropy),
        lambda: keyring.lookup(T2, KeyScope.STREAM, NAME),
    ):
        with pytest.raises(KeyUnavailable, match=r"^tenant 2 has no key in group eu-west-1$"):
            act()


# Names


def test_lookups_differ_by_scope_name_tenant_and_group(keyring: Keyring, entropy: Any) -> None:
    put(keyring, KeyScope.TENANT, entropy, tenant=T2)
    elsewhere = GroupId("us-east-1")
    other = Keyring(group=elsewhere, root=ROOT.for_group(elsewhere))
    put(other, KeyScope.TENANT, entropy)
    lookups = [
        keyring.lookup(T1, KeyScope.STREAM, "notes"),
        keyring.lookup(T1, KeyScope.SUBJECT, "notes"),
        keyring.lookup(T1, KeyScope.STREAM, "notes2"),
        keyring.lookup(T2, KeyScope.STREAM, "notes"),
        other.lookup(T1, KeyScope.STREAM, "notes"),
    ]
    assert len(set(lookups)) == 5
    assert all(len(lookup) == 32 for lookup in lookups)
    assert lookups[0] == reopened(tenant_row(keyring)).lookup(T1, KeyScope.STREAM, "notes")


@given(name=st.text(max_size=40))
def test_any_text_is_a_name(new_entropy: Callable[[], Any], name: str) -> None:
    keyring = Keyring(group=EU, root=ROOT.for_group(EU))
    entropy = new_entropy()
    put(keyring, KeyScope.TENANT, entropy)
    row = put(keyring, KeyScope.SUBJECT, entropy, name=name)
    assert keyring.row(T1, KeyScope.SUBJECT, name) == row
    assert keyring.subject_token(row, name) == row.subject_token


def test_a_half_character_is_a_name_too(keyring: Keyring, entropy: Any) -> None:
    """An encoding error would carry the name in its message."""
    row = put(keyring, KeyScope.SUBJECT, entropy, name="\ud800")
    assert keyring.row(T1, KeyScope.SUBJECT, "\ud800") == row


@pytest.mark.parametrize("scope", [KeyScope.TENANT, KeyScope.CATALOGUE])
def test_scopes_without_names_have_no_lookup(keyring: Keyring, entropy: Any, scope: KeyScope) -> None:
    assert put(keyring, scope, entropy).lookup == keyring.lookup(T1, scope, "") == NO_LOOKUP


# Subject tokens


def test_a_subject_token_is_an_hmac_under_the_rows_own_secret(keyring: Keyring, entropy: Any) -> None:
    row = put(keyring, KeyScope.SUBJECT, entropy)
    assert len(row.wrapped_secret) == 40
    assert keyring.subject_token(row, NAME) == row.subject_token != NO_SUBJECT
    assert keyring.subject_token(row, "John Doe") != row.subject_token
    other = keyring.make(T1, KeyScope.SUBJECT, NAME, PHI, entropy)
    assert other.lookup == row.lookup
    assert other.subject_token != row.subject_token
    assert keyed_hash(keyring.key(row.dek_id), NAME.encode()) != row.subject_token


@pytest.mark.parametrize("scope", [KeyScope.TENANT, KeyScope.CATALOGUE, KeyScope.STREAM, KeyScope.PROJECTION])
def test_only_subjects_have_a_token(keyring: Keyring, entropy: Any, scope: KeyScope) -> None:
    row = put(keyring, scope, entropy)
    assert row.subject_token == NO_SUBJECT
    assert row.wrapped_secret == b""


def test_a_secret_opens_in_its_own_row_alone(keyring: Keyring, entropy: Any) -> None:
    one = put(keyring, KeyScope.SUBJECT, entropy)
    two = put(keyring, KeyScope.SUBJECT, entropy, name="John Doe")
    with pytest.raises(KeyUnavailable, match="doesn't unwrap: its row was changed"):
        keyring.subject_token(attrs.evolve(one, wrapped_secret=two.wrapped_secret), NAME)


# What doesn't open


def test_a_tenant_key_opens_under_its_root_key_alone(keyring: Keyring) -> None:
    row = tenant_row(keyring)
    wrong = RootKeys(bytes(32))
    with pytest.raises(WrongKey) as caught:
        reopened(row, root=wrong)
    assert str(caught.value) == (
        f"the key of tenant 1 in group eu-west-1 doesn't open: it was wrapped by root key "
        f"{ROOT.for_group(EU).key_id.hex()}, this node was given {wrong.for_group(EU).key_id.hex()}"
    )


def test_a_tenant_key_is_bound_to_its_region(keyring: Keyring) -> None:
    row = tenant_row(keyring)
    moved = Keyring(group=GroupId("us-east-1"), root=ROOT.for_group(EU))
    with pytest.raises(WrongKey):
        moved.add(row)


def test_a_tenant_key_is_bound_to_its_tenant(keyring: Keyring) -> None:
    with pytest.raises(WrongKey):
        keyring.add(attrs.evolve(tenant_row(keyring), tenant=T2))


@pytest.mark.parametrize(
    "changed",
    [
        {"dek_id": bytes(16)},
        {"tenant": T2},
        {"data_class": DataClass.NON_PHI},
        {"lookup": bytes(range(32))},
        {"subject_token": bytes(range(32))},
        {"wrapped": bytes(40)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_changed_row_does_not_open(keyring: Keyring, entropy: Any, changed: dict[str, Any]) -> None:
    put(keyring, KeyScope.TENANT, entropy, tenant=T2)
    row = attrs.evolve(keyring.make(T1, KeyScope.SUBJECT, NAME, PHI, entropy), **changed)
    keyring.add(row)
    with pytest.raises(KeyUnavailable, match=rf"^key {row.dek_id.hex()} doesn't unwrap: its row was changed or"):
        keyring.key(row.dek_id)


def test_a_row_whose_tenant_key_is_missing_does_not_open(keyring: Keyring, entropy: Any) -> None:
    row = put(keyring, KeyScope.STREAM, entropy)
    orphan = reopened(row)
    with pytest.raises(KeyUnavailable, match=row.kek_id.hex()):
        orphan.key(row.dek_id)
    assert orphan.row(T1, KeyScope.STREAM, NAME) is None


# Bounds and secrecy


def test_the_cache_is_bounded_and_what_it_forgot_is_found_again(keyring: Keyring, entropy: Any) -> None:
    rows = [put(keyring, KeyScope.SUBJECT, entropy, name=f"subject {i}") for i in range(40)]
    keys = [keyring.key(row.dek_id) for row in rows]
    assert len(set(keys)) == 40
    for i, row in enumerate(rows):
        assert keyring.row(T1, KeyScope.SUBJECT, f"subject {i}") == row
        assert keyring.key(row.dek_id) == keys[i]
        assert max(len(cache) for cache in (keyring._keys, keyring._found, keyring._lookup_keys)) <= 8


def test_many_tenants_share_the_bounded_cache(keyring: Keyring, entropy: Any) -> None:
    tenants = [TenantId(i) for i in range(1, 30)]
    for tenant in tenants:
        put(keyring, KeyScope.TENANT, entropy, tenant=tenant)
    rows = [put(keyring, KeyScope.STREAM, entropy, tenant=tenant) for tenant in tenants]
    for tenant, row in zip(tenants, rows, strict=True):
        assert keyring.row(tenant, KeyScope.STREAM, NAME) == row
        keyring.key(row.dek_id)


def test_nothing_secret_shows(keyring: Keyring, entropy: Any) -> None:
    row = put(keyring, KeyScope.SUBJECT, entropy)
    key = keyring.key(row.dek_id)
    shown = "".join(f"{value!r} {value}" for value in (keyring, row, keyring._index, keyring._keys, keyring._found))
    assert repr(keyring) == "Keyring(group='eu-west-1', 2 rows)"
    for secret in (key, row.wrapped, row.wrapped_secret, row.subject_token, row.lookup):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert NAME not in shown


def test_no_name_in_errors(keyring: Keyring, entropy: Any) -> None:
    for act in (
        lambda: keyring.make(T2, KeyScope.SUBJECT, NAME, PHI, entropy),
        lambda: keyring.lookup(T2, KeyScope.SUBJECT, NAME),
    ):
        with pytest.raises(KeyUnavailable) as caught:
            act()
        assert NAME not in str(caught.value)


# The packed rows


ROWS = st.builds(
    KeyRow,
    dek_id=st.binary(min_size=16, max_size=16),
    tenant=st.integers(1, 2**64 - 1).map(TenantId),
    scope=st.sampled_from(INNER_SCOPES),
    data_class=st.sampled_from(DataClass),
    lookup=st.binary(min_size=32, max_size=32),
    subject_token=st.binary(min_size=32, max_size=32),
    kek_id=st.binary(min_size=16, max_size=16),
    kek_version=st.integers(0, 2**16 - 1),
    period=st.integers(0, 2**16 - 1),
    wrapped=st.binary(min_size=40, max_size=40),
    wrapped_secret=st.binary(min_size=40, max_size=40),
)


@given(row=ROWS)
def test_packed_rows_round_trip(row: KeyRow) -> None:
    if row.scope is not KeyScope.SUBJECT:
        row = attrs.evolve(row, subject_token=NO_SUBJECT, wrapped_secret=b"")
    index = KeyIndex()
    assert index.add(row) is False
    assert index.get(row.dek_id) == index.find(row.tenant, row.scope, row.lookup, row.period) == row
    assert repr(index) == "KeyIndex(1 rows)"


# Removing


@pytest.mark.parametrize("scope", KeyScope)
def test_a_removed_key_is_neither_found_nor_opened_and_its_place_is_free(
    keyring: Keyring, entropy: Any, scope: KeyScope
) -> None:
    row = tenant_row(keyring) if scope is KeyScope.TENANT else put(keyring, scope, entropy)
    assert keyring.row(T1, scope, name_for(scope)) == row
    keyring.record_key(row.dek_id)
    keyring.remove(row)
    assert keyring.row(T1, scope, name_for(scope)) is None
    with pytest.raises(KeyUnavailable):
        keyring.record_key(row.dek_id)
    successor = put(keyring, scope, entropy)
    assert keyring.row(T1, scope, name_for(scope)) == successor


def test_the_lookup_of_a_stream_needs_the_tenants_key(entropy: Any) -> None:
    keyring = Keyring(group=EU, root=ROOT.for_group(EU))
    assert keyring.stream_lookup(T1, NAME) is None
    put(keyring, KeyScope.TENANT, entropy)
    found = keyring.stream_lookup(T1, NAME)
    assert found == keyring.lookup(T1, KeyScope.STREAM, NAME) == keyring.stream_lookup(T1, NAME)
    assert keyring.stream_lookup(T2, NAME) is None
