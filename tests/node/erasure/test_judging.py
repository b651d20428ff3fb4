"""What comes while an erasure is judged isn't looked past: holds, rules of retention, data of the subject."""

from __future__ import annotations

import pytest
import trio

from vdb.errors import OnHold, PolicyChanged, RefusalCode, SubjectErased
from vdb.kernel.command import INTERNAL
from vdb.kernel.erasure import erasures_of
from vdb.kernel.reply import Numbered, Refusal
from vdb.node.erasure.erasure_request import PlainErase
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainRun
from vdb.types import DataClass, Region, TenantId
from vdb.wire.event import encode_batch

REGION = Region("ap-southeast-2")
T1 = TenantId(1)


async def write(node: Node, stream: str, subject: str) -> None:
    group = node.groups[REGION.name]
    create = PlainCreate(tenant=T1, name=stream, data_class=DataClass.PHI, region=REGION.name, if_not_exists=True)
    await group.execute(create, INTERNAL)
    run = PlainRun(subject=subject, count=1, batch=encode_batch([b"about them"]))
    await group.execute(PlainBatch(tenant=T1, appends=(PlainAppend(stream=stream, runs=(run,)),)), INTERNAL)


async def test_a_hold_that_comes_in_its_midst_comes_before_it_or_after_it(start) -> None:
    async with start() as node:
        erasing = node.service.erasing
        outcomes = []
        for pause in range(24):
            subject = f"p-{pause}"
            await write(node, "wards", subject)
            holds: list[int] = []

            async def place(pause: int = pause, holds: list[int] = holds) -> None:
                for _ in range(pause):
                    await trio.lowlevel.checkpoint()
                holds.append(await erasing.put_hold(1, "", "", "wa*", "a case"))

            erased = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(place)
                for _ in range(12):
                    await trio.lowlevel.checkpoint()
                try:
                    await erasing.erase(1, "", subject, "asked for", dry_run=False)
                except OnHold:
                    erased = False
            (hold,) = [one for one in await erasing.list_holds(1, "") if one.hold in holds]
            done = erasures_of(node.groups[REGION.name].state, T1)
            if erased:
                assert done[-1].time < hold.placed
            outcomes.append(erased)
            await erasing.release_hold(1, "", hold.hold, "closed")
        assert True in outcomes
        assert False in outcomes


async def test_data_that_come_in_its_midst_are_judged_as_well(start) -> None:
    async with start() as node:
        await write(node, "wards", "alice")
        await write(node, "court", "bob")
        erasing, group = node.service.erasing, node.groups[REGION.name]
        await erasing.put_hold(1, "", "", "court", "a case")
        request = PlainErase(tenant=T1, subject="alice", basis="asked for", by="", members=(0,), keys_max=8)
        with group.watches.watching(T1, "alice") as watch, group.watches.watching(T1, "carol") as other:
            await write(node, "wards", "bob")
            assert not watch.touched
            await write(node, "court", "alice")
            assert watch.touched
            assert not other.touched
            reply = await group.execute(
                PlainErase(tenant=T1, subject="alice", basis="b", by="", members=(0,), keys_max=8, watch=watch),
                INTERNAL,
            )
            assert isinstance(reply, Refusal)
            assert reply.code is RefusalCode.POLICY_CHANGED
        with pytest.raises(OnHold, match="hold 1 is on a stream"):
            await erasing.erase(1, "", "alice", "asked for", dry_run=False)
        assert isinstance(await group.execute(request, INTERNAL), Numbered), "as a log from before has it"
        with pytest.raises(SubjectErased):
            await erasing.erase(1, "", "alice", "asked for", dry_run=False)


async def test_who_is_written_about_without_end_is_erased_as_well(start) -> None:
    async with start() as node:
        await write(node, "wards", "alice")

        async def write_on() -> None:
            while True:
                await write(node, "wards", "alice")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_on)
            with trio.fail_after(60):
                while True:
                    try:
                        await node.service.erasing.erase(1, "", "alice", "asked for", dry_run=False)
                        break
                    except PolicyChanged:
                        continue
            nursery.cancel_scope.cancel()
        (done,) = erasures_of(node.groups[REGION.name].state, T1)
        assert done.keys
