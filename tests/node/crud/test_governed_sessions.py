"""Sessions of callers whom a policy lets do something, and not everything: what they see, and what is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
import trio

from vdb.audit.entry import AuditEntry, Kind, decode_entry
from vdb.changes import Attribution
from vdb.errors import AccessDenied, AuditUnavailable, InvalidArgument, PolicyChanged, SqlRefused, VerityError
from vdb.node.crud.asked_session import AskedSession
from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.gate.guard import Guard
from vdb.node.node import Node
from vdb.policy.decide import Principal
from vdb.policy.file import parse_policy
from vdb.sql.answers import SqlAnswer, SqlCall, SqlStatement
from vdb.sql.moment import Moment
from vdb.types import DataClass, GroupId, TenantId

POLICY = """
name = "clinic"

[roles]
clinician = []
analyst = []
clerk = []
admin = []

[on-behalf]
principals = ["lee"]

[[binding]]
principals = ["lee"]
roles = ["clinician"]

[[binding]]
principals = ["ana"]
roles = ["analyst"]

[[binding]]
principals = ["cho"]
roles = ["clerk"]

[[binding]]
principals = ["root"]
roles = ["admin"]

[[rule]]
name = "no-secrets"
effect = "deny"
actions = ["query", "time-travel", "append"]
tables = ["secrets"]

[[rule]]
name = "admins"
roles = ["admin"]
actions = ["append", "schema", "create", "policy", "audit"]

[[rule]]
name = "admins-read"
roles = ["admin"]
actions = ["query", "time-travel"]

[[rule]]
name = "clinicians-see-theirs"
roles = ["clinician"]
actions = ["query", "time-travel"]
tables = ["patients", "notes"]
rows = "provider = :principal AND :purpose = 'TREAT' AND :tenant = 1"

[[rule]]
name = "clinicians-write"
roles = ["clinician"]
actions = ["append"]
tables = ["patients", "notes"]

[[rule]]
name = "analysts-see-years"
roles = ["analyst"]
actions = ["query"]
tables = ["patients"]
masks = { name = "redact", ssn = "last-four" }

[[rule]]
name = "clerks-see-names"
roles = ["clerk"]
actions = ["query"]
tables = ["patients"]
columns = ["id", "name"]
"""
MIGRATION = {
    "0001_clinic.sql": """
-- vdb: subject patients.id
-- vdb: subject notes.patient
CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT, ssn TEXT, provider TEXT);
CREATE TABLE notes (id INTEGER PRIMARY KEY, patient TEXT REFERENCES patients, provider TEXT, text TEXT);
CREATE TABLE secrets (what TEXT);
INSERT INTO patients VALUES ('p-1', 'Ada', '123-45-6789', 'lee'), ('p-2', 'Bob', '987-65-4321', 'kim');
INSERT INTO notes (patient, provider, text) VALUES ('p-1', 'lee', 'cough'), ('p-2', 'kim', 'flu');
"""
}
CALL = SqlCall()
WITHIN = SqlCall(within=True)
REGION = GroupId("ap-southeast-2")


def guard(node: Node, name: str, purpose: str = "") -> Guard:
    principal = Principal(name=name, mfa=True)
    return Guard(node.service, Caller(principal=principal, credential=Credential.MTLS, purpose=purpose))


@pytest.fixture
def governed(start: Any) -> Callable[[], AbstractAsyncContextManager[Node]]:
    """`async with governed() as node`: with the clinic's database and policy."""

    @asynccontextmanager
    async def run(policy: str = POLICY) -> AsyncIterator[Node]:
        async with start() as node:
            await node.service.databases.create(1, "clinic")
            async with entered(node, "root") as session:
                await session.migrate(CALL, MIGRATION)
            if policy:
                await guard(node, "root").apply_policy(policy, 0)
                group = node.service.groups[REGION]
                with trio.fail_after(5):
                    await group.wait_until(lambda: node.service.permits.book.policy(REGION) is not None)
            yield node

    return run


