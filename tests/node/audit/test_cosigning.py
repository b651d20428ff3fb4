"""Heads that witnesses cosign without being asked to by anybody: kept, asked for again, and told in the status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from vdb.crypto.signing import SigningKey
from vdb.errors import ConfigError, NotAvailable
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.note import VerifierKey
from vdb.kernel.command import INTERNAL
from vdb.node.audit.cosigning_settings import CosigningSettings, parse_every, parse_witness
from vdb.node.evidence.proving import Family
from vdb.node.gate.caller import embedded_caller
from vdb.node.gate.guard import Guard
from vdb.ports import Clock
from vdb.types import DataClass, GroupId, TenantId
from vdb.witness.asking import WitnessAsked, WitnessPlace
from vdb.witness.door import serve_witness
from vdb.witness.holding import Witness
from vdb.world.clock import RealClock
from vdb.world.disk import RealDisk
from vdb.world.network import RealNetwork

REGION = "ap-southeast-2"
HOME, ONE = GroupId(REGION), TenantId(1)


@asynccontextmanager
async def witnessing(
    folder: Path, logs: dict[str, tuple[VerifierKey, ...]], clock: Clock | None = None
) -> AsyncIterator[WitnessAsked]:
    """A witness that knows these logs."""
    disk = RealDisk(folder)
    witness = Witness(disk, clock or RealClock(), "w.example", SigningKey(b"w" * 32), logs)
    await witness.open()
    listener = await RealNetwork().listen("127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_witness, witness, listener)
        yield WitnessAsked(WitnessPlace.parse(f"http://{listener.address}"), witness.verifier)
        nursery.cancel_scope.cancel()
    await listener.aclose()
    await disk.close()


class ADayAhead(RealClock):
    """A clock that is wrong."""

    def wall_us(self) -> int:
        return super().wall_us() + 86_400_000_000


def guard(node: Any) -> Guard:
    return Guard(node.service, embedded_caller("officer", "", ""))


async def know(node: Any, logs: dict[str, tuple[VerifierKey, ...]]) -> None:
    """Tell the witness of all trees that there are."""
    for name, reader in node.service.readers.items():
        state = reader.group.state
        trees = [(one.tenant, Family.DATA) for one in state.tenants()]
        for tenant, family in [*trees, *((tenant, Family.AUDIT) for tenant in state.audited_tenants())]:
            key = node.service.proofs.verifier(tenant, name, family)
            logs[key.name] = (key,)


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.02)


async def test_every_tree_is_cosigned_again_and_again(start: Any, tmp_path: Path) -> None:
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    async with witnessing(tmp_path / "witness", logs) as asked:
        settings = CosigningSettings(witnesses=(asked,), every_s=0.2)
        async with start(cosigning=settings) as node:
            cosigning, door = node.service.cosigning, guard(node)
            await door.create_stream(INTERNAL, 1, "notes", DataClass.PHI, REGION)
            await until(lambda: bool(cosigning._trees))
            with pytest.raises(NotAvailable, match="no head of this tree has been cosigned here"):
                await door.tree_head(1, REGION, "data", cosigned=True)
            await know(node, logs)
            await until(lambda: cosigning.oldest(HOME) > 0)
            head = await door.tree_head(1, REGION, "audit", cosigned=True)
            assert head.note.verified_by([head.verifier])
            assert cosigned_at(head.note, asked.key) is not None
            before = Checkpoint.parse(head.note.text).size
            await door.create_stream(INTERNAL, 1, "more", DataClass.PHI, REGION)

            def grown() -> bool:
                found = cosigning.head(ONE, HOME, Family.AUDIT)
                return Checkpoint.parse(found.note.text).size > before

            await until(grown)
            (status,) = [one for one in (await node.service.status()).groups if one.group == HOME]
            assert (status.witnesses, status.cosigned_at) == (1, cosigning.oldest(HOME))
            kept = cosigning.oldest(HOME)
        async with start(cosigning=CosigningSettings(witnesses=(asked,), every_s=3600.0)) as node:
            cosigning = node.service.cosigning
            await until(lambda: len(cosigning._trees) > 1)
            assert cosigning.oldest(HOME) >= kept, "what was cosigned is known after a restart"
            assert (await guard(node).tree_head(1, REGION, "data", cosigned=True)).note.signatures


async def test_after_a_restart_a_witness_whose_clock_is_ahead_is_asked_as_soon_as_any(
    start: Any, tmp_path: Path
) -> None:
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    async with witnessing(tmp_path / "witness", logs, ADayAhead()) as asked:
        settings = CosigningSettings(witnesses=(asked,), every_s=0.1)
        async with start(cosigning=settings) as node:
            await guard(node).create_stream(INTERNAL, 1, "notes", DataClass.PHI, REGION)
            await know(node, logs)
            await until(lambda: node.service.cosigning.oldest(HOME) > 0)
            before = node.service.cosigning.oldest(HOME)
        async with start(cosigning=settings) as node:
            await until(lambda: node.service.cosigning.oldest(HOME) > before)


async def test_one_that_knows_another_history_is_told_at_every_try(start: Any, tmp_path: Path) -> None:
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    async with witnessing(tmp_path / "witness", logs) as asked:
        async with start(cosigning=CosigningSettings(witnesses=(asked,), every_s=0.1)) as node:
            door = guard(node)
            for number in range(3):
                await door.create_stream(INTERNAL, 1, f"s{number}", DataClass.PHI, REGION)
            await know(node, logs)
            await until(lambda: node.service.cosigning.oldest(HOME) > 0)
            cluster = node.groups[HOME].superblock.state.cluster
        settings = CosigningSettings(witnesses=(asked,), every_s=0.1)
        async with start(folder=tmp_path / "other", cluster=cluster, cosigning=settings) as node:
            await guard(node).create_stream(INTERNAL, 1, "s0", DataClass.PHI, REGION)
            logs.clear()
            await know(node, logs)
            trees = node.service.cosigning._trees
            await until(lambda: any("leaves were lost, or taken back" in tree.problem for tree in trees.values()))
            with pytest.raises(NotAvailable, match=r"the witness 'w\.example' has cosigned"):
                await guard(node).tree_head(1, REGION, "data", cosigned=True)


async def test_nobody_is_asked_where_nobody_is_configured(start: Any) -> None:
    async with start() as node:
        await guard(node).create_stream(INTERNAL, 1, "notes", DataClass.PHI, REGION)
        with pytest.raises(NotAvailable, match=r"no witnesses are configured \(\[audit\] witnesses\)"):
            await guard(node).tree_head(1, REGION, "data", cosigned=True)
        assert {one.witnesses for one in (await node.service.status()).groups} == {0}
        assert not await node.world.disk.exists("cosigned")


WITNESS = "w.example+9e6a1540+BODyUZXkv5e8wGvAKXpcSxArPPCp46xaoXyqIs++Uggx"


@pytest.mark.parametrize("text", ["", "http://w:1", "w:1 key", f"ftp://w {WITNESS}", "http://w:1 a+b+c"])
def test_what_names_no_witness_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_witness(text)


@pytest.mark.parametrize(("text", "seconds"), [("1d", 86_400), ("12h", 43_200), ("30m", 1800), ("90s", 90)])
def test_times_between(text: str, seconds: int) -> None:
    assert parse_every(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "d", "1w", "1.5h", "-1s", "1d ", "9999999s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a time such as 1d"):
        parse_every(text)
