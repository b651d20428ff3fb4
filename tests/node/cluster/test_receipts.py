"""Receipts in a cluster: of backups, without a quorum, over a change of the primary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from vdb.audit.entry import AuditEntry, Kind
from vdb.errors import NotPrimary, NotReady, PrimaryLost
from vdb.types import GroupId, TenantId
from vdb.vsr.message import RecordMessage

HOME = GroupId("ap-southeast-2")
ONE = TenantId(1)


def read_by(actor: str) -> AuditEntry:
    return AuditEntry(kind=Kind.READ, action="read", actor=actor, object="notes", count=1)


async def started(cluster: Any) -> tuple[int, int]:
    """The primary, and a backup."""
    await cluster.start(0, 1, 2)
    await cluster.create("notes")
    primary = await cluster.primary()
    await cluster.converge()
    return primary, (primary + 1) % 3


async def actors(cluster: Any, number: int) -> list[str]:
    node = cluster.machines[number].node
    page = await node.service.audit.records(ONE, HOME, 0, 1000)
    return [entry.actor for record in page.records for entry in record.decoded()]


def test_a_backup_has_its_receipts_recorded_by_the_primary(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await started(cluster)
        recorder = cluster.machines[backup].node.service.recorder
        receipts = []

        async def record(name: str) -> None:
            receipts.append((name, await recorder.record(ONE, HOME, [read_by(name), read_by(f"{name}'s")])))

        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(record, name)
        await cluster.converge()
        told = await actors(cluster, primary)
        assert await actors(cluster, backup) == told
        for name, receipt in receipts:
            assert told[receipt.first_entry : receipt.first_entry + 2] == [name, f"{name}'s"]
            assert receipt.tenant == ONE

    in_cluster(body)


def test_without_a_quorum_nothing_is_recorded(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await started(cluster)
        for number in range(3):
            if number != backup:
                await cluster.crash(number)
        with pytest.raises((NotReady, NotPrimary)), trio.fail_after(60):
            await cluster.machines[backup].node.service.recorder.record(ONE, HOME, [read_by("alone")])
        assert "alone" not in await actors(cluster, backup)
        assert primary != backup

    in_cluster(body)


def test_a_primary_that_is_deposed_gives_no_receipt(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        primary, _ = await started(cluster)
        universe, others = cluster.universe, [number for number in range(3) if number != primary]
        for other in others:
            universe.network.cut(f"n{primary}", f"n{other}")
        ended: list[BaseException] = []

        async def record() -> None:
            try:
                await cluster.machines[primary].node.service.recorder.record(ONE, HOME, [read_by("deposed")])
            except (NotPrimary, PrimaryLost, NotReady) as error:
                ended.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(record)
            await cluster.wait_until(lambda: any(cluster.group(other).is_serving for other in others))
            for other in others:
                universe.network.heal(f"n{primary}", f"n{other}")
        assert len(ended) == 1
        await cluster.converge()
        assert "deposed" not in await actors(cluster, others[0])

    in_cluster(body)


@pytest.mark.parametrize("entry", [b"no entry", b'{"time":1,"kind":"read","action":"read"}', b"x" * 100_000])
def test_what_is_no_entry_isnt_recorded(in_cluster: Callable[..., None], entry: bytes) -> None:
    async def body(cluster: Any) -> None:
        primary, backup = await started(cluster)
        before = await actors(cluster, primary)
        message = RecordMessage(number=1, tenant=1, entries=(entry,), replica=backup)
        cluster.group(backup).send(primary, message)
        await trio.sleep(1.0)
        assert await actors(cluster, primary) == before

    in_cluster(body)
