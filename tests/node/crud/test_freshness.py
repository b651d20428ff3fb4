"""Who confirms that a SQL read is fresh: the quorum, or the receipt that is committed before its rows leave."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.changes import Attribution
from vdb.errors import NotReady, SqlFailed
from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.gate.guard import Guard
from vdb.policy.decide import Principal
from vdb.sql.answers import SqlCall, SqlStatement
from vdb.types import Consistency, GroupId

REGION = GroupId("ap-southeast-2")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Counts how often the quorum of a group is asked."""

    def count(group: Any) -> list[int]:
        found: list[int] = []
        confirm = group.confirm

        async def counted() -> None:
            found.append(1)
            await confirm()

        monkeypatch.setattr(type(group), "confirm", lambda _self: counted())
        return found

    return count


async def test_a_receipt_takes_the_place_of_the_quorum(start: Any, asked: Any) -> None:
    async with start() as node:
        await node.service.databases.create(1, "clinic")
        caller = Caller(principal=Principal(name="lee", mfa=True), credential=Credential.MTLS)
        sessions = Guard(node.service, caller).sql
        session = await sessions.open(1, "clinic", attribution=Attribution(), lock_seconds=5.0)

        async def run(sql: str, level: Any = Consistency.LINEARIZABLE) -> Any:
            return (await session.execute(SqlCall(level=level), SqlStatement(sql=sql), 0)).rows

        await run("CREATE TABLE patients (id TEXT, name TEXT)")
        await run("INSERT INTO patients VALUES ('p-1', 'Ada')")
        group = node.service.groups[REGION]
        found = asked(group)
        assert await run("SELECT name FROM patients") == [("Ada",)]
        assert found == []
        assert await run("SELECT 1") == [(1,)]  # it has no receipt
        assert len(found) == 1
        assert await run("SELECT count(*) FROM sqlite_master WHERE name = 'patients'") == [(1,)]
        assert len(found) == 2
        await run("SELECT name FROM patients", Consistency.STALE)
        await run("BEGIN")
        found.clear()
        await run("SELECT name FROM patients")
        await run("SELECT name FROM patients")
        await run("COMMIT")
        assert found == []
        node.service.permits.settings = GateSettings(receipts=False)
        await run("SELECT name FROM patients")
        assert len(found) == 1
        await sessions.close(session)


async def test_a_receipt_of_another_view_says_nothing(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as node:
        await node.service.databases.create(1, "clinic")
        sessions = Guard(node.service, Caller(principal=Principal(name="lee"), credential=Credential.MTLS)).sql
        session = await sessions.open(1, "clinic", attribution=Attribution(), lock_seconds=5.0)
        await session.execute(SqlCall(), SqlStatement(sql="CREATE TABLE patients (name)"), 0)
        replica = node.service.groups[REGION].replica
        view = replica.view
        execute = session.session.db

        class Deposed:
            """SQLite's connection; while it reads, another view begins."""

            def execute(self, *arguments: Any) -> Any:
                replica.view = view + 1
                return execute.execute(*arguments)

            def __getattr__(self, name: str) -> Any:
                return getattr(execute, name)

        recorded: list[Any] = []
        monkeypatch.setattr(node.service.permits, "record", lambda *found: recorded.append(found))
        monkeypatch.setattr(session.session, "db", Deposed())
        try:
            with pytest.raises(NotReady, match="has changed while it was read"):
                await session.execute(SqlCall(), SqlStatement(sql="SELECT name FROM patients"), 0)
        finally:
            replica.view = view
        assert recorded == []
        await sessions.close(session)


FAILS = "SELECT abs(-9223372036854775808), name FROM patients"


@pytest.mark.parametrize("how", ["execute", "batch", "executemany"])
async def test_what_a_failed_read_has_looked_at_counts_until_somebody_confirms_it(start: Any, how: str) -> None:
    async with start() as node:
        await node.service.databases.create(1, "clinic")
        sessions = Guard(node.service, Caller(principal=Principal(name="lee"), credential=Credential.MTLS)).sql
        session = await sessions.open(1, "clinic", attribution=Attribution(), lock_seconds=5.0)

        async def run(sql: str, level: Any = Consistency.LINEARIZABLE) -> Any:
            return (await session.execute(SqlCall(level=level), SqlStatement(sql=sql), 0)).rows

        await run("CREATE TABLE patients (name)")
        await run("INSERT INTO patients VALUES ('Ada')")
        await run("BEGIN")
        with pytest.raises(SqlFailed, match="integer overflow"):
            await run(FAILS)
        replica = node.service.groups[REGION].replica
        view = replica.view
        replica.view = view + 1  # somebody else led the group meanwhile
        statement = SqlStatement(sql="SELECT name FROM patients")
        calls = {
            "execute": lambda: session.execute(SqlCall(), statement, 0),
            "batch": lambda: session.batch(SqlCall(), [statement]),
            "executemany": lambda: session.executemany(SqlCall(), "INSERT INTO patients VALUES (?)", [("Bo",)]),
        }
        try:
            with pytest.raises(NotReady, match="has changed while it was read"):
                await calls[how]()
        finally:
            replica.view = view
        assert await run("SELECT name FROM patients") == [("Ada",)]
        await sessions.close(session)


async def test_a_failed_read_by_itself_leaves_nothing_to_confirm(start: Any, asked: Any) -> None:
    async with start() as node:
        await node.service.databases.create(1, "clinic")
        sessions = Guard(node.service, Caller(principal=Principal(name="lee"), credential=Credential.MTLS)).sql
        session = await sessions.open(1, "clinic", attribution=Attribution(), lock_seconds=5.0)

        async def run(sql: str, level: Any = Consistency.LINEARIZABLE) -> Any:
            return (await session.execute(SqlCall(level=level), SqlStatement(sql=sql), 0)).rows

        await run("CREATE TABLE patients (name)")
        await run("BEGIN")
        await run("ROLLBACK")
        found = asked(node.service.groups[REGION])
        with pytest.raises(SqlFailed, match="integer overflow"):
            await run("SELECT abs(-9223372036854775808)")
        await run("SELECT 1", Consistency.STALE)
        assert found == []
        await run("BEGIN", Consistency.STALE)
        with pytest.raises(SqlFailed, match="integer overflow"):
            await run("SELECT abs(-9223372036854775808)")
        await session.rollback(SqlCall())
        await run("SELECT 1", Consistency.STALE)
        assert found == []
        await sessions.close(session)
