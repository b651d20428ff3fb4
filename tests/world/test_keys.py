"""Root keys from the environment and from files."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError, KeyFilePermissions, KeysMissing
from vdb.types import GLOBAL_GROUP, GroupId
from vdb.world.keys import generate_root_key, root_keys_from_environment, root_keys_from_file

ONE, TWO = base64.b64encode(bytes(range(32))).decode(), base64.b64encode(b"2" * 32).decode()


def key_ids(keys: RootKeys) -> list[bytes]:
    """What tells key sets apart without showing a key."""
    return [keys.for_group(group).key_id for group in (GroupId("us-east-1"), GLOBAL_GROUP)]


def write_key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "root.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_holds_one_or_two_keys() -> None:
    assert root_keys_from_environment({}) is None
    assert root_keys_from_environment({"VDB_ROOT_KEY": ""}) is None
    one = root_keys_from_environment({"VDB_ROOT_KEY": ONE})
    assert one is not None
    assert key_ids(one) == key_ids(RootKeys(bytes(range(32)), None))
    two = root_keys_from_environment({"VDB_ROOT_KEY": ONE, "VDB_ROOT_KEY_GLOBAL": TWO})
    assert two is not None
    assert key_ids(two) == key_ids(RootKeys(bytes(range(32)), b"2" * 32))


def test_a_bad_key_is_an_error_that_does_not_show_it() -> None:
    with pytest.raises(ConfigError) as caught:
        root_keys_from_environment({"VDB_ROOT_KEY": "c2VjcmV0"})
    assert "c2VjcmV0" not in str(caught.value)
    assert "32" in str(caught.value)


@pytest.mark.parametrize("text", [ONE, f"{ONE}\n", f"# a comment\n\n  {ONE}\n", f"regional = {ONE}", f"regional={ONE}"])
def test_a_file_with_one_key(tmp_path: Path, text: str) -> None:
    keys = root_keys_from_file(write_key_file(tmp_path, text))
    assert key_ids(keys) == key_ids(RootKeys(bytes(range(32)), None))


def test_a_file_with_two_keys(tmp_path: Path) -> None:
    keys = root_keys_from_file(write_key_file(tmp_path, f"global = {TWO}\nregional = {ONE}\n", 0o400))
    assert key_ids(keys) == key_ids(RootKeys(bytes(range(32)), b"2" * 32))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o660])
def test_a_file_that_others_may_use_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    path = write_key_file(tmp_path, ONE, mode)
    with pytest.raises(KeyFilePermissions, match=f"mode {mode:04o}.*chmod 600 {path}"):
        root_keys_from_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysMissing, match=r"nothing\.key can't be read: No such file"):
        root_keys_from_file(tmp_path / "nothing.key")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no key"),
        (f"global = {TWO}", "has no key"),
        (f"local = {ONE}", "line 1 of the key file"),
        (f"{ONE}\n{TWO}", "line 2 of the key file"),
        (f"regional = {ONE}\nregional = {ONE}", "line 2 of the key file"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        root_keys_from_file(write_key_file(tmp_path, text))
    assert ONE not in str(caught.value)


def test_a_generated_key_is_a_key() -> None:
    first, second = generate_root_key(), generate_root_key()
    assert first != second
    assert root_keys_from_environment({"VDB_ROOT_KEY": first}) is not None