@asynccontextmanager
async def entered(
    node: Node, name: str, purpose: str = "TREAT", moment: Moment | None = None
) -> AsyncIterator[AskedSession]:
    """A session of this person's."""
    sessions = guard(node, name, purpose).sql
    session = await sessions.open(1, "clinic", attribution=Attribution(), lock_seconds=5.0, moment=moment)
    try:
        yield session
    finally:
        with trio.CancelScope(shield=True):
            await sessions.close(session)


async def run(session: AskedSession, sql: str, *parameters: Any, max_rows: int = 0, call: SqlCall = CALL) -> SqlAnswer:
    return await session.execute(call, SqlStatement(sql=sql, parameters=parameters), max_rows)


async def entries(node: Node, *, after: int = 0) -> list[AuditEntry]:
    """The tenant's audit log."""
    page = await node.service.audit.records(TenantId(1), REGION, 0, 1000)
    found = [decode_entry(entry) for record in page.records for entry in record.entries]
    return found[after:]


async def test_a_clinician_sees_patients_of_hers(governed: Any) -> None:
    async with governed() as node, entered(node, "lee") as session:
        before = len(await entries(node))
        answer = await run(session, "SELECT name, ssn FROM patients ORDER BY id")
        assert answer.rows == [("Ada", "123-45-6789")]
        assert answer.columns == ("name", "ssn")
        (entry,) = await entries(node, after=before)
        assert (entry.kind, entry.actor, entry.purpose, entry.object) == (Kind.QUERY, "lee", "TREAT", "clinic")
        assert (entry.tables, entry.subjects, entry.count) == (("patients",), ("p-1",), 1)
        assert entry.rule == "clinicians-see-theirs"
        assert entry.statement == "SELECT name, ssn FROM patients ORDER BY id"
        assert entry.fingerprint == sha256(entry.statement.encode()).hexdigest()
        assert len(entry.digest) == 64
        assert (entry.view, entry.position) == (
            node.service.groups[REGION].replica.view,
            str(session.database.position),
        )
        joined = "SELECT p.name, n.text FROM patients p JOIN notes n ON n.patient = p.id"
        assert (await run(session, joined)).rows == [("Ada", "cough")]
        assert (await run(session, "SELECT count(*) FROM patients")).rows == [(1,)]
        found = await entries(node, after=before + 1)
        assert [one.subjects for one in found] == [("p-1",), ("*",)]


async def test_the_schema_is_what_was_made_there(governed: Any) -> None:
    """Without VerityDB's own tables, as without a policy; a filter that stands in the same statement stays."""
    async with governed() as node, entered(node, "lee") as session:
        asked = "SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY name"
        assert (await run(session, asked)).rows == [("notes",), ("patients",), ("secrets",)]
        both = "SELECT m.name, p.name FROM sqlite_master m, patients p WHERE m.name = 'patients'"
        assert (await run(session, both)).rows == [("patients", "Ada")]
        before = len(await entries(node))
        counted = "SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'table'), count(*) FROM notes"
        async with entered(node, "root") as all_of_it:
            assert (await run(all_of_it, counted)).rows == [(3, 2)]
        assert [one.statement for one in await entries(node, after=before)] == [counted]


async def test_without_the_purpose_nothing_is_shown(governed: Any) -> None:
    async with governed() as node, entered(node, "lee", "HRESCH") as session:
        assert (await run(session, "SELECT * FROM patients")).rows == []
        treats = SqlCall(attribution=Attribution(actor="dr lee", purpose="TREAT"))
        before = len(await entries(node))
        assert len((await run(session, "SELECT * FROM patients", call=treats)).rows) == 1
        (entry,) = await entries(node, after=before)
        assert (entry.purpose, entry.on_behalf_of) == ("TREAT", "dr lee")


