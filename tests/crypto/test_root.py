"""Root keys: reading them, one for each group, and nothing of them in sight."""

from __future__ import annotations

from base64 import b64encode

import pytest

from vdb.crypto.root import RootKey, RootKeys, parse_root_key
from vdb.errors import ConfigError
from vdb.types import GLOBAL_GROUP, GroupId

KEY = bytes(range(200, 232))
OTHER = bytes(range(32))
EU = GroupId("eu-west-1")
US = GroupId("us-east-1")


def test_a_root_key_is_read_from_base64() -> None:
    assert parse_root_key(b64encode(KEY).decode()) == KEY
    assert parse_root_key(f"  {b64encode(KEY).decode()}\n") == KEY


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "found 0 bytes"),
        (b64encode(KEY[:31]).decode(), "found 31 bytes"),
        (b64encode(KEY + b"x").decode(), "found 33 bytes"),
        ("not a key!", "found text that isn't base64"),
        ("AAA", "found text that isn't base64"),
        ("clé" * 11, "found text that isn't base64"),
    ],
)
def test_anything_else_is_refused_without_showing_it(text: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_root_key(text)
    assert str(caught.value) == f"a root key is the base64 text of 32 random bytes; {found}"
    assert caught.value.__context__ is None


def test_one_given_key_serves_both_groups_with_two_root_keys() -> None:
    keys = RootKeys(KEY)
    ids = [keys.for_group(group).key_id for group in (EU, US, GLOBAL_GROUP)]
    assert len(set(ids)) == 3
    assert RootKeys(KEY).for_group(EU).key_id == ids[0]


def test_a_global_key_leaves_the_regional_one_as_it_is() -> None:
    one, two = RootKeys(KEY), RootKeys(KEY, OTHER)
    assert one.for_group(EU).key_id == two.for_group(EU).key_id
    assert one.for_group(GLOBAL_GROUP).key_id != two.for_group(GLOBAL_GROUP).key_id
    assert two.for_group(GLOBAL_GROUP).key_id == RootKeys(OTHER).for_group(GLOBAL_GROUP).key_id


def test_what_is_wrapped_opens_under_the_same_key_and_context_alone() -> None:
    root = RootKeys(KEY).for_group(EU)
    wrapped = root.wrap(OTHER, b"tenant 1")
    assert len(wrapped) == 40
    assert root.unwrap(wrapped, b"tenant 1") == OTHER
    assert root.unwrap(wrapped, b"tenant 2") is None
    assert root.unwrap(wrapped) is None
    assert RootKeys(KEY).for_group(US).unwrap(wrapped, b"tenant 1") is None
    assert RootKeys(OTHER).for_group(EU).unwrap(wrapped, b"tenant 1") is None


def test_nothing_of_the_key_shows() -> None:
    root = RootKey(KEY)
    assert len(root.key_id) == 16
    assert root.key_id not in KEY
    assert repr(root) == str(root) == f"RootKey(key_id={root.key_id.hex()})"
    assert repr(RootKeys(KEY)) == str(RootKeys(KEY, OTHER)) == "RootKeys()"
