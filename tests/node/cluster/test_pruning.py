"""Segments pruned in a cluster: every member has the same stubs and none of the sealed bytes, whoever was away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from vdb.crypto.record import decode_record, record_leaf
from vdb.kernel.erasure import erasures_of
from vdb.kernel.pruning import pruned_of
from vdb.kernel.reply import Numbered
from vdb.kernel.streamid import CATALOGUE
from vdb.marks import COUNTS
from vdb.node.erasure.erasure_request import PlainErase
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.types import DataClass, TenantId
from vdb.wire.event import ERASED_SCHEMA, encode_batch

HOME = "ap-southeast-2"
TENANT = TenantId(1)
NOTES = 40
FOLDER = f"groups/{HOME}/log/t_1"


async def fill(cluster: Any, subject: str = "p", count: int = NOTES) -> None:
    await cluster.execute(
        PlainCreate(tenant=TENANT, name="notes", data_class=DataClass.PHI, region=HOME, if_not_exists=True)
    )
    for number in range(count):
        batch = encode_batch([b"%04d" % number * 100])
        run = PlainRun(subject=subject, count=1, batch=batch)
        await cluster.execute(PlainBatch(tenant=TENANT, appends=(PlainAppend(stream="notes", runs=(run,)),)))


async def erase(cluster: Any, subject: str = "p") -> None:
    group = cluster.group(await cluster.primary())
    reply = await cluster.execute(
        PlainErase(tenant=TENANT, subject=subject, basis="asked for", by="officer", members=group.members, keys_max=8)
    )
    assert isinstance(reply, Numbered), reply


async def prune(cluster: Any) -> Any:
    found = await cluster.machines[await cluster.primary()].node.service.retaining.prune(1, HOME, dry_run=False)
    assert found.segments >= 2
    return found


async def frames_of(cluster: Any, number: int) -> list[Any]:
    event_log, frames, position = cluster.group(number).event_log, [], 0
    while some := await event_log.read_log(TENANT, position, 8192):
        frames += some
        position = some[-1].position + some[-1].count
    return frames


async def wait_done(cluster: Any) -> None:
    with trio.fail_after(120):
        await cluster.wait_until(
            lambda: all(
                pruned_of(cluster.group(number).state, TENANT)
                and all(one.completed for one in erasures_of(cluster.group(number).state, TENANT))
                for number in range(3)
            )
        )


async def check_pruned(cluster: Any, leaves: list[bytes], bodies: list[bytes]) -> None:
    """All leaves, the same stubs, and no sealed byte of the pruned ones on any disk."""
    state = cluster.group(0).state
    inside = [row.pruned for row in pruned_of(state, TENANT)]
    stubs = []
    for number in range(3):
        frames = await frames_of(cluster, number)
        assert [record_leaf(frame.record) for frame in frames][: len(leaves)] == leaves
        gone = [
            bodies[index]
            for index, frame in enumerate(frames[: len(leaves)])
            if frame.stream != CATALOGUE
            and any(one.first_position <= frame.position < one.next_position for one in inside)
        ]
        assert sum(decode_record(frame.record).is_pruned for frame in frames) == len(gone) > 5
        disk = cluster.machines[number].host.disk
        stubs.append([disk.stable_content(f"{FOLDER}/{one.segment:06}.stub") for one in inside])
        assert not [path for one in inside if (path := f"{FOLDER}/{one.segment:06}.seg") in disk.paths()]
        held = [
            path
            for path in disk.paths()
            for content in (disk.content(path), disk.stable_content(path))
            if any(body in content for body in gone)
        ]
        assert held == []
        reader = cluster.machines[number].node.service.readers[HOME]
        runs = await reader.read_stream(TENANT, reader.find(TENANT, "notes"), "notes", 0, 1000, ids_only=False)
        assert sum(run.count for run in runs if run.schema_id == ERASED_SCHEMA) >= len(gone)
    assert stubs[0] == stubs[1] == stubs[2]


async def known(cluster: Any) -> tuple[list[bytes], list[bytes]]:
    """Leaves, and the end of each sealed body."""
    frames = await frames_of(cluster, await cluster.primary())
    return [record_leaf(frame.record) for frame in frames], [bytes(frame.record[-40:]) for frame in frames]


def test_every_member_has_the_same_stubs(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await fill(cluster)
        leaves, bodies = await known(cluster)
        await erase(cluster)
        await prune(cluster)
        await wait_done(cluster)
        await check_pruned(cluster, leaves, bodies)
        for number in range(3):
            await cluster.crash(number)
        await cluster.start(0, 1, 2)
        await cluster.primary()
        await cluster.converge()
        await check_pruned(cluster, leaves, bodies)
        for number in range(3):
            scrubber = cluster.group(number)._member.scrubber
            assert await scrubber.scrub_once() == ()

    in_cluster(body)


def test_a_member_that_was_away_prunes_when_it_has_read_the_log(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await fill(cluster)
        leaves, bodies = await known(cluster)
        await erase(cluster)
        await cluster.converge()
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        await prune(cluster)
        await trio.sleep(0.2)
        assert f"{FOLDER}/000001.seg" in cluster.machines[away].host.disk.paths()
        await cluster.start(away)
        await wait_done(cluster)
        await check_pruned(cluster, leaves, bodies)

    in_cluster(body)


def test_a_member_that_only_a_checkpoint_reaches_gets_the_stubs(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await fill(cluster)
        leaves, bodies = await known(cluster)
        await erase(cluster)
        await cluster.converge()
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        await prune(cluster)
        await fill(cluster, "q", 60)
        await cluster.start(away)
        await wait_done(cluster)
        await check_pruned(cluster, leaves, bodies)

    in_cluster(body)


def test_a_member_whose_segment_was_damaged_gets_the_stub(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await fill(cluster)
        leaves, bodies = await known(cluster)
        await erase(cluster)
        await cluster.converge()
        away = (await cluster.primary() + 1) % 3
        await cluster.crash(away)
        await prune(cluster)
        await trio.sleep(0.2)
        cluster.machines[away].host.disk.rot(f"{FOLDER}/000001.seg", 700)
        fetched = COUNTS["pruning.stub_fetched"]
        await cluster.start(away)
        await wait_done(cluster)
        assert COUNTS["pruning.stub_fetched"] == fetched + 1
        await check_pruned(cluster, leaves, bodies)

    in_cluster(body)
