"""For whom a program asks: named by it, checked by the policy, written down with all that is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
import trio

import vdb
from vdb.audit.entry import AuditEntry, Outcome
from vdb.changes import Attribution
from vdb.errors import AccessDenied, InvalidArgument, NotAuthenticated

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
SERVICES = """
name = "clinic"

[roles]
officer = []
clinician = []
service = []

[[binding]]
principals = ["officer@clinic.example"]
roles = ["officer"]

[[binding]]
principals = ["lee@clinic.example"]
roles = ["clinician"]

[[binding]]
principals = ["portal@clinic.example"]
roles = ["service"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "notes"
roles = ["clinician", "service"]
actions = ["create", "append", "read", "query", "consume", "schema"]
"""
NAMED = (
    SERVICES
    + """
[on-behalf]
principals = ["lee@*"]
"""
)


def _whom(entries: list[AuditEntry], door: str) -> list[tuple[str, str]]:
    return [(entry.actor, entry.on_behalf_of) for entry in entries if entry.door == door]


async def test_what_a_service_does_is_written_down_with_whom_it_did_it_for(governed: OpenClinic) -> None:
    async with governed(SERVICES) as found, found.client("portal") as client:
        with vdb.context(actor="dr.kim"):
            await client.publish("notes", b"for kim")
            assert len(await client.read("notes")) == 2
        with vdb.context(actor="dr.ray"):
            await client.read("notes")
            await client.publish("notes", b"for ray")
        await client.publish("notes", b"for nobody")
        await client.read("notes")
        entries = await found.entries(1)
        portal = "portal@clinic.example"
        assert _whom(entries, "read") == [(portal, "dr.kim"), (portal, "dr.ray"), (portal, "")]
        written = [who for who in _whom(entries, "publish") if who[0] == portal]
        assert written == [(portal, "dr.kim"), (portal, "dr.ray"), (portal, "")]


async def test_calls_of_one_connection_are_made_for_those_who_asked(governed: OpenClinic) -> None:
    async with governed(SERVICES) as found, found.client("portal") as client:
        await client.read("notes")

        async def read_for(person: str) -> None:
            with vdb.context(actor=person):
                for _ in range(5):
                    await client.read("notes")
                    await client.publish("notes", person.encode())

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(read_for, f"dr.{number}")
        entries = await found.entries(1)
        for door in ("read", "publish"):
            named = [person for _, person in _whom(entries, door)]
            assert [named.count(f"dr.{number}") for number in range(4)] == [5] * 4, door


async def test_a_persons_credential_names_nobody_else(governed: OpenClinic) -> None:
    async with governed(SERVICES) as found, found.client("lee") as client:
        with vdb.context(actor="lee@clinic.example"):
            assert len(await client.read("notes")) == 1
        with vdb.context(actor="dr.kim"):
            for refused in (client.read("notes"), client.publish("notes", b"x")):
                with pytest.raises(AccessDenied, match=r"lee@clinic.example may not ask on behalf of others"):
                    await refused
        assert len(await client.read("notes")) == 1
        denied = [entry for entry in await found.entries(1) if entry.outcome is Outcome.DENIED]
        assert [(entry.door, entry.on_behalf_of, entry.rule) for entry in denied] == [
            ("read", "dr.kim", "on-behalf"),
            ("publish", "dr.kim", "on-behalf"),
        ]


async def test_the_policy_says_who_may_name_others(governed: OpenClinic) -> None:
    async with governed(NAMED) as found:
        async with found.client("lee") as client:
            with vdb.context(actor="dr.kim"):
                await client.read("notes")
        async with found.client("portal") as client:
            with vdb.context(actor="dr.kim"), pytest.raises(AccessDenied, match="may not ask on behalf of others"):
                await client.read("notes")


async def test_sql_is_asked_for_whom_it_says(governed: OpenClinic) -> None:
    async with governed(SERVICES) as found:
        async with found.client("portal") as client:
            await client.create_database("main")
            async with client.sql("main", actor="dr.kim") as session:
                await session.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
                await session.execute("INSERT INTO notes (text) VALUES ('seen')")
                await session.execute("SELECT * FROM notes")
        async with found.client("lee") as client:
            with pytest.raises(AccessDenied, match="may not ask on behalf of others"):
                async with client.sql("main", actor="dr.kim") as session:
                    await session.execute("SELECT * FROM notes")
            async with client.sql("main") as session:
                await session.execute("BEGIN")
                await session.execute("INSERT INTO notes (text) VALUES ('mine')")
                session.attribution = Attribution(actor="dr.kim")
                with pytest.raises(AccessDenied, match="may not ask on behalf of others"):
                    await session.commit()
        entries = await found.entries(1)
        asked = [(entry.actor, entry.on_behalf_of) for entry in entries if entry.statement.startswith("SELECT")]
        assert asked == [("portal@clinic.example", "dr.kim")]


async def test_sql_is_asked_for_whom_the_code_around_says(governed: OpenClinic) -> None:
    async with governed(SERVICES) as found:
        async with found.client("portal") as client:
            await client.create_database("main")
            async with client.sql("main") as session:
                await session.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
                with vdb.context(actor="dr.kim"):
                    await session.execute("SELECT * FROM notes")
                    await session.execute("INSERT INTO notes (text) VALUES ('seen')")
                await session.execute("SELECT id FROM notes")
        entries = await found.entries(1)
        asked = [(entry.statement, entry.on_behalf_of) for entry in entries if entry.statement.startswith("SELECT")]
        assert asked == [("SELECT * FROM notes", "dr.kim"), ("SELECT id FROM notes", "")]
        wrote = [entry.on_behalf_of for entry in entries if entry.tables == ("notes",) and entry.kind.value == "write"]
        assert wrote == ["dr.kim"]


async def test_while_a_name_is_not_accepted_no_call_is(clinic: OpenClinic) -> None:
    async with clinic() as found, found.connect("portal") as client:
        with pytest.raises(InvalidArgument, match="at most 256 characters"):
            await client.call("speakFor", lambda params: setattr(params, "person", "x" * 300))
        with pytest.raises(InvalidArgument, match="nothing is answered until it is"):
            await client.call("status")
        await client.call("speakFor", lambda params: setattr(params, "person", "dr.kim"))
        await client.call("status")


@pytest.mark.parametrize("name", ["x" * 257, "dr\nkim"])
async def test_sql_is_asked_for_nobody_without_a_printable_name(clinic: OpenClinic, name: str) -> None:
    async with clinic() as found, found.client("portal") as client:
        await client.create_database("main")
        with pytest.raises(InvalidArgument, match="printable name of at most 256 characters"):
            async with client.sql("main", actor=name) as session:
                await session.execute("SELECT 1")
        async with client.sql("main") as session:
            await session.execute("CREATE TABLE notes (text)")
            session.attribution = Attribution(actor=name)
            with pytest.raises(InvalidArgument, match="printable name of at most 256 characters"):
                await session.execute("SELECT * FROM notes")
            session.attribution = Attribution(actor="dr.kim")
            await session.execute("SELECT * FROM notes")
        entries = [entry for entry in await found.entries(1) if entry.statement.startswith("SELECT")]
        assert [entry.on_behalf_of for entry in entries] == ["dr.kim"]


async def test_sql_is_asked_for_nobody_who_was_revoked(clinic: OpenClinic) -> None:
    class Revoked:
        content = b""

        def read(self) -> bytes:
            return self.content

    revoked = Revoked()
    async with clinic(revoked=revoked) as found, found.client("portal") as client:
        await client.create_database("main")
        async with client.sql("main", actor="dr.kim") as session, client.sql("main") as other:
            await session.execute("CREATE TABLE notes (text)")
            await other.execute("SELECT * FROM notes")
            revoked.content = b'revoked = ["dr.kim"]'

            async def ask_until_refused() -> None:
                while True:
                    await session.execute("SELECT * FROM notes")
                    await trio.sleep(0.1)

            with trio.fail_after(10), pytest.raises(NotAuthenticated, match="revoked"):
                await ask_until_refused()
            other.attribution = Attribution(actor="dr.kim")
            with pytest.raises(NotAuthenticated, match="revoked"):
                await other.execute("SELECT * FROM notes")
            with pytest.raises(NotAuthenticated, match="revoked"):
                async with client.sql("main", actor="dr.kim") as late:
                    await late.execute("SELECT 1")
            other.attribution = Attribution()
            await other.execute("SELECT * FROM notes")


async def test_whoever_was_revoked_is_not_asked_for(clinic: OpenClinic) -> None:
    class Revoked:
        content = b""

        def read(self) -> bytes:
            return self.content

    revoked = Revoked()
    async with clinic(revoked=revoked) as found, found.client("portal") as client:
        await client.create_stream("notes")
        revoked.content = b'revoked = ["dr.kim"]'

        async def publish_until_refused() -> None:
            while True:
                await client.publish("notes", b"x")
                await trio.sleep(0.1)

        with vdb.context(actor="dr.kim"), trio.fail_after(10), pytest.raises(NotAuthenticated, match="revoked"):
            await publish_until_refused()
        await client.publish("notes", b"x")


def test_a_program_names_whom_it_will_in_its_own_directory(tmp_path: Any, keys: Any) -> None:
    with vdb.open(tmp_path / "data", principal="portal", keys=keys) as database:
        database.create_stream("notes")
        with vdb.context(actor="dr.kim"):
            database.publish("notes", b"x")
            database.read("notes")
        database.read("notes")
        found = [(one.actor, one.on_behalf_of) for one in database.audit_search(kinds=["read"])]
        assert found == [("portal", "dr.kim"), ("portal", "")]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_so_it_does_from_a_loop_of_its_own(tmp_path: Any, keys: Any, backend: str) -> None:
    async def main() -> list[tuple[str, str]]:
        with vdb.open(tmp_path / "data", principal="portal", keys=keys) as opened:
            database = opened.aio
            await database.create_stream("notes")
            with vdb.context(actor="dr.kim"):
                await database.publish("notes", b"x")
                await database.read("notes")
            await database.read("notes")
            return [(one.actor, one.on_behalf_of) async for one in database.audit_search(kinds=["read"])]

    assert anyio.run(main, backend=backend) == [("portal", "dr.kim"), ("portal", "")]


async def test_threads_of_a_program_have_contexts_of_their_own(clinic: OpenClinic) -> None:
    async with clinic() as found:
        tls = found.tls_of("portal")

        def work() -> None:
            with vdb.connect_sync(found.address, tls=tls) as client:
                client.create_stream("notes")
                with vdb.context(actor="dr.kim"):
                    client.publish("notes", b"x")
                    client.read("notes")
                client.read("notes")

        await trio.to_thread.run_sync(work)
        assert [person for _, person in _whom(await found.entries(1), "read")] == ["dr.kim", ""]
