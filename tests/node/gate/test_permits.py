"""What the guard lets through: by streams, by subjects, and what it writes down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from vdb.audit.entry import AuditEntry, Kind, Outcome, decode_entry
from vdb.consumers import ConsumerSettings
from vdb.errors import AccessDenied, AuditUnavailable, NotAvailable, NotReady
from vdb.kernel.command import INTERNAL, Origin
from vdb.node.gate.caller import Caller, Credential, embedded_caller
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.gate.guard import Guard
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.policy.decide import Principal
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.selection import EventFilter, EventStart
from vdb.types import DataClass, TenantId
from vdb.wire.event import decode_batch, encode_batch

PLACE = "ap-southeast-2"
POLICY = """
name = "clinic"

[roles]
officer = []
clinician = []
nurse = []
researcher = []
masked = []
porter = []

[[binding]]
principals = ["officer"]
roles = ["officer"]

[[binding]]
principals = ["lee"]
roles = ["clinician"]

[[binding]]
principals = ["ann"]
roles = ["nurse"]

[[binding]]
principals = ["rosa"]
roles = ["researcher"]

[[binding]]
principals = ["bob"]
roles = ["porter"]

[[binding]]
principals = ["mia"]
roles = ["masked"]

[[rule]]
name = "officers-do-all"
roles = ["officer"]
actions = ["policy", "audit", "create", "append", "read"]

[[rule]]
name = "nurses-read-vitals"
roles = ["nurse"]
actions = ["read"]
streams = ["vital*"]

[[rule]]
name = "clinicians-in-an-emergency"
effect = "break-glass"
roles = ["clinician"]
actions = ["read"]

[[rule]]
name = "research-with-consent"
roles = ["researcher"]
actions = ["read"]
purposes = ["HRESCH"]
consent = true

[[rule]]
name = "consumers-of-notes"
roles = ["porter"]
actions = ["consume"]
streams = ["worker*"]

[[rule]]
name = "porters-write-what-is-no-phi"
roles = ["porter"]
actions = ["append"]
classes = ["non-phi"]

[[rule]]
name = "nobody-reads-notes"
effect = "deny"
principals = ["bob"]
actions = ["read"]
streams = ["notes"]

[[rule]]
name = "masked-reads"
roles = ["masked"]
actions = ["read", "query"]
masks = { name = "hide" }

