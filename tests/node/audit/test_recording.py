"""Entries of writes, reads and acts, on a node on a real directory: recorded, read back, and looked for."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import define
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vdb.audit.entry import AuditEntry, Kind, Outcome
from vdb.audit.search import AuditSearch
from vdb.crypto.record import decode_header
from vdb.errors import AuditUnavailable, InvalidArgument, WrongExpectedOffset
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import EMPTY, KeyScope, Origin
from vdb.node.evidence.proving import Family
from vdb.node.observer import Observer
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, TenantId
from vdb.wire.event import encode_batch

NOBODY = Origin()
REGION = GroupId("ap-southeast-2")
ONE = TenantId(1)
READ = AuditEntry(kind=Kind.READ, action="read", actor="dr.lee", object="notes", subjects=("p-1",), count=1)


@define
class Watch(Observer):
    """Counts the records of audit logs in each op."""

    ops: list[list[AuditAppend]]

    def on_commit(self, group: Any, header: Any, requests: Any, replies: Any) -> None:
        self.ops.append([one.command for one in requests if isinstance(one.command, AuditAppend)])


def append_to(stream: str, payload: bytes, subject: str = "", **more: Any) -> PlainAppend:
    return PlainAppend(stream=stream, runs=(PlainRun(subject=subject, count=1, batch=encode_batch([payload])),), **more)


async def all_entries(node: Any, tenant: TenantId = ONE, group: GroupId = REGION, **more: Any) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    at, size = 0, 1
    while at < size:
        page = await node.service.audit.records(tenant, group, at, 100, **more)
        found += [entry for record in page.records for entry in record.decoded()]
        at, size = page.next, page.size
    return found


async def with_notes(node: Any) -> None:
    await node.service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)


async def test_a_write_is_told_with_what_came_of_it(start) -> None:
    async with start() as node:
        await with_notes(node)
        runs = tuple(PlainRun(subject=f"p-{one}", count=2, batch=encode_batch([b"a", b"b"])) for one in range(2))
        await node.service.append(NOBODY, 1, [PlainAppend(stream="notes", runs=runs)])
        with pytest.raises(WrongExpectedOffset):
            await node.service.append(NOBODY, 1, [append_to("notes", b"c", expected=EMPTY)])
        await node.service.append(NOBODY, 1, [append_to("notes", b"about nobody")])
        created, written, refused, last = await all_entries(node)
        assert (created.kind, created.object, created.actor, created.credential, created.data_class) == (
            Kind.CREATE, "notes", "node", "node", "phi",
        )  # fmt: skip
        assert (written.kind, written.object, written.first, written.count) == (Kind.WRITE, "notes", 0, 4)
        assert written.subjects == ("p-0", "p-1")
        assert (refused.outcome, refused.code) == (Outcome.REFUSED, "WRONG_EXPECTED_OFFSET")
        assert (last.first, last.subjects) == (4, ("*",))
        times = [one.time for one in (created, written, refused, last)]
        assert times == sorted(times)
        read = await node.service.read(1, "notes", 0, max_events=10)
        assert written.time == read.runs[0].time


async def test_a_write_brings_what_its_door_knows(start) -> None:
    note = AuditEntry(kind=Kind.WRITE, action="append", actor="dr.lee", credential="mtls", purpose="TREAT", rule="r1")
    async with start() as node:
        await with_notes(node)
        answers: list[Any] = []
        done = trio.Event()

        def on_answer(answer: Any) -> None:
            answers.append(answer)
            done.set()

        node.service.writes.append(NOBODY, 1, [append_to("notes", b"x", "p-1")], on_answer, note=note)
        await done.wait()
        entry = (await all_entries(node))[-1]
        assert (entry.actor, entry.credential, entry.purpose, entry.rule) == ("dr.lee", "mtls", "TREAT", "r1")
        assert (entry.subjects, entry.count, entry.object) == (("p-1",), 1, "notes")


async def test_what_is_told_at_once_is_one_record(start) -> None:
    watch = Watch([])
    async with start(observer=watch) as node:
        await with_notes(node)
        watch.ops.clear()
        receipts = []

        async def record(number: int) -> None:
            entry = AuditEntry(kind=Kind.READ, action="read", actor=f"a-{number}")
            receipts.append((number, await node.service.recorder.record(ONE, REGION, [entry])))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(record, number)
        records = [one for op in watch.ops for one in op]
        assert sum(one.count for one in records) == 20
        assert len(records) < 20
        assert all(one.writes == 0 for one in records)
        entries = await all_entries(node)
        for number, receipt in receipts:
            assert entries[receipt.first_entry].actor == f"a-{number}"
            page = await node.service.audit.records(ONE, REGION, receipt.index, 1)
            assert f"a-{number}" in [one.actor for one in page.records[0].decoded()]
            assert receipt.tenant == 1


async def test_entries_of_one_receipt_follow_each_other(start) -> None:
    async with start() as node:
        await with_notes(node)
        told = [
            AuditEntry(kind=Kind.READ, action="read", actor=f"a-{one}", detail={"x": "y" * 900}) for one in range(30)
        ]
        receipt = await node.service.recorder.record(ONE, REGION, told)
        assert receipt.first_entry == 1
        assert [one.actor for one in (await all_entries(node))[1:]] == [one.actor for one in told]
        with pytest.raises(InvalidArgument, match="one entry at least"):
            await node.service.recorder.record(ONE, REGION, [])
        with pytest.raises(InvalidArgument, match="no group 'mars'"):
            await node.service.recorder.record(ONE, GroupId("mars"), told)


async def test_a_tenant_that_nobody_knows_is_told_of_in_the_systems_log(start) -> None:
    async with start() as node:
        receipt = await node.service.recorder.record(TenantId(7), REGION, [READ])
        assert receipt.tenant == 0
        assert [one.actor for one in await all_entries(node, TenantId(0))] == ["dr.lee"]
        assert await all_entries(node, TenantId(7)) == []
        state = node.groups[REGION].state
        assert state.audited_tenants() == [0]
        assert not state.has_tenant(TenantId(0))


async def test_the_global_group_has_audit_logs_of_its_own(start) -> None:
    async with start() as node:
        await node.service.create_stream(NOBODY, 1, "prices", DataClass.NON_PHI, "global")
        (entry,) = await all_entries(node, group=GLOBAL_GROUP)
        assert (entry.kind, entry.data_class) == (Kind.CREATE, "non-phi")
        (record,) = (await node.service.audit.records(ONE, GLOBAL_GROUP, 0, 10)).records
        assert decode_header(record.leaf_data[:-32]).data_class is DataClass.NON_PHI


async def test_logs_come_through_checkpoints_and_restarts(start) -> None:
    async with start() as node:
        await with_notes(node)
        for _ in range(60):
            await node.service.recorder.record(ONE, REGION, [READ])
        head = await node.service.proofs.head(1, REGION, Family.AUDIT)
        told = await all_entries(node)
    async with start() as node:
        assert await all_entries(node) == told
        assert (await node.service.proofs.head(1, REGION, Family.AUDIT)).note == head.note
        page = await node.service.audit.records(ONE, REGION, 17, 5)
        assert [one.index for one in page.records] == [17, 18, 19, 20, 21]
        assert (page.next, page.size) == (22, 61)
        assert (await node.service.audit.records(ONE, REGION, 61, 5)).records == ()


async def test_a_search_finds_names_tokens_and_what_counts_for_all(start) -> None:
    async with start() as node:
        await with_notes(node)
        await node.service.append(NOBODY, 1, [append_to("notes", b"x", "p-1")])
        await node.service.append(NOBODY, 1, [append_to("notes", b"y", "p-2")])
        keyring = node.groups[REGION].keyring
        token = keyring.row(ONE, KeyScope.SUBJECT, "p-1").subject_token.hex()
        seen = AuditEntry(kind=Kind.READ, action="read", actor="by-token", subjects=(f"token:{token}",))
        everybody = AuditEntry(kind=Kind.QUERY, action="query", actor="by-all", subjects=("*",))
        await node.service.recorder.record(ONE, REGION, [seen, everybody])
        found = await all_entries(node, search=AuditSearch(subject="p-1"))
        assert [one.actor for one in found] == ["node", "by-token", "by-all"]
        assert [one.actor for one in await all_entries(node, search=AuditSearch(kinds=("query",)))] == ["by-all"]
        assert await all_entries(node, search=AuditSearch(subject="p-9", kinds=("write",))) == []


async def test_a_records_own_key_opens_it(start) -> None:
    async with start() as node:
        await with_notes(node)
        await node.service.recorder.record(ONE, REGION, [READ])
        page = await node.service.audit.records(ONE, REGION, 0, 10, sealed=True)
        for record in page.records:
            opened = AESGCM(record.record_key).decrypt(
                bytes(12), record.body[76:], record.leaf_data[:-32] + record.body[:64]
            )
            assert record.entries[0] in opened
        page = await node.service.audit.records(ONE, REGION, 0, 10)
        assert all(record.record_key == record.body == b"" for record in page.records)


async def test_what_cant_be_recorded_isnt_answered(start, monkeypatch) -> None:
    async with start() as node:
        await with_notes(node)
        group = node.groups[REGION]
        monkeypatch.setattr(group._member.checkpointer, "disk_full", True)
        with pytest.raises(AuditUnavailable, match="can't take what is to be read"):
            await node.service.recorder.record(ONE, REGION, [READ])