async def test_an_analyst_sees_masks(governed: Any) -> None:
    async with governed() as node, entered(node, "ana") as session:
        answer = await run(session, "SELECT name, ssn FROM patients WHERE ssn LIKE '%6789'")
        assert answer.rows == [("***", "***6789")]
        assert (await run(session, "SELECT count(*) FROM patients WHERE name = 'Ada'")).rows == [(0,)]
        with pytest.raises(SqlRefused):
            await run(session, "SELECT * FROM main.patients")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM patients",
        "SELECT * FROM patients",
        "SELECT name FROM patients WHERE ssn LIKE '1%'",
        "SELECT name FROM patients ORDER BY ssn",
        "SELECT text FROM notes",
        "SELECT name, (SELECT text FROM notes LIMIT 1) FROM patients",
        "INSERT INTO patients (id) VALUES ('p-3')",
        "UPDATE patients SET name = 'x'",
        "DELETE FROM patients",
        "CREATE TABLE t (x)",
        "DROP TABLE notes",
        "EXPLAIN SELECT ssn FROM patients",
    ],
)
async def test_what_a_clerk_may_not(governed: Any, sql: str) -> None:
    async with governed() as node, entered(node, "cho") as session:
        assert (await run(session, "SELECT id, name FROM patients WHERE id = 'p-1'")).rows == [("p-1", "Ada")]
        before = len(await entries(node))
        with pytest.raises(AccessDenied):
            await run(session, sql)
        (denial,) = await entries(node, after=before)
        assert (denial.kind, denial.actor, denial.code) == (Kind.DENY, "cho", "ACCESS_DENIED")


async def test_a_rule_that_denies_wins_through_every_way(governed: Any) -> None:
    async with governed() as node:
        async with entered(node, "root") as session:
            for sql in ("SELECT * FROM secrets", "INSERT INTO patients SELECT what, what, what, what FROM secrets"):
                with pytest.raises(AccessDenied):
                    await run(session, sql)
            with pytest.raises(AccessDenied):
                await session.history(CALL, "secrets", [1])
            with pytest.raises(AccessDenied):
                await session.diff(CALL, Moment(offset=0), Moment(offset=1))
            with pytest.raises(AccessDenied):
                await session.restore(CALL, "other", Moment(offset=1))
            with pytest.raises(AccessDenied):
                await session.explain(CALL, "SELECT * FROM secrets")
            await run(session, "CREATE VIEW harmless AS SELECT what FROM secrets")
            with pytest.raises(AccessDenied):
                await run(session, "SELECT * FROM harmless")
            await run(session, "CREATE TEMP TABLE mine (x)")
            with pytest.raises(AccessDenied):
                await run(session, "INSERT INTO mine SELECT what FROM secrets")
            with pytest.raises(AccessDenied):
                await session.executemany(CALL, "INSERT INTO mine SELECT what FROM secrets WHERE what = ?", [("x",)])
            with pytest.raises(AccessDenied):
                await session.batch(CALL, [SqlStatement(sql="SELECT * FROM secrets")])
        past = Moment(offset=node.service.databases.group_of(1, "clinic").find(TenantId(1), "$sql/clinic").next_offset)
        async with entered(node, "root", moment=past) as session:
            with pytest.raises(AccessDenied):
                await run(session, "SELECT * FROM secrets")
        async with entered(node, "lee", moment=past) as session:
            assert (await run(session, "SELECT name FROM patients")).rows == [("Ada",)]
        with pytest.raises(AccessDenied):
            async with entered(node, "ana", moment=past):
                pass


async def test_whole_rows_of_the_past_are_for_those_who_see_all_of_them(governed: Any) -> None:
    async with governed() as node:
        async with entered(node, "lee") as session:
            with pytest.raises(AccessDenied, match="shows some rows"):
                await session.history(CALL, "patients", ["p-1"])
            with pytest.raises(SqlRefused, match="no table nothing"):
                await session.history(CALL, "nothing", ["p-1"])
        async with entered(node, "root") as session:
            before = len(await entries(node))
            assert len((await session.history(CALL, "patients", ["p-1"])).versions) == 1
            (entry,) = await entries(node, after=before)
            assert (entry.action, entry.tables, entry.subjects) == ("time-travel", ("patients",), ("p-1",))
            assert entry.rule == "admins-read"


