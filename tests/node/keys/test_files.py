"""Encrypted files follow a rotation, each node's by itself, while their rows are read."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from vdb.crypto.root import RootKeys
from vdb.kernel.command import INTERNAL, KeyScope
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.node.projecting import file_rotation
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.types import DataClass, Region, TenantId
from vdb.wire.event import encode_batch

REGION = Region("ap-southeast-2")
BEFORE = RootKeys(bytes(range(32)))
BEDS = ProjectionConfig(
    name="beds",
    streams=("wards",),
    template=LatestById(table="beds", key_path="id", columns={"bed": "id"}, payload="json"),
)
T1 = TenantId(1)


async def write(node: Node, number: int) -> None:
    group = node.groups[REGION.name]
    create = PlainCreate(tenant=T1, name="wards", data_class=DataClass.PHI, region=REGION.name, if_not_exists=True)
    await group.execute(create, INTERNAL)
    run = PlainRun(count=1, batch=encode_batch([b'{"id": "%d"}' % number]))
    await group.execute(PlainBatch(tenant=T1, appends=(PlainAppend(stream="wards", runs=(run,)),)), INTERNAL)


async def rows(node: Node) -> int:
    group = node.groups[REGION.name]
    position = f"{group.name}:{group.state.next_position}"
    assert await node.service.wait_for_projection(1, "beds", position, 20_000_000)
    return len((await node.service.rows(1, "beds", "beds", {}, (), 1000)).rows)


async def until_rotated(node: Node, name: str, number: int) -> None:
    """Until the file opens under its key of this number alone."""
    keyring = node.groups[REGION.name].keyring

    def is_rotated() -> bool:
        return keyring.newest_row(T1, KeyScope.PROJECTION, name)[1] == number + 1 and node.file_rotation.settled

    with trio.fail_after(30):
        while not is_rotated():  # noqa: ASYNC110
            await trio.sleep(0.02)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rotation, "LOOK_SECONDS", 0.05)


async def test_a_projection_is_built_anew_while_it_is_read(start) -> None:
    begin = partial(start, keys=BEFORE, projections=(BEDS,))
    async with begin() as node:
        for number in range(30):
            await write(node, number)
        assert await rows(node) == 30
        await node.service.keys.rotate("", 0, begin=True)
        await until_rotated(node, "beds", 1)
        assert await rows(node) == 30
        await write(node, 30)
        assert await rows(node) == 31
    async with begin() as node:
        assert await rows(node) == 31


async def test_a_file_under_an_earlier_key_opens_and_is_brought_along(start, monkeypatch) -> None:
    begin = partial(start, keys=BEFORE, projections=(BEDS,))
    monkeypatch.setattr(file_rotation, "LOOK_SECONDS", 1000.0)
    async with begin() as node:
        await write(node, 1)
        assert await rows(node) == 1
        await node.service.keys.rotate("", 0, begin=True)
        assert node.service.keys.status("").files == 1
    async with begin() as node:
        assert await rows(node) == 1
        assert node.file_rotation.behind == 1, "opened under its earlier key: nothing was set aside"
    monkeypatch.setattr(file_rotation, "LOOK_SECONDS", 0.05)
    async with begin() as node:
        await until_rotated(node, "beds", 1)
        assert await rows(node) == 1


async def test_rows_built_beside_hide_no_file_that_is_behind(start, monkeypatch) -> None:
    monkeypatch.setattr(file_rotation, "LOOK_SECONDS", 1000.0)
    async with start(keys=BEFORE, projections=(BEDS,)) as node:
        await write(node, 1)
        assert await rows(node) == 1
        await node.service.keys.rotate("", 0, begin=True)
        await node.service.rebuild_projection(1, "beds", hold=True)
        with trio.fail_after(30):
            while (await building_state(node)) == "building":  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert node.file_rotation.behind == 1, "the rows in use are under the key before"
        await node.service.switch_projection(1, "beds", back=False)
        assert node.file_rotation.behind == 1, "so are those that are kept for the way back"
        await node.service._projections.renew_one(T1, "beds")
        assert node.file_rotation.behind == 0
        assert await rows(node) == 1


async def building_state(node: Node) -> str:
    (status,) = await node.service._projections.status()
    return "" if status.building is None else status.building.state


async def test_a_database_is_copied_under_its_new_key(start) -> None:
    async with start(keys=BEFORE) as node:
        databases = node.service.databases
        await databases.create(1, "clinic")
        database = await databases.open(1, "clinic")
        session = await database.session()
        await session.execute("CREATE TABLE beds (id INTEGER PRIMARY KEY, ward TEXT)")
        await session.execute("INSERT INTO beds VALUES (1, 'east'), (2, 'west')")
        await database.end(session)
        await node.service.keys.rotate("", 0, begin=True)
        await until_rotated(node, "clinic", 1)
        assert await beds(node) == [(1, "east"), (2, "west")]
        database = await databases.open(1, "clinic")
        session = await database.session()
        await session.execute("INSERT INTO beds VALUES (3, 'north')")
        await database.end(session)
    async with start(keys=BEFORE) as node:
        assert await beds(node) == [(1, "east"), (2, "west"), (3, "north")]


async def beds(node: Node) -> list[tuple[object, ...]]:
    database = await node.service.databases.open(1, "clinic")
    return await database.file.read(lambda db: db.execute("SELECT * FROM beds ORDER BY id").fetchall())
