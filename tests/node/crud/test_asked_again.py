"""What was allowed is asked for again, when a transaction commits and before more rows leave: policies, consents and
glasses end meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from vdb.audit.entry import AuditEntry, Kind, decode_entry
from vdb.changes import Attribution
from vdb.errors import AccessDenied, PolicyChanged
from vdb.node.crud.asked_session import AskedSession
from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.gate.guard import Guard
from vdb.node.node import Node
from vdb.policy.decide import Principal
from vdb.sql.answers import SqlAnswer, SqlCall, SqlStatement
from vdb.types import GroupId, TenantId

POLICY = """
name = "clinic"

[roles]
admin = []
clinician = []
researcher = []

[[binding]]
principals = ["root"]
roles = ["admin"]

[[binding]]
principals = ["lee"]
roles = ["clinician"]

[[binding]]
principals = ["rae"]
roles = ["researcher"]

[[rule]]
name = "admins"
roles = ["admin"]
actions = ["append", "schema", "create", "policy", "audit", "query"]

[[rule]]
name = "clinicians-read"
roles = ["clinician"]
actions = ["query"]
tables = ["patients", "visits"]

[[rule]]
name = "clinicians-write"
roles = ["clinician"]
actions = ["append"]
tables = ["patients"]

[[rule]]
name = "visits"
roles = ["clinician", "researcher"]
actions = ["append", "query"]
tables = ["visits"]

[[rule]]
name = "clinicians-make"
roles = ["clinician"]
actions = ["schema"]

[[rule]]
name = "with-consent"
roles = ["researcher"]
actions = ["append", "query"]
tables = ["patients"]
consent = true

[[rule]]
name = "glass"
effect = "break-glass"
roles = ["clinician"]
actions = ["append", "query"]
tables = ["notes"]

[break-glass]
roles = ["clinician"]
reviewers = ["admin"]
"""
WRITES = 'actions = ["append"]\ntables = ["patients"]'
READS = 'actions = ["query"]\ntables = ["patients", "visits"]'
NO_WRITES = POLICY.replace(WRITES, 'actions = ["append"]\ntables = ["beds"]')
NO_READS = POLICY.replace(READS, 'actions = ["query"]\ntables = ["visits"]')
NO_MAKING = POLICY.replace('actions = ["schema"]', 'actions = ["status"]')
FILTERED = POLICY.replace(WRITES, WRITES + "\nrows = \"id = 'p-2'\"")
RENAMED = POLICY.replace("clinicians-write", "clinicians-do")
NO_GLASS = POLICY.replace(
    'actions = ["append", "query"]\ntables = ["notes"]', 'actions = ["query"]\ntables = ["notes"]'
)
MIGRATION = {
    "0001_clinic.sql": """