async def test_a_stream_of_rows_has_a_receipt_for_each_chunk(governed: Any) -> None:
    async with governed() as node, entered(node, "root") as session:
        before = len(await entries(node))
        first = await run(session, "SELECT name FROM patients ORDER BY id", max_rows=1)
        assert (first.columns, first.rows) == (("name",), [("Ada",)])
        (entry,) = await entries(node, after=before)
        assert (entry.subjects, entry.count) == (("p-1",), 1)
        second = await session.fetch(first.cursor, 1)
        assert second.rows == [("Bob",)]
        (entry,) = await entries(node, after=before + 1)
        assert (entry.subjects, entry.count) == (("p-2",), 1)
        answers = await session.batch(CALL, [SqlStatement(sql="SELECT id FROM notes"), SqlStatement(sql="SELECT 1")])
        assert [answer.rows for answer in answers[:2]] == [[(1,), (2,)], [(1,)]]
        (entry,) = await entries(node, after=before + 2)
        assert (entry.subjects, entry.count) == (("p-1", "p-2"), 2)


async def test_a_policy_that_is_applied_holds_for_the_rows_that_are_left(governed: Any) -> None:
    async with governed() as node, entered(node, "root") as session, entered(node, "cho") as other:
        mine = await run(session, "SELECT name FROM patients ORDER BY id", max_rows=1)
        hers = await run(other, "SELECT name FROM patients ORDER BY id", max_rows=1)
        less = POLICY.replace('name = "admins-read"', 'name = "admins-read"\nmasks = { ssn = "hide" }')
        less = less.replace('principals = ["cho"]', 'principals = ["nobody"]')
        await guard(node, "root").apply_policy(less, 1)
        group = node.service.groups[REGION]
        with trio.fail_after(5):
            await group.wait_until(lambda: node.service.governance.book.held(REGION).row.serial == 2)
        with pytest.raises(PolicyChanged):
            await session.fetch(mine.cursor, 1)
        with pytest.raises(AccessDenied):
            await other.fetch(hers.cursor, 1)


@pytest.mark.parametrize("receipts", [True, False])
async def test_the_first_policy_holds_for_the_rows_that_are_left(governed: Any, receipts: bool) -> None:
    async with governed("") as node, entered(node, "root") as session, entered(node, "cho") as other:
        node.service.permits.settings = GateSettings(receipts=receipts)
        mine = await run(session, "SELECT name FROM patients ORDER BY id", max_rows=1)
        hers = await run(other, "SELECT * FROM patients ORDER BY id", max_rows=1)
        await guard(node, "root").apply_policy(POLICY, 0)
        group = node.service.groups[REGION]
        with trio.fail_after(5):
            await group.wait_until(lambda: node.service.permits.book.policy(REGION) is not None)
        for one, cursor in ((session, mine.cursor), (other, hers.cursor)):
            with pytest.raises(PolicyChanged, match="run it again"):
                await one.fetch(cursor, 1)
        assert len((await run(session, "SELECT name FROM patients")).rows) == 2
        with pytest.raises(AccessDenied):
            await run(other, "SELECT * FROM patients")


async def test_a_condition_that_is_none_is_no_policy(governed: Any) -> None:
    async with governed("") as node:
        for rows in ("provider = :principal; DELETE", "1) OR (1", "x = :nobody", "x IN team", "SELECT"):
            text = POLICY.replace("provider = :principal AND", f"{rows} AND")
            with pytest.raises(InvalidArgument, match="rule 'clinicians-see-theirs': the policy's condition on rows"):
                await guard(node, "root").apply_policy(text, 0)


async def test_what_is_written_is_noted_with_its_commit(governed: Any) -> None:
    async with governed() as node, entered(node, "lee") as session:
        before = len(await entries(node))
        await run(session, "INSERT INTO notes (patient, provider, text) VALUES ('p-1', 'lee', 'better')")
        (entry,) = await entries(node, after=before)
        assert (entry.kind, entry.action, entry.actor, entry.tables) == (Kind.WRITE, "append", "lee", ("notes",))
        assert (entry.subjects, entry.detail["rows"], entry.object) == (("p-1",), "1", "clinic")
        assert (entry.rule, entry.policy) == ("clinicians-write", parse_policy(POLICY)[0].version)
        await run(session, "BEGIN")
        await run(session, "UPDATE patients SET name = upper(name)", call=WITHIN)
        assert len(await entries(node)) == before + 1
        answer = await run(session, "UPDATE notes SET text = 'well' WHERE text <> '' RETURNING text", call=WITHIN)
        assert answer.rows == [("well",), ("well",)]
        (entry,) = await entries(node, after=before + 1)
        assert (entry.kind, entry.count, entry.subjects) == (Kind.QUERY, 2, ("*",))
        await session.commit(WITHIN)
        (entry,) = await entries(node, after=before + 2)
        assert (entry.kind, entry.tables) == (Kind.WRITE, ("patients", "notes"))
        assert (entry.subjects, entry.detail["rows"]) == (("p-1",), "3")  # of hers, though the statement says all
        before += 3
        answer = await run(session, "DELETE FROM notes WHERE text = 'well' RETURNING patient")
        assert answer.rows == [("p-1",), ("p-1",)]
        read, wrote = await entries(node, after=before)
        assert (read.kind, read.subjects, wrote.kind, wrote.subjects) == (Kind.QUERY, ("*",), Kind.WRITE, ("p-1",))
        async with entered(node, "root") as other:
            assert (await run(other, "SELECT text FROM notes")).rows == [("flu",)]


