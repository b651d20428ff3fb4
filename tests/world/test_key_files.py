"""Files of root keys as an operator changes them, and which provider reads them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vdb.crypto.root import RootKeys
from vdb.errors import ConfigError, KeysMissing
from vdb.types import GLOBAL_GROUP, GroupId
from vdb.world.key_files import add_next_key, create_key_file, drop_other_keys
from vdb.world.key_providers import key_provider, reloading
from vdb.world.keys import generate_root_key, root_keys_from_environment

EU = GroupId("eu-west-1")


def ids(keys: RootKeys, group: GroupId = EU) -> tuple[bytes, ...]:
    return keys.ring(group).ids


def load(path: Path) -> RootKeys:
    return key_provider(None, path).load()


def test_a_key_file_through_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = load(path)
    add_next_key(path)
    both = load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ids(both)[1:] == ids(first)
    assert ids(both)[0] != ids(first)[0]
    assert ids(both, GLOBAL_GROUP)[1:] == ids(first, GLOBAL_GROUP)
    assert drop_other_keys(path) == 1
    assert ids(load(path)) == ids(both)[:1]
    assert [found.name for found in tmp_path.iterdir()] == ["root.key"], "no draft stays"


def test_a_global_key_of_its_own_rotates_too(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    path.touch(mode=0o600)
    path.write_text(f"regional = {generate_root_key()}\nglobal = {generate_root_key()}\n")
    first = load(path)
    add_next_key(path)
    both = load(path)
    for group in (EU, GLOBAL_GROUP):
        assert ids(both, group)[0] not in ids(first, group)
        assert ids(first, group)[0] in ids(both, group)
    assert drop_other_keys(path) == 2


def test_a_key_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_key_file(path)
    before = path.read_text()
    with pytest.raises(ConfigError, match="is there already") as caught:
        create_key_file(path)
    assert path.read_text() == before
    assert before.strip() not in str(caught.value)


def test_other_keys_of_the_environment() -> None:
    one, two, three = (generate_root_key() for _ in range(3))
    found = root_keys_from_environment({"VDB_ROOT_KEY": one, "VDB_ROOT_KEY_OTHERS": f"{two} {three}"})
    assert found is not None
    assert found.source == "environment"
    assert len(ids(found)) == 3


def test_the_provider_that_is_meant(tmp_path: Path) -> None:
    path, wrapped = tmp_path / "root.key", tmp_path / "root.kms"
    create_key_file(path)
    wrapped.write_text('{"format": "veritydb-root-keys/aws-kms"}')
    assert key_provider(None, None).name == "environment"
    assert key_provider(None, path).name == "file"
    assert key_provider(None, wrapped).name == "aws-kms"
    assert key_provider("aws-kms", path).name == "aws-kms"
    with pytest.raises(ConfigError, match="one of environment, file, aws-kms; found 'hsm'"):
        key_provider("hsm", path)
    with pytest.raises(ConfigError, match="the key provider 'file' reads a file: expected --key-file, found none"):
        key_provider("file", None)
    with pytest.raises(KeysMissing, match="VDB_ROOT_KEY"):
        key_provider("environment", None, {}).load()
    with pytest.raises(KeysMissing, match="can't be read"):
        key_provider(None, tmp_path / "nothing")


async def test_a_provider_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_key_file(path)
    reload = reloading(key_provider(None, path))
    before = await reload()
    add_next_key(path)
    assert ids(await reload())[1:] == ids(before)
