"""Generations of projections through the faces: embedded, from asyncio, and over a socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import vdb
from vdb.crypto.root import RootKeys
from vdb.errors import InvalidArgument, ProjectionFailed, UnknownProjection
from vdb.node.config import NodeConfig
from vdb.node.node import Node
from vdb.projections.config import ProjectionConfig
from vdb.projections.handler import Handlers
from vdb.projections.latest import LatestById
from vdb.projections.tables import Column, Table
from vdb.types import Region
from vdb.world import make_world

KEYS = RootKeys(bytes(range(32)))
REGION = Region("ap-southeast-2")
BEDS = LatestById(table="beds", key_path="id", columns={"ward": "ward"}, payload="json")


def beds(version: int = 1, **more: Any) -> ProjectionConfig:
    return ProjectionConfig(name="beds", version=version, streams=["beds"], template=BEDS, **more)


ROOMS = ProjectionConfig(
    name="beds",
    version=2,
    hold=True,
    streams=["beds"],
    template=LatestById(table="beds", key_path="id", columns={"ward": "room"}, payload="json"),
)


def bed(number: int, ward: str = "a") -> bytes:
    return json.dumps({"id": f"{number:02}", "ward": ward, "room": ward.upper()}).encode()


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_ready(status: vdb.NodeStatus) -> bool:
    building = status.projections[0].building
    return building is not None and building.state == "ready"


def test_a_rebuild_of_a_program(tmp_path: Path) -> None:
    with vdb.open(tmp_path, KEYS, projections=[beds()]) as database:
        database.create_stream("beds")
        position = database.publish("beds", [bed(number) for number in range(9)]).position
        assert database.wait_for("beds", position)
        database.rebuild_projection("beds", hold=True)
        until(lambda: is_ready(database.status()))
        found = database.status().projections[0]
        assert (found.version, found.generation, found.state, found.lag, found.age_us) == (1, 1, "following", 0, 0)
        assert (found.building.generation, found.building.done, found.building.total) == (2, 9 + 1, 9 + 1)
        assert found.building.eta_seconds == 0
        assert found.head_age_us is not None
        assert 0 <= found.head_age_us < 60_000_000
        found = database.diff_projection("beds")
        assert (found.differences, found.count) == ((), 0)
        assert database.switch_projection("beds") == 2
        assert database.status().projections[0].previous == 1
        assert database.switch_projection("beds", back=True) == 1
        with pytest.raises(InvalidArgument, match="projection 'beds': nothing is built beside the rows in use"):
            database.switch_projection("beds")
        with pytest.raises(UnknownProjection, match="no projection 'bed' on this node; it has 'beds'"):
            database.rebuild_projection("bed")
        assert len(database.rows("beds", "beds").rows) == 9


def test_a_raised_version_is_compared(tmp_path: Path) -> None:
    with vdb.open(tmp_path, KEYS, projections=[beds()]) as database:
        database.create_stream("beds")
        position = database.publish("beds", [bed(number) for number in range(3)]).position
        assert database.wait_for("beds", position)
    with vdb.open(tmp_path, KEYS, projections=[beds(), ROOMS]) as database:
        until(lambda: is_ready(database.status()))

        async def compare() -> Any:
            return await database.aio.diff_projection("beds", 2)

        found = asyncio.run(compare())
        assert found.count == 3
        assert found.position_before == found.position_after
        assert [(one.table, one.key_columns, one.columns) for one in found.differences] == [
            ("beds", ("id",), ("id", "ward"))
        ] * 2
        assert [(one.key, one.before, one.after) for one in found.differences] == [
            ((f"0{number}",), (f"0{number}", "a"), (f"0{number}", "A")) for number in range(2)
        ]
        assert database.rows("beds", "beds", {"id": "00"}).rows == (("00", "a"),)
        assert trio.run(lambda: database.aio.switch_projection("beds")) == 2
        assert database.rows("beds", "beds", {"id": "00"}).rows == (("00", "A"),)


async def test_over_a_socket(tmp_path: Path) -> None:
    config = NodeConfig(region=REGION, root_keys=KEYS, address="127.0.0.1:0", projections=(beds(), ROOMS))
    node = Node(make_world(tmp_path, REGION), config)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(node.run)
            async with vdb.connect(address) as client:
                await client.create_stream("beds")
                published = await client.publish("beds", [bed(number) for number in range(3)])
                assert await client.wait_for("beds", published.position)
                await client.rebuild_projection("beds", hold=True)
                while not is_ready(await client.status()):  # noqa: ASYNC110 - it is another node's
                    await trio.sleep(0.01)
                building = (await client.status()).projections[0].building
                assert (building.version, building.generation, building.total) == (2, 2, building.done)
                found = await client.diff_projection("beds")
                assert (found.count, found.differences) == (0, ())
                assert found.position_before == found.position_after
                assert await client.switch_projection("beds") == 2
                assert await client.switch_projection("beds", back=True) == 1
                with pytest.raises(InvalidArgument, match="nothing is built beside"):
                    await client.diff_projection("beds")
            nursery.cancel_scope.cancel()


async def test_what_is_parked_is_listed_tried_and_dropped(tmp_path: Path) -> None:
    """Over a socket, and embedded on the same directory after it."""
    broken = {"ward": True}

    def admit(db: Any, event: Any, context: Any) -> None:
        if event.json()["ward"] == "bad" and broken["ward"]:
            raise ValueError("bad")
        db.execute("INSERT INTO beds VALUES (?) ON CONFLICT DO NOTHING", (event.json()["id"],))

    template = Handlers(tables=(Table(name="beds", columns=(Column("id"),), key=("id",)),), handlers={"": admit})
    config = ProjectionConfig(name="beds", streams=["beds", "other"], template=template, on_error="park")
    node = Node(
        make_world(tmp_path, REGION),
        NodeConfig(region=REGION, root_keys=KEYS, address="127.0.0.1:0", projections=(config,)),
    )
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(node.run)
            async with vdb.connect(address) as client:
                for stream in ("beds", "other"):
                    await client.create_stream(stream)
                await client.publish("beds", [bed(1), bed(2, "bad"), bed(3)])
                published = await client.publish("other", [bed(4, "bad")])
                assert await client.wait_for("beds", published.position)
                first, second = await client.parked_events("beds")
                assert (first.stream, first.key, first.attempts, first.waiting, first.skipped) == (
                    "beds", "beds", 1, 1, False,
                )  # fmt: skip
                assert (first.error, first.type, second.stream) == ("ValueError", "", "other")
                assert (await client.status()).projections[0].parked == 3
                assert await client.retry_parked("beds", first.position) == 0
                assert await client.drop_parked("beds", str(second.position)) == 1
                broken["ward"] = False
                assert await client.retry_parked("beds") == 2
                assert [row[0] for row in (await client.rows("beds", "beds")).rows] == ["01", "02", "03"]
                with pytest.raises(InvalidArgument, match="projection 'beds' has no parked event at"):
                    await client.retry_parked("beds", first.position)
            nursery.cancel_scope.cancel()
    with vdb.open(tmp_path, KEYS, projections=[config]) as database:
        (left,) = database.parked_events("beds")
        assert (left.position, left.skipped) == (second.position, True)
        assert (database.status().projections[0].parked, database.status().projections[0].skipped) == (0, 1)
        assert database.drop_parked("beds") == 0
        assert database.retry_parked("beds") == 0


def test_a_lowered_version_ends_nothing_but_its_projection(tmp_path: Path) -> None:
    """Of a program that is deployed as it was before."""
    wards = ProjectionConfig(name="wards", version=1, streams=["beds"], template=BEDS)
    with vdb.open(tmp_path, KEYS, projections=[beds(), wards]) as database:
        database.create_stream("beds")
        position = database.publish("beds", bed(1)).position
        assert database.wait_for("beds", position)
    with vdb.open(tmp_path, KEYS, projections=[beds(2), wards]) as database:
        until(lambda: next(one for one in database.status().projections if one.name == "beds").version == 2)
    with vdb.open(tmp_path, KEYS, projections=[beds(), wards]) as database:
        position = database.publish("beds", bed(2)).position
        assert database.wait_for("wards", position)
        assert len(database.rows("wards", "beds").rows) == 2
        with pytest.raises(ProjectionFailed, match="has stopped: its rows were made by version 2, newer than 1"):
            database.rows("beds", "beds")
        stopped = {one.name: one for one in database.status().projections}["beds"]
        assert (stopped.state, stopped.version) == ("stopped", 2)
        assert "give the node that version again" in stopped.error
        assert database.switch_projection("beds", back=True) == 1
        assert database.wait_for("beds", position)
        assert len(database.rows("beds", "beds").rows) == 2