async def test_nothing_leaves_without_a_receipt(governed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with governed() as node, entered(node, "root") as session:

        async def fails(*_: Any) -> None:
            raise AuditUnavailable("the disk is full")

        monkeypatch.setattr(node.service.permits, "record", fails)
        for sql in ("SELECT name FROM patients", "DELETE FROM notes RETURNING text", "SELECT count(*) FROM notes"):
            with pytest.raises(AuditUnavailable):
                await run(session, sql)
        with pytest.raises(AuditUnavailable):
            await session.batch(
                CALL, [SqlStatement(sql="DELETE FROM notes"), SqlStatement(sql="SELECT * FROM patients")]
            )
        with pytest.raises(VerityError):
            await session.history(CALL, "patients", ["p-1"])
        assert (await run(session, "SELECT count(*) FROM sqlite_master WHERE type = 'table'")).rows[0][0] >= 3
        monkeypatch.undo()
        assert (await run(session, "SELECT count(*) FROM notes")).rows == [(2,)]


async def test_data_that_arent_phi_need_no_receipt(governed: Any) -> None:
    async with governed() as node:
        await node.service.databases.create(1, "shop", DataClass.NON_PHI, "global")
        sessions = guard(node, "root").sql
        before = len(await entries(node))
        session = await sessions.open(1, "shop", attribution=Attribution(), lock_seconds=5.0)
        await run(session, "CREATE TABLE t (x)")
        await run(session, "INSERT INTO t VALUES (1)")
        assert (await run(session, "SELECT * FROM t")).rows == [(1,)]
        await sessions.close(session)
        assert not [entry for entry in await entries(node, after=before) if entry.kind is Kind.QUERY]


async def test_without_a_policy_all_is_allowed_and_written_down(governed: Any) -> None:
    async with governed("") as node, entered(node, "anybody") as session:
        before = len(await entries(node))
        assert len((await run(session, "SELECT name FROM main.patients")).rows) == 2
        (entry,) = await entries(node, after=before)
        assert (entry.rule, entry.policy, entry.subjects) == ("no-policy", "", ("p-1", "p-2"))


async def test_a_restore_makes_no_database_that_its_caller_may_not_create(governed: Any) -> None:
    policy = """
name = "clinic"

[[rule]]
name = "root-does-all"
principals = ["root"]
actions = ["append", "schema", "create", "policy", "audit", "query", "time-travel"]

[[rule]]
name = "looks-back"
principals = ["ada", "eve"]
actions = ["query", "time-travel"]

[[rule]]
name = "makes-copies"
principals = ["ada"]
actions = ["create"]
streams = ["copy-*"]
"""
    async with governed(policy) as node:
        async with entered(node, "root") as session:
            moment = Moment(offset=session.next_offset)
        for name, copy in (("eve", "copy-1"), ("ada", "another")):
            async with entered(node, name) as session:
                before = len(await entries(node))
                with pytest.raises(AccessDenied, match="'create' of phi data in tenant 1"):
                    await session.restore(CALL, copy, moment)
                assert [one.kind for one in await entries(node, after=before)] == [Kind.DENY]
        async with entered(node, "ada") as session:
            await session.restore(CALL, "copy-1", moment)
