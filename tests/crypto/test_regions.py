"""The last door: what was sealed in a region opens under that region's keys alone, and only as a record of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from vdb.crypto.keyring import Keyring
from vdb.crypto.record import RecordHeader, decode_record, encode_record, open_body
from vdb.crypto.root import RootKeys
from vdb.errors import KeyUnavailable, RecordTampered, WrongKey
from vdb.kernel.command import KeyScope
from vdb.types import DataClass, GroupId, TenantId

EU, US = GroupId("eu-west-1"), GroupId("us-east-1")
T1 = TenantId(1)
SHARED = bytes(32)
KEYS = {EU: RootKeys(b"e" * 32, SHARED), US: RootKeys(b"u" * 32, SHARED)}
"""As the nodes of two regions are given them: each its own, and the one of the global group."""
PLAIN = b"Jane Roe, discharged"


def keyring(group: GroupId, keys: RootKeys) -> Keyring:
    return Keyring(group=group, root=keys.for_group(group))


@pytest.fixture
def sealed(entropy: Any) -> tuple[list[Any], bytes]:
    """The key rows of a tenant in eu-west-1, and a record."""
    ring = keyring(EU, KEYS[EU])
    rows = []
    for scope, name in ((KeyScope.TENANT, ""), (KeyScope.STREAM, "charts")):
        rows.append(ring.make(T1, scope, name, DataClass.PHI, entropy))
        ring.add(rows[-1])
    head = RecordHeader(
        tenant=T1,
        stream=1,
        offset=0,
        count=1,
        data_class=DataClass.PHI,
        region=EU,
        subject_token=bytes(32),
        dek_id=rows[1].dek_id,
        schema_id=0,
        time=1,
    ).encode()
    return rows, encode_record(head, b"", ring.record_key(rows[1].dek_id).seal(head, PLAIN, entropy.random_bytes(32)))


def opened(ring: Keyring, record: bytes) -> bytes:
    found = decode_record(record)
    return open_body(found.header_bytes, ring.key(found.header.dek_id), found.body)


def test_the_region_opens_its_own(sealed: Any) -> None:
    rows, record = sealed
    ring = keyring(EU, KEYS[EU])
    for row in rows:
        ring.add(row)
    assert opened(ring, record) == PLAIN


def test_another_regions_node_can_not_open_it_with_the_key_rows_in_its_hands(sealed: Any) -> None:
    rows, record = sealed
    for group in (EU, US):
        ring = keyring(group, KEYS[US])
        with pytest.raises(WrongKey, match="the key of tenant 1 in group"):
            ring.add(rows[0])
        with pytest.raises(KeyUnavailable):
            opened(ring, record)


def test_nor_with_the_regions_root_key_under_the_name_of_another(sealed: Any) -> None:
    rows, _ = sealed
    with pytest.raises(WrongKey):
        keyring(US, KEYS[EU]).add(rows[0])
    with pytest.raises(WrongKey):
        keyring(GroupId("global"), KEYS[EU]).add(rows[0])


def test_a_record_that_says_another_region_does_not_open(sealed: Any) -> None:
    rows, record = sealed
    ring = keyring(EU, KEYS[EU])
    for row in rows:
        ring.add(row)
    found = decode_record(record)
    moved = encode_record(attrs.evolve(found.header, region=US).encode(), b"", found.body)
    with pytest.raises(RecordTampered):
        opened(ring, moved)