-- vdb: subject patients.id
CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE visits (id INTEGER PRIMARY KEY, what TEXT);
CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO patients VALUES ('p-1', 'Ada'), ('p-2', 'Bob');
"""
}
CALL = SqlCall()
WITHIN = SqlCall(within=True)
REGION = GroupId("ap-southeast-2")
ADA = "UPDATE patients SET name = 'Ada B.' WHERE id = 'p-1'"
Clinic = Callable[..., AbstractAsyncContextManager[Node]]


def guard(node: Node, name: str, purpose: str = "TREAT") -> Guard:
    principal = Principal(name=name, mfa=True)
    return Guard(node.service, Caller(principal=principal, credential=Credential.MTLS, purpose=purpose))


async def apply(node: Node, text: str) -> None:
    book = node.service.permits.book
    before = book.policy(REGION)
    root = guard(node, "root")
    await root.apply_policy(text, (await root.get_policy("global")).serial)
    with trio.fail_after(5):
        await node.service.groups[REGION].wait_until(lambda: book.policy(REGION) not in (None, before))


@pytest.fixture
def clinic(start: Any) -> Clinic:
    @asynccontextmanager
    async def run(policy: str = POLICY, **settings: Any) -> AsyncIterator[Node]:
        async with start(**settings) as node:
            await node.service.databases.create(1, "clinic")
            async with entered(node, "root") as session:
                await session.migrate(CALL, MIGRATION)
            if policy:
                await apply(node, policy)
            yield node

    return run


@asynccontextmanager
async def entered(node: Node, name: str, purpose: str = "TREAT") -> AsyncIterator[AskedSession]:
    sessions = guard(node, name, purpose).sql
    session = await sessions.open(1, "clinic", attribution=Attribution(), lock_seconds=5.0)
    try:
        yield session
    finally:
        with trio.CancelScope(shield=True):
            await sessions.close(session)


async def run(session: AskedSession, sql: str, call: SqlCall = CALL) -> SqlAnswer:
    return await session.execute(call, SqlStatement(sql=sql, parameters=()), 0)


async def begin(session: AskedSession, *statements: str) -> None:
    await run(session, "BEGIN")
    for sql in statements:
        await run(session, sql, WITHIN)


async def patients(node: Node) -> list[Any]:
    async with entered(node, "root") as session:
        return list((await run(session, "SELECT name FROM patients ORDER BY id")).rows)


async def denials(node: Node) -> list[AuditEntry]:
    page = await node.service.audit.records(TenantId(1), REGION, 0, 1000)
    found = [decode_entry(entry) for record in page.records for entry in record.entries]
    return [entry for entry in found if entry.kind is Kind.DENY]


UNTOUCHED = [("Ada",), ("Bob",)]


@pytest.mark.parametrize(
    ("then", "why"),
    [
        (NO_WRITES, "no rule allows 'append'"),
        (NO_READS, "no rule allows 'query'"),
        (FILTERED, "since this was written, what may be written has changed"),
    ],
)
async def test_a_policy_that_ends_while_a_transaction_is_open(clinic: Clinic, then: str, why: str) -> None:
    async with clinic() as node, entered(node, "lee") as session:
        await begin(session, ADA)
        await apply(node, then)
        with pytest.raises(AccessDenied, match=why):
            await session.commit(WITHIN)
        (denial,) = await denials(node)
        assert (denial.actor, denial.tables) == ("lee", ("patients",))
        assert why in denial.detail["why"]
        assert await patients(node) == UNTOUCHED
        # The session goes on, and nobody waits for its lease.
        await run(session, "INSERT INTO visits (what) VALUES ('cough')")


async def test_what_still_may_be_written_is_committed(clinic: Clinic) -> None:
    async with clinic() as node, entered(node, "lee") as session:
        await begin(session, ADA)
        await apply(node, RENAMED)
        await session.commit(WITHIN)
        assert await patients(node) == [("Ada B.",), ("Bob",)]
        await apply(node, FILTERED)
        await begin(session, "UPDATE patients SET name = 'Bo' WHERE id = 'p-2'")
        await apply(node, POLICY)  # a filter that is gone asks for nothing
        await session.commit(WITHIN)
        assert await patients(node) == [("Ada B.",), ("Bo",)]


async def test_what_was_taken_back_isnt_asked_for(clinic: Clinic) -> None:
    async with clinic() as node, entered(node, "lee") as session:
        await begin(session, "SAVEPOINT s", ADA, "ROLLBACK TO s", "INSERT INTO visits (what) VALUES ('cough')")
        await apply(node, NO_WRITES)
        await session.commit(WITHIN)
        assert not await denials(node)


async def test_the_right_to_change_the_schema_ends(clinic: Clinic) -> None:
    async with clinic() as node, entered(node, "lee") as session:
        await begin(session, "CREATE TABLE beds (id INTEGER PRIMARY KEY)")
        await apply(node, NO_MAKING)
        with pytest.raises(AccessDenied, match="no rule allows 'schema'"):
            await session.commit(WITHIN)
        async with entered(node, "root") as other:
            assert not (await run(other, "SELECT 1 FROM sqlite_master WHERE name = 'beds'")).rows


@pytest.mark.parametrize("ends", ["p-1", "p-2"])
async def test_a_consent_that_is_withdrawn_while_a_transaction_is_open(clinic: Clinic, ends: str) -> None:
    """It counts for those about whom something was written."""
    async with clinic() as node, entered(node, "rae", "HRESCH") as session:
        root = guard(node, "root")
        for subject in ("p-1", "p-2"):
            await root.put_consent(1, REGION, subject, ("HRESCH",), 0, withdraw=False)
        await begin(session, ADA)
        await root.put_consent(1, REGION, ends, ("HRESCH",), 0, withdraw=True)
        if ends == "p-2":
            await session.commit(WITHIN)
            assert await patients(node) == [("Ada B.",), ("Bob",)]
            return
        with pytest.raises(AccessDenied, match="what may be written has changed"):
            await session.commit(WITHIN)
        assert await patients(node) == UNTOUCHED
        assert [one.actor for one in await denials(node)] == ["rae"]


async def test_the_last_consent_is_withdrawn(clinic: Clinic) -> None:
    async with clinic() as node, entered(node, "rae", "HRESCH") as session:
        root = guard(node, "root")
        await root.put_consent(1, REGION, "p-1", ("HRESCH",), 0, withdraw=False)
        await begin(session, ADA)
        await root.put_consent(1, REGION, "p-1", ("HRESCH",), 0, withdraw=True)
        with pytest.raises(AccessDenied, match="consent"):
            await session.commit(WITHIN)
        assert await patients(node) == UNTOUCHED


async def test_a_glass_that_lends_no_right_any_more(clinic: Clinic) -> None:
    async with clinic() as node, entered(node, "lee", "BTG") as session:
        await guard(node, "lee", "BTG").break_glass(1, REGION, "", "an emergency in the ward", 600)
        await begin(session, "INSERT INTO notes (text) VALUES ('found unconscious')")
        await apply(node, NO_GLASS)
        with pytest.raises(AccessDenied):
            await session.commit(WITHIN)
        async with entered(node, "root") as other:
            assert not (await run(other, "SELECT 1 FROM notes")).rows


@pytest.mark.parametrize("receipts", [True, False])
@pytest.mark.parametrize("then", [POLICY, NO_WRITES])
async def test_the_first_policy_holds_for_transactions_that_are_open(clinic: Clinic, receipts: bool, then: str) -> None:
    """Without receipts nobody has looked at what a statement touches."""
    async with clinic("", gate=GateSettings(receipts=receipts)) as node, entered(node, "lee") as session:
        await begin(session, ADA)
        await apply(node, then)
        if receipts and then is POLICY:
            await session.commit(WITHIN)
            return
        with pytest.raises(AccessDenied if receipts else PolicyChanged):
            await session.commit(WITHIN)
        assert await patients(node) == UNTOUCHED
        assert [one.actor for one in await denials(node)] == ["lee"]


async def test_what_was_written_before_the_first_policy_isnt_covered_by_what_came_after(clinic: Clinic) -> None:
    """Of the same table, and allowed: that says nothing of rows that nobody asked about."""
    async with clinic("", gate=GateSettings(receipts=False)) as node, entered(node, "lee") as session:
        await begin(session, ADA)
        await apply(node, FILTERED)
        await run(session, "UPDATE patients SET name = 'Bo' WHERE id = 'p-2'", WITHIN)
        with pytest.raises(PolicyChanged):
            await session.commit(WITHIN)
        assert await patients(node) == UNTOUCHED
        assert [one.actor for one in await denials(node)] == ["lee"]


async def test_a_schema_that_was_changed_before_the_first_policy(clinic: Clinic) -> None:
    async with clinic("", gate=GateSettings(receipts=False)) as node, entered(node, "lee") as session:
        await begin(session, "CREATE TABLE beds (id INTEGER PRIMARY KEY)")
        await apply(node, NO_MAKING)
        with pytest.raises(PolicyChanged):
            await session.commit(WITHIN)
        async with entered(node, "root") as other:
            assert not (await run(other, "SELECT 1 FROM sqlite_master WHERE name = 'beds'")).rows


async def test_a_statement_that_waits_is_asked_for_when_its_turn_comes(clinic: Clinic) -> None:
    """Two of a session's kind, one of which runs what the other waits with, behind an open transaction."""
    async with (
        clinic() as node,
        entered(node, "root") as busy,
        entered(node, "lee") as one,
        entered(node, "lee") as two,
    ):
        await begin(busy, "INSERT INTO visits (what) VALUES ('a long one')")
        outcomes: list[Exception | None] = []

        async def write(session: AskedSession) -> None:
            try:
                await run(session, ADA)
            except (AccessDenied, PolicyChanged) as error:
                outcomes.append(error)
            else:
                outcomes.append(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, one)
            nursery.start_soon(write, two)
            await trio.testing.wait_all_tasks_blocked(0.05)
            await apply(node, NO_WRITES)
            await busy.commit(WITHIN)
        assert all(isinstance(error, AccessDenied | PolicyChanged) for error in outcomes), outcomes
        assert await patients(node) == UNTOUCHED
        assert await denials(node)


