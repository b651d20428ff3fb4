from hashlib import sha256

import pytest

from vdb.kernel import streamid
from vdb.kernel.streamid import SERIAL_MAX, group_tag, stream_id
from vdb.types import GLOBAL_GROUP, GroupId


def test_the_global_group_has_tag_zero() -> None:
    assert group_tag(GLOBAL_GROUP) == 0
    assert stream_id(GLOBAL_GROUP, 7) == 7


def test_a_region_has_the_first_two_bytes_of_its_hash() -> None:
    tag = int.from_bytes(sha256(b"eu-west-1").digest()[:2], "big")
    assert group_tag(GroupId("eu-west-1")) == tag
    assert stream_id(GroupId("eu-west-1"), 1) == (tag << 48) + 1


def test_no_region_has_the_global_tag() -> None:
    """Some name hashes to 0 0; it gets 1."""
    names = (f"r{number}" for number in range(1_000_000))
    zero = next(name for name in names if sha256(name.encode()).digest()[:2] == b"\0\0")
    assert group_tag(GroupId(zero)) == 1


@pytest.mark.parametrize("serial", [0, SERIAL_MAX + 1])
def test_a_serial_lies_in_48_bits(serial: int) -> None:
    with pytest.raises(AssertionError):
        stream_id(GLOBAL_GROUP, serial)


def test_the_catalogue_is_no_stream() -> None:
    assert stream_id(GLOBAL_GROUP, 1) > streamid.CATALOGUE


def test_a_serial_is_found_in_its_id() -> None:
    assert streamid.serial_of(stream_id(GroupId("eu-west-1"), 7)) == 7
