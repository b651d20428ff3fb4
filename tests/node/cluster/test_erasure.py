"""An erasure in a cluster: every member's disk is rid of the keys before it counts as done, come what may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from vdb.errors import KeyUnavailable
from vdb.kernel.command import KeyScope
from vdb.kernel.erasure import erasures_of, pending_nodes
from vdb.kernel.reply import Numbered
from vdb.node.erasure.erasure_request import PlainErase
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.types import DataClass, TenantId
from vdb.wire.event import ERASED_SCHEMA, encode_batch

HOME = "ap-southeast-2"
TENANT = TenantId(1)


async def create(cluster: Any) -> None:
    await cluster.execute(
        PlainCreate(tenant=TENANT, name="notes", data_class=DataClass.PHI, region=HOME, if_not_exists=True)
    )


async def write(cluster: Any, subject: str, *payloads: bytes) -> Any:
    run = PlainRun(subject=subject, count=len(payloads), batch=encode_batch(payloads))
    return await cluster.execute(PlainBatch(tenant=TENANT, appends=(PlainAppend(stream="notes", runs=(run,)),)))


async def erase(cluster: Any, subject: str) -> None:
    group = cluster.group(await cluster.primary())
    reply = await cluster.execute(
        PlainErase(tenant=TENANT, subject=subject, basis="asked for", by="officer", members=group.members, keys_max=8)
    )
    assert isinstance(reply, Numbered), reply


def secrets_of(cluster: Any, number: int, subject: str) -> list[bytes]:
    """The wrapped key and the wrapped secret of a subject's token."""
    row = cluster.group(number).keyring.row(TENANT, KeyScope.SUBJECT, subject)
    return [bytes(row.wrapped), bytes(row.wrapped_secret)]


def traces(cluster: Any, number: int, secrets: list[bytes]) -> list[str]:
    """Files of a node in which any of these stands, as a reader of the file and as the platter has it."""
    disk = cluster.machines[number].host.disk
    return [
        path
        for path in disk.paths()
        for content in (disk.content(path), disk.stable_content(path))
        if any(secret in content for secret in secrets)
    ]


async def wait_done(cluster: Any, numbers: list[int], seconds: float = 60) -> None:
    with trio.fail_after(seconds):
        await cluster.wait_until(
            lambda: all(
                all(one.completed for one in erasures_of(cluster.group(number).state, TENANT)) for number in numbers
            )
        )


async def check_unreadable(cluster: Any, number: int, erased: int) -> None:
    reader = cluster.machines[number].node.service.readers[HOME]
    state = reader.find(TENANT, "notes")
    runs = await reader.read_stream(TENANT, state, "notes", 0, 1000, ids_only=False)
    gone = [run for run in runs if run.schema_id == ERASED_SCHEMA]
    assert sum(run.count for run in gone) == erased
    for row in reader.group.state.keys():  # noqa: SIM118 - rows of the key store
        if row.is_destroyed:
            try:
                reader.group.keyring.key(row.dek_id)
            except KeyUnavailable:
                continue
            raise AssertionError("a destroyed key opens")


def test_every_member_is_rid_of_the_keys(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create(cluster)
        for number in range(12):
            await write(cluster, f"p{number % 3}", b"%03d" % number * 50)
        await cluster.converge()
        secrets = secrets_of(cluster, 0, "p1")
        assert traces(cluster, 0, secrets)
        await erase(cluster, "p1")
        await wait_done(cluster, [0, 1, 2])
        for number in range(3):
            assert traces(cluster, number, secrets) == []
            await check_unreadable(cluster, number, 4)
        # Power loss everywhere: what was said to be synced is.
        for number in range(3):
            await cluster.crash(number)
            assert traces(cluster, number, secrets) == []
        await cluster.start(0, 1, 2)
        await cluster.primary()
        await cluster.converge()
        for number in range(3):
            await check_unreadable(cluster, number, 4)

    in_cluster(body)


def test_it_is_pending_until_a_member_that_was_away_has_acknowledged(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create(cluster)
        for number in range(6):
            await write(cluster, f"p{number % 3}", b"%03d" % number * 50)
        await cluster.converge()
        away = (await cluster.primary() + 1) % 3
        others = [number for number in range(3) if number != away]
        secrets = secrets_of(cluster, away, "p0")
        await cluster.crash(away)
        await erase(cluster, "p0")
        await trio.sleep(10)
        for number in others:
            (found,) = erasures_of(cluster.group(number).state, TENANT)
            assert not found.completed
            assert pending_nodes(cluster.group(number).state, found) == (away,)
            assert traces(cluster, number, secrets) == []
        assert traces(cluster, away, secrets) != []
        # So long that only a checkpoint reaches it.
        for number in range(60):
            await write(cluster, "p1", b"%03d" % number * 50)
        await cluster.start(away)
        await wait_done(cluster, [0, 1, 2])
        for number in range(3):
            assert traces(cluster, number, secrets) == []
            await check_unreadable(cluster, number, 2)

    in_cluster(body)


def test_crashes_in_its_midst_only_put_it_off(in_cluster: Callable[..., None]) -> None:
    for pause in (0.0, 0.02, 0.1, 0.4):

        async def body(cluster: Any, pause: float = pause) -> None:
            await cluster.start(0, 1, 2)
            await create(cluster)
            for number in range(6):
                await write(cluster, f"p{number % 3}", b"%03d" % number * 50)
            await cluster.converge()
            secrets = secrets_of(cluster, 0, "p0")
            await erase(cluster, "p0")
            await trio.sleep(pause)
            for number in range(3):
                await cluster.crash(number)
                await trio.sleep(pause)
                await cluster.start(number)
            await wait_done(cluster, [0, 1, 2])
            for number in range(3):
                assert traces(cluster, number, secrets) == []
                await check_unreadable(cluster, number, 2)

        in_cluster(body, seed=7 + round(pause * 100))


def test_a_member_that_left_is_not_waited_for(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        await create(cluster)
        await write(cluster, "p0", b"secret")
        await cluster.converge()
        away = (await cluster.primary() + 1) % 3
        staying = tuple(number for number in range(3) if number != away)
        await cluster.crash(away)
        await erase(cluster, "p0")
        await trio.sleep(5)
        (found,) = erasures_of(cluster.group(staying[0]).state, TENANT)
        assert not found.completed
        await cluster.reconfigure(staying, (), (HOME,))
        await wait_done(cluster, list(staying))
        service = cluster.machines[await cluster.primary()].node.service
        (info,) = await service.erasing.list_erasures(1, HOME)
        assert f'"removed-without-acknowledgement": [{away}]' in info.certificate

    in_cluster(body)
