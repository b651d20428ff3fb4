"""The node's file: what is refused, and by which name."""

from __future__ import annotations

import json
from hashlib import sha256

import attrs
import pytest

from vdb.crypto.root import RootKeys
from vdb.errors import DamagedData, DataDirectoryInUse, ForeignData, NewerFormat, NotLoopback, WrongKey
from vdb.node.peers.identity import Identity, IdentityFile, decode_identity, encode_identity, open_identity
from vdb.types import GLOBAL_GROUP, GroupId, Region
from vdb.world import make_world
from vdb.world.entropy import RealEntropy

IDENTITY = Identity(
    cluster=bytes(range(16)),
    node="n",
    region=Region("eu-west-1"),
    groups=(GroupId("eu-west-1"), GLOBAL_GROUP),
    ready=True,
    number=2,
    disk=bytes(range(16, 32)),
    founding=(0, 1, 2),
    peers=((0, bytes(16)),),
    replaced=((0, bytes(range(16))),),
)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(encode_identity(IDENTITY)), **fields}).encode()


def sealed(**fields: object) -> bytes:
    """As a version that has these fields would write it: with a checksum that fits."""
    found = {**json.loads(encode_identity(IDENTITY)), **fields}
    del found["checksum"]
    checksum = sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return json.dumps({**found, "checksum": checksum}).encode()


def test_what_is_written_is_read() -> None:
    assert decode_identity(encode_identity(IDENTITY)) == IDENTITY


def test_other_files_are_refused_by_name() -> None:
    with pytest.raises(DamagedData, match="file 'node' can't be read"):
        decode_identity(b"\x00\x01")
    with pytest.raises(ForeignData, match="file 'node' isn't VerityDB's"):
        decode_identity(changed(format="something"))
    with pytest.raises(NewerFormat, match="format version 2: this VerityDB reads up to 1"):
        decode_identity(sealed(version=2))
    with pytest.raises(DamagedData, match="checksum"):
        decode_identity(changed(version=2))
    with pytest.raises(DamagedData, match="checksum"):
        decode_identity(changed(region="eu-west-2"))


def test_a_founding_node_knows_whom_it_has_to_meet() -> None:
    assert IDENTITY.unmet() == (1,)
    assert not IDENTITY.joins
    assert attrs.evolve(IDENTITY, founding=()).unmet() == ()
    assert attrs.evolve(IDENTITY, founding=()).joins


async def test_disks_of_others_are_remembered_and_the_last_one_counts(tmp_path) -> None:
    disk = make_world(tmp_path / "data", Region("eu-west-1")).disk
    arguments = {"node": "n", "region": Region("eu-west-1"), "entropy": RealEntropy(), "founding": (0, 1)}
    file = IdentityFile(disk, await open_identity(disk, **arguments))
    assert file.remembered(1) is None
    for other in (bytes(16), bytes(16), bytes(range(16))):
        await file.remember(1, other)
    await file.mark_ready()
    again = IdentityFile(disk, await open_identity(disk, **arguments))
    assert again.identity == file.identity
    assert again.identity.ready
    assert again.remembered(1) == bytes(range(16))


async def test_a_disk_that_was_replaced_is_noted_with_the_one_in_its_place(tmp_path) -> None:
    disk = make_world(tmp_path / "data", Region("eu-west-1")).disk
    arguments = {"node": "n", "region": Region("eu-west-1"), "entropy": RealEntropy(), "founding": (0, 1)}
    file = IdentityFile(disk, await open_identity(disk, **arguments))
    first, second = bytes(16), bytes(range(16))
    await file.remember(1, first)
    assert not file.was_replaced(1, first)
    for _twice in range(2):
        await file.replace(1, first, second)
    again = IdentityFile(disk, await open_identity(disk, **arguments))
    assert again.remembered(1) == second
    assert again.was_replaced(1, first)
    assert not again.was_replaced(0, first)
    assert not again.was_replaced(1, second)


def test_a_file_from_before_disks_were_noted_as_replaced_is_read() -> None:
    found = json.loads(sealed())
    del found["replaced"], found["checksum"]
    checksum = sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    assert decode_identity(json.dumps({**found, "checksum": checksum}).encode()).replaced == ()


async def test_a_directory_of_another_node_or_cluster_is_refused(tmp_path) -> None:
    disk = make_world(tmp_path / "data", Region("eu-west-1")).disk
    arguments = {"node": "n", "region": Region("eu-west-1"), "entropy": RealEntropy(), "cluster": bytes(16)}
    await open_identity(disk, **arguments)
    with pytest.raises(ForeignData, match="belongs to node 0: expected node 1"):
        await open_identity(disk, **arguments, number=1)
    with pytest.raises(ForeignData, match="belongs to cluster 0000"):
        await open_identity(disk, **{**arguments, "cluster": bytes(range(16))})


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
