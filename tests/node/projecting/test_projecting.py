"""The node's projections: neither what holds up their opening nor damage to their files ends the node."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio

from vdb.kernel.command import Origin
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.node.replication.group import Group
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.types import DataClass
from vdb.wire.event import encode_batch

REGION = "ap-southeast-2"
TENANTS = range(1, 11)
NOTES = LatestById(table="notes", key_path="id", columns={"text": "text"}, payload="json")
DAYS = ProjectionConfig(name="days", streams=["notes"], template=NOTES)
CANARY = "Ada Lovelace"


async def test_many_tenants_share_a_short_queue(start, small_limits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each projection puts its key through the log; more of them than the queue holds ask again."""
    waiting = most = 0
    execute = Group.execute

    async def counted(self: Group, request, origin: Origin):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        try:
            return await execute(self, request, origin)
        finally:
            waiting -= 1

    limits = attrs.evolve(small_limits, request_queue_max=2, requests_per_prepare_max=1)
    async with start(limits=limits) as node:
        for tenant in TENANTS:
            await node.service.create_stream(Origin(), tenant, "notes", DataClass.PHI, REGION)
    monkeypatch.setattr(Group, "execute", counted)
    with trio.fail_after(60):
        async with start(projections=(DAYS,)) as node:
            for tenant in TENANTS:
                assert await node.service.wait_for_projection(tenant, "days", "", 50_000_000)
    assert most >= 2


def flip(at: Callable[[int], int]) -> Callable[[Path], None]:
    """Flip a bit of the byte at the place found for a size."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[at(len(content))] ^= 4
        file.write_bytes(content)

    return damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: 3 * 4096 + 17])


def text_of(number: int) -> str:
    return f"{CANARY} {number} " + "x" * 900


async def publish(node, numbers: range) -> str:
    """One note for each number; the position after them."""
    for number in numbers:
        payload = json.dumps({"id": f"{number:03d}", "text": text_of(number)}).encode()
        append = PlainAppend(stream="notes", runs=(PlainRun(count=1, batch=encode_batch([payload])),))
        await node.service.append(Origin(), 1, [append])
    return f"{REGION}:{node.groups[REGION].state.next_position}"


async def rows_of(node) -> list[tuple[object, ...]]:
    return list((await node.service.rows(1, "days", "notes", {}, ("id",), 1000)).rows)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip(lambda size: 0), id="salt"),
        pytest.param(flip(lambda size: 2000), id="head"),
        pytest.param(flip(lambda size: 4096 + 100), id="second page"),
        pytest.param(flip(lambda size: size // 2), id="middle"),
        pytest.param(flip(lambda size: size - 1), id="end"),
        pytest.param(cut, id="cut"),
        pytest.param(lambda file: file.write_bytes(b"no database at all" * 999), id="foreign"),
    ],
)
async def test_a_damaged_file_is_set_aside_and_built_again(
    start, tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    numbers = list(range(40))
    random.Random(1).shuffle(numbers)  # so that rows are spread over the pages
    file = tmp_path / "data" / "projections" / "t_1" / "days.db"
    with trio.fail_after(60):
        async with start(projections=(DAYS,)) as node:
            await node.service.create_stream(Origin(), 1, "notes", DataClass.PHI, REGION)
            assert await node.service.wait_for_projection(1, "days", await publish(node, numbers), 50_000_000)
        damage(file)
        damaged = file.read_bytes()
        with caplog.at_level(logging.WARNING, "vdb.node"):
            async with start(projections=(DAYS,)) as node:
                numbers += range(40, 45)
                assert await node.service.wait_for_projection(1, "days", await publish(node, range(40, 45)), 50_000_000)
                assert await rows_of(node) == [(f"{number:03d}", text_of(number)) for number in sorted(numbers)]
                assert [status.error for status in (await node.service.status()).projections] == [""]
    aside = file.with_name("days.db.damaged")
    assert abs(len(aside.read_bytes()) - len(damaged)) <= 4096 * 8
    assert sorted(path.name for path in file.parent.iterdir()) == ["days.db", "days.db.damaged"]
    warned = [record.msg for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == ["projection.set_aside"]
    assert CANARY not in str([record.__dict__ for record in caplog.records])


async def test_what_an_earlier_life_prepared_is_not_this_ones(start) -> None:
    """Effects are for events that the primary of this view prepared: from there on."""
    with trio.fail_after(60):
        async with start() as node:
            group = node.groups[REGION]
            await node.service.create_stream(Origin(), 1, "notes", DataClass.PHI, REGION)
            assert group.leads_from == 0
            await publish(node, range(3))
            assert group.leads_from == 0
            end = group.state.next_position
            assert end > 3
        async with start() as node:
            await node.groups[REGION].confirm()
            while not node.groups[REGION].is_serving:  # noqa: ASYNC110 - it takes the lead by itself
                await trio.sleep(0.01)
            assert node.groups[REGION].leads_from == end
            await publish(node, range(2))
            assert node.groups[REGION].leads_from == end


async def test_generations_are_no_databases(start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files of later generations lie where those of SQL databases do, and aren't taken for such."""
    with trio.fail_after(60), caplog.at_level(logging.WARNING, "vdb.node"):
        async with start(projections=(DAYS,)) as node:
            await node.service.create_stream(Origin(), 1, "notes", DataClass.PHI, REGION)
            assert await node.service.wait_for_projection(1, "days", await publish(node, range(3)), 50_000_000)
            await node.service.rebuild_projection(1, "days", hold=False)
            while (await node.service.status()).projections[0].generation == 1:  # noqa: ASYNC110
                await trio.sleep(0.01)
        async with start(projections=(DAYS,)) as node:
            assert len(await rows_of(node)) == 3
    assert [record.msg for record in caplog.records] == []
    assert (tmp_path / "data/projections/t_1/days.2.db").exists()
