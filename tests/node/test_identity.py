"""The node's file: what is refused, and by which name."""

from __future__ import annotations

import json

import pytest

from vdb.crypto.root import RootKeys
from vdb.errors import DamagedData, DataDirectoryInUse, ForeignData, NewerFormat, NotLoopback, WrongKey
from vdb.node.identity import Identity, decode_identity, encode_identity
from vdb.types import GLOBAL_GROUP, GroupId, Region

IDENTITY = Identity(
    cluster=bytes(range(16)),
    node="n",
    region=Region("eu-west-1"),
    groups=(GroupId("eu-west-1"), GLOBAL_GROUP),
    ready=True,
)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(encode_identity(IDENTITY)), **fields}).encode()


def test_what_is_written_is_read() -> None:
    assert decode_identity(encode_identity(IDENTITY)) == IDENTITY


def test_other_files_are_refused_by_name() -> None:
    with pytest.raises(DamagedData, match="file 'node' can't be read"):
        decode_identity(b"\x00\x01")
    with pytest.raises(ForeignData, match="file 'node' isn't VerityDB's"):
        decode_identity(changed(format="something"))
    with pytest.raises(NewerFormat, match="format version 2: this VerityDB reads up to 1"):
        decode_identity(changed(version=2))
    with pytest.raises(DamagedData, match="checksum"):
        decode_identity(changed(region="eu-west-2"))


async def test_a_directory_with_other_files_is_refused(start, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "holiday.jpg").write_text("x")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with start():
            pass
    assert caught.group_contains(ForeignData, match="holiday.jpg")
    assert (tmp_path / "data" / "holiday.jpg").read_text() == "x"


async def test_another_region_and_another_key_are_refused(start) -> None:
    async with start():
        pass
    with pytest.raises(BaseExceptionGroup) as caught:
        async with start(region=Region("eu-west-1")):
            pass
    assert caught.group_contains(ForeignData, match="region 'ap-southeast-2'")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with start(keys=RootKeys(bytes(32))):
            pass
    assert caught.group_contains(WrongKey, match="isn't the one that group")
    async with start():
        pass


async def test_a_second_node_on_the_directory_is_refused(start) -> None:
    async with start() as node:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with start():
                pass
        assert caught.group_contains(DataDirectoryInUse, match="vdb start")
        assert (await node.service.status()).region == "ap-southeast-2"


async def test_a_lost_superblock_is_damage_not_a_new_group(start, tmp_path) -> None:
    async with start():
        pass
    (tmp_path / "data" / "groups" / "global" / "superblock").unlink()
    with pytest.raises(BaseExceptionGroup) as caught:
        async with start():
            pass
    assert caught.group_contains(DamagedData, match="lost its superblock")


async def test_an_address_that_cant_be_taken_leaves_the_directory_as_it_was(start, tmp_path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with start(address="0.0.0.0:0"):
            pass
    assert caught.group_contains(NotLoopback)
    assert not (tmp_path / "data" / "node").exists()
    async with start(folder=tmp_path / "data", region=Region("eu-west-1")):
        pass