[break-glass]
roles = ["clinician"]
reviewers = ["officer"]
"""


def caller(name: str, purpose: str = "") -> Caller:
    return Caller(principal=Principal(name=name), credential=Credential.MTLS, purpose=purpose)


def one(stream: str, text: bytes, subject: str = "") -> PlainAppend:
    run = PlainRun(subject=subject, count=1, batch=encode_batch([text]), event_ids=b"", schema_id=0)
    return PlainAppend(stream=stream, runs=(run,))


async def filled(node: Node) -> Guard:
    """Notes about two patients, and a policy."""
    officer = Guard(node.service, caller("officer"))
    for stream in ("notes", "vitals"):
        await officer.create_stream(INTERNAL, 1, stream, DataClass.PHI, PLACE)
        for subject, text in (("p-1", b"one"), ("p-2", b"two"), ("p-1", b"three")):
            await officer.append(INTERNAL, 1, [one(stream, text, subject)])
    await officer.apply_policy(POLICY, 0)
    book, region = node.service.governance.book, node.config.groups[0]
    with trio.fail_after(10):
        await node.groups[region].wait_until(lambda: book.policy(region) is not None)
    return officer


async def texts(guard: Guard, stream: str) -> list[bytes]:
    found = await guard.read(1, stream, 0, max_events=100)
    return [bytes(text) for run in found.runs for text in decode_batch(run.batch)]


async def log_texts(guard: Guard) -> list[bytes]:
    found = await guard.read_log(1, "", 0, max_events=100)
    return [bytes(text) for run in found.runs for text in decode_batch(run.batch)]


async def found_texts(guard: Guard, **wanted: Any) -> list[bytes]:
    found = await guard.read_events(1, "", EventFilter(**wanted), EventStart(), max_events=100)
    return [event.payload for event in found.events]


async def entries(node: Node, tenant: int = 1) -> list[AuditEntry]:
    page = await node.service.audit.records(TenantId(tenant), node.config.groups[0], 0, 10_000)
    return [decode_entry(entry) for record in page.records for entry in record.entries]


async def test_what_a_policy_allows_of_a_log_is_all_that_is_shown(start: Any) -> None:
    async with start() as node:
        await filled(node)
        nurse = Guard(node.service, caller("ann"))
        assert await texts(nurse, "vitals") == [b"one", b"two", b"three"]
        assert await log_texts(nurse) == [b"one", b"two", b"three"]
        assert await found_texts(nurse) == [b"one", b"two", b"three"]
        assert [info.name for info in (await nurse.list_streams(1))[0]] == ["vitals"]
        with pytest.raises(AccessDenied, match=r"no rule allows 'read' of phi data in tenant 1.*policy sha256:"):
            await texts(nurse, "notes")
        with pytest.raises(AccessDenied):
            await found_texts(nurse, stream="notes")
        with pytest.raises(AccessDenied):
            await nurse.get_stream(1, "notes")
        with pytest.raises(AccessDenied):
            await nurse.append(INTERNAL, 1, [one("vitals", b"x")])
        denied = [entry for entry in await entries(node) if entry.outcome is Outcome.DENIED]
        assert [(entry.actor, entry.door, entry.object) for entry in denied] == [
            ("ann", "read", "notes"),
            ("ann", "readEvents", "notes"),
            ("ann", "getStream", "notes"),
            ("ann", "append", "vitals"),
        ]


async def test_a_broken_glass_shows_what_is_about_its_subject(start: Any) -> None:
    async with start() as node:
        await filled(node)
        lee = Guard(node.service, caller("lee", "BTG"))
        with pytest.raises(AccessDenied):
            await texts(lee, "notes")
        grant = await lee.break_glass(1, PLACE, "p-1", "unconscious", 60)
        assert await texts(lee, "notes") == [b"one", b"three"]
        assert await found_texts(lee, stream="notes") == [b"one", b"three"]
        assert await log_texts(lee) == [b"one", b"three", b"one", b"three"]
        reads = [entry for entry in await entries(node) if entry.kind is Kind.READ and entry.actor == "lee"]
        assert {entry.subjects for entry in reads} == {("p-1",)}
        assert {entry.grant for entry in reads} == {grant.grant}
        assert {entry.rule for entry in reads} == {"clinicians-in-an-emergency"}
        with pytest.raises(AccessDenied):
            await texts(Guard(node.service, caller("lee", "TREAT")), "notes")


async def test_a_consent_shows_what_is_about_its_subject(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        rosa = Guard(node.service, caller("rosa", "HRESCH"))
        assert await texts(rosa, "notes") == []
        await officer.put_consent(1, PLACE, "p-2", ("HRESCH",), 0, withdraw=False)
        assert await texts(rosa, "notes") == [b"two"]
        assert await found_texts(rosa) == [b"two", b"two"]
        await officer.put_consent(1, PLACE, "p-2", (), 0, withdraw=True)
        assert await texts(rosa, "notes") == []
        with pytest.raises(AccessDenied):
            await texts(Guard(node.service, caller("rosa", "HMARKT")), "notes")


async def test_deliveries_leave_receipts_and_keep_to_what_is_denied(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        for name, stream in (("worker-1", "vitals"), ("worker-2", "notes"), ("other", "vitals")):
            await officer.consumers.create(
                INTERNAL, 1, PLACE, name, ConsumerSettings(filter=EventFilter(stream=stream))
            )
        porter = Guard(node.service, caller("bob"))
        found = await porter.consumers.fetch(1, PLACE, "worker-1", bytes(16), 10)
        assert [one.event.payload for one in found] == [b"one", b"two", b"three"]
        with pytest.raises(AccessDenied, match="rule 'nobody-reads-notes' denies 'read'"):
            await porter.consumers.fetch(1, PLACE, "worker-2", bytes(16), 10)
        with pytest.raises(AccessDenied, match="no rule allows 'consume'"):
            await porter.consumers.fetch(1, PLACE, "other", bytes(16), 10)
        with pytest.raises(AccessDenied):
            await porter.consumers.settle(INTERNAL, 1, PLACE, "other", bytes(16), [])
        assert sorted(info.name for info in await porter.consumers.infos(1, PLACE, "")) == ["worker-1", "worker-2"]
        with pytest.raises(AccessDenied, match="no rule allows 'consume'"):
            await porter.consumers.infos(1, PLACE, "other")
        (receipt,) = [entry for entry in await entries(node) if entry.kind is Kind.READ]
        assert (receipt.actor, receipt.object, receipt.count) == ("bob", "worker-1", 3)
        assert len(receipt.subjects) == 2
        assert receipt.detail == {"streams": "vitals"}


async def test_rows_of_a_projection_are_masked(start: Any) -> None:
    template = LatestById(table="people", key_path="id", columns={"name": "name", "text": "text"}, payload="json")
    config = ProjectionConfig(name="people", streams=("people",), template=template)
    async with start(projections=(config,)) as node:
        officer = Guard(node.service, caller("officer"))
        await officer.create_stream(INTERNAL, 1, "people", DataClass.PHI, PLACE)
        result = await officer.append(INTERNAL, 1, [one("people", b'{"id": "p-1", "name": "Jane", "text": "fine"}')])
        assert await officer.wait_for_projection(1, "people", str(result.position), 10_000_000)
        await filled(node)
        mia = Guard(node.service, caller("mia"))
        found = await mia.rows(1, "people", "people", {}, (), 10)
        assert dict(zip(found.columns, found.rows[0], strict=True)) == {"id": "p-1", "name": None, "text": "fine"}
        for where, order_by in (({"name": "Jane"}, ()), ({}, ("-name",))):
            with pytest.raises(AccessDenied, match=r"masks column '-?name': rows can't be chosen or sorted by it"):
                await mia.rows(1, "people", "people", where, order_by, 10)
        with pytest.raises(AccessDenied):
            await Guard(node.service, caller("lee")).rows(1, "people", "people", {}, (), 10)
        queries = [entry for entry in await entries(node) if entry.kind is Kind.QUERY]
        assert [(entry.actor, entry.object, entry.tables, entry.count) for entry in queries] == [
            ("mia", "people", ("people",), 1)
        ]


async def test_events_cant_be_masked_so_they_are_denied(start: Any) -> None:
    async with start() as node:
        await filled(node)
        with pytest.raises(AccessDenied, match="shows some rows or masks columns, which events as they are can't be"):
            await texts(Guard(node.service, caller("mia")), "notes")


async def test_a_read_that_cant_be_written_down_isnt_answered(start: Any) -> None:
    async with start() as node:
        await filled(node)
        guard = Guard(node.service, caller("officer"))

        class Failing:
            async def record(self, _tenant: Any, _group: Any, _entries: Sequence[AuditEntry]) -> None:
                raise AuditUnavailable("the audit log is full")

        node.service.permits.recorder = Failing()
        for read in (
            lambda: texts(guard, "notes"),
            lambda: log_texts(guard),
            lambda: found_texts(guard),
            lambda: texts(Guard(node.service, caller("nobody")), "notes"),
            lambda: guard.rebuild_projection(1, "none", hold=False),
            lambda: Guard(node.service, caller("nobody")).append(INTERNAL, 1, [one("notes", b"x")]),
        ):
            with pytest.raises(AuditUnavailable, match="the audit log is full"):
                await read()


async def test_a_node_may_require_a_policy(start: Any) -> None:
    async with start(gate=GateSettings(require_policy=True, policy_admins=("officer",))) as node:
        guard = Guard(node.service, caller("officer"))
        with pytest.raises(AccessDenied, match="has no policy yet, and this node requires one"):
            await guard.create_stream(INTERNAL, 1, "notes", DataClass.PHI, PLACE)
        with pytest.raises(AccessDenied):
            await Guard(node.service, caller("lee")).apply_policy(POLICY, 0)
        with pytest.raises(NotAvailable):
            await guard.break_glass(1, PLACE, "p-1", "why", 60)
        await guard.apply_policy(POLICY, 0)


async def test_who_leads_again_doesnt_vouch_for_what_was_read_before(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as node:
        officer = await filled(node)
        end = (await officer.get_stream(1, "notes")).next_offset
        replica = node.groups[node.config.groups[0]].replica
        view, confirmed = replica.view, node.service.reach

        async def leads_again(*asked: Any) -> None:
            await confirmed(*asked)
            replica.view = view + 2

        monkeypatch.setattr(node.service, "reach", leads_again)
        try:
            with pytest.raises(NotReady, match="has changed while it was read"):
                await officer.read(1, "notes", end, max_events=9)
        finally:
            replica.view = view


async def test_a_denied_write_of_a_session_uses_up_its_number(start: Any) -> None:
    async with start() as node:
        await filled(node)
        guard = Guard(node.service, caller("lee"))
        client = bytes(range(16))
        session = await node.service.open_session(client)
        for number in (1, 2):
            with pytest.raises(AccessDenied):
                await guard.append(Origin(client, session, number), 1, [one("notes", b"x")])
        guard.become(caller("officer"))
        await guard.append(Origin(client, session, 3), 1, [one("notes", b"y", "p-1")])
        assert len([entry for entry in await entries(node) if entry.outcome is Outcome.DENIED]) == 2


async def test_who_may_not_write_phi_cant_slip_behind_a_creation(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        bob = Guard(node.service, caller("bob"))
        refused: list[Any] = []
        created: list[Any] = []
        officer.create(INTERNAL, 1, "worker-notes", DataClass.PHI, PLACE, False, created.append)
        bob.append_soon(INTERNAL, 1, [one("worker-notes", b"x")], refused.append)
        with trio.fail_after(10):
            await node.groups[node.config.groups[0]].wait_until(lambda: bool(created))
            await trio.sleep(0.2)
        assert isinstance(refused[0], AccessDenied)
        assert await texts(officer, "worker-notes") == []


async def test_an_embedded_program_says_who_asks(start: Any) -> None:
    async with start() as node:
        guard = Guard(node.service, embedded_caller("intake", "TREAT", "morning round"))
        await guard.create_stream(INTERNAL, 1, "notes", DataClass.PHI, PLACE)
        await guard.append(INTERNAL, 1, [one("notes", b"x", "p-1")])
        assert await texts(guard, "notes") == [b"x"]
        found = [(entry.kind, entry.actor, entry.purpose, entry.rule) for entry in await entries(node)]
        assert found == [
            (Kind.CREATE, "intake", "TREAT", "no-policy"),
            (Kind.WRITE, "intake", "TREAT", "no-policy"),
            (Kind.READ, "intake", "TREAT", "no-policy"),
        ]