async def rae_reads(node: Node, session: AskedSession) -> int:
    """A cursor on two patients who have consented, of whom Ada's row has left."""
    for subject in ("p-1", "p-2"):
        await guard(node, "root").put_consent(1, REGION, subject, ("HRESCH",), 0, withdraw=False)
    first = await session.execute(CALL, SqlStatement(sql="SELECT name FROM patients ORDER BY id", parameters=()), 1)
    assert first.rows == [("Ada",)]
    return first.cursor


@pytest.mark.parametrize(
    ("ending", "refusal"), [(("p-2",), PolicyChanged), (("p-1",), PolicyChanged), (("p-1", "p-2"), AccessDenied)]
)
async def test_rows_that_are_left_are_asked_for_when_a_consent_has_ended(
    clinic: Clinic, ending: tuple[str, ...], refusal: type[Exception]
) -> None:
    async with clinic() as node, entered(node, "rae", "HRESCH") as session:
        cursor = await rae_reads(node, session)
        for subject in ending:
            await guard(node, "root").put_consent(1, REGION, subject, ("HRESCH",), 0, withdraw=True)
        with pytest.raises(refusal):
            await session.fetch(cursor, 1)
        page = await node.service.audit.records(TenantId(1), REGION, 0, 1000)
        found = [decode_entry(entry) for record in page.records for entry in record.entries]
        assert [one.subjects for one in found if one.kind is Kind.QUERY and one.actor == "rae"] == [("p-1",)]


async def test_rows_that_are_left_come_while_consents_are_the_same(clinic: Clinic) -> None:
    async with clinic() as node, entered(node, "rae", "HRESCH") as session:
        cursor = await rae_reads(node, session)
        await guard(node, "root").put_consent(1, REGION, "p-3", ("TREAT",), 0, withdraw=False)
        assert (await session.fetch(cursor, 1)).rows == [("Bob",)]
