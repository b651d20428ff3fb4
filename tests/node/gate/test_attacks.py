"""What somebody may try who was let in: calls that outlive what they were allowed by, and other people's things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio

from vdb.audit.entry import AuditEntry, Kind, decode_entry
from vdb.errors import AccessDenied, ConnectionLost, NotAuthenticated, TransactionEnded, UnknownStream, VerityError
from vdb.node.doors.accept import INTERFACE
from vdb.node.identity.development import make_development_token
from vdb.node.identity.identities import IdentitySettings
from vdb.rpc.client import RpcClient, open_client
from vdb.types import TenantId
from vdb.world.network import RealNetwork

OpenClinic = Callable[..., AbstractAsyncContextManager[Any]]
PLACE = "ap-southeast-2"
SECRET = b"x" * 32
OPEN = """
name = "clinic"

[roles]
officer = []
clinician = []

[[binding]]
principals = ["officer@clinic.example"]
roles = ["officer"]

[[binding]]
principals = ["lee@clinic.example"]
roles = ["clinician"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "clinicians-work"
roles = ["clinician"]
actions = ["create", "append", "read", "query", "consume", "schema"]
"""
SHUT = OPEN.replace('["create", "append", "read", "query", "consume", "schema"]', '["append"]')
MENU = OPEN.replace('"schema"]\n', '"schema"]\nstreams = ["menu*"]\n')


class Given:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self) -> bytes:
        return self.content


def _with(**fields: Any) -> Callable[[Any], None]:
    def build(params: Any) -> None:
        for name, value in fields.items():
            setattr(params, name, value)

    return build


LOOPBACK: dict[str, Any] = {
    "address": "127.0.0.1:0",
    "identity": IdentitySettings(development_secret=Given(SECRET)),
}
NOTES = {"tenant": 1, "stream": "notes"}
WAIT = {"waitMicros": 30_000_000}
LABS = {"tenant": 1, "group": PLACE, "consumer": "labs", "member": b"m" * 16, "max": 10}
WAITING = _with(**NOTES, **WAIT, fromOffset=1, maxEvents=10)


def _waiting(door: str, head: int) -> Callable[[Any], None]:
    """A call that waits for the next event of a patient's."""

    def build(params: Any) -> None:
        _with(tenant=1, group=PLACE, maxEvents=10, **WAIT)(params)
        if door == "readLog":
            params.fromPosition = head
        else:
            params.start.position = head

    return {"read": WAITING, "consumerFetch": _with(**LABS, **WAIT)}.get(door, build)


async def _outcome(client: RpcClient, door: str, build: Callable[[Any], Any], into: list[Any]) -> None:
    try:
        into.append(await client.call(door, build))
    except VerityError as error:
        into.append(error)


@pytest.mark.parametrize("door", ["read", "readLog", "readEvents", "consumerFetch"])
async def test_a_call_that_waits_goes_by_the_policy_that_holds_when_it_is_answered(
    governed: OpenClinic, door: str
) -> None:
    async with governed(OPEN) as found, found.connect("lee") as waiter, found.connect("lee") as writer:
        if door == "consumerFetch":
            async with found.client("lee") as client:
                await client.create_consumer("labs")
            fetched = await waiter.call("consumerFetch", _with(**LABS))
            assert len(fetched.deliveries) == 1
        log = await writer.call("readLog", _with(tenant=1, group=PLACE, maxEvents=10))
        answers: list[Any] = []
        async with trio.open_nursery() as tasks:
            tasks.start_soon(_outcome, waiter, door, _waiting(door, log.head), answers)
            await waiter.call("regions")
            await found.apply(SHUT)
            await writer.call("publish", _with(**NOTES, payloads=[b"secret"]))
        assert isinstance(answers[0], AccessDenied), door
        read = [entry for entry in await found.entries(1) if entry.kind is Kind.READ and entry.first == 1]
        assert not read


async def test_a_call_that_waits_ends_with_the_credential(clinic: OpenClinic) -> None:
    revoked = Given(b"revoked = []")
    async with clinic(revoked=revoked) as found, found.connect("officer") as officer, found.connect("lee") as lee:
        await officer.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        answers: list[Any] = []
        async with trio.open_nursery() as tasks:
            tasks.start_soon(_outcome, lee, "read", _with(**NOTES, **WAIT, maxEvents=10), answers)
            await lee.call("regions")
            revoked.content = b'revoked = ["lee@clinic.example"]'
        assert isinstance(answers[0], ConnectionLost)
        with pytest.raises((NotAuthenticated, ConnectionLost)):
            await lee.call("status")
        await officer.call("publish", _with(**NOTES, payloads=[b"secret"]))


async def test_the_bootstrap_capability_is_worth_nothing_without_the_credential(clinic: OpenClinic) -> None:
    revoked = Given(b"revoked = []")
    async with clinic(revoked=revoked) as found, found.connect("lee") as lee:
        await lee.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        revoked.content = b'revoked = ["lee@clinic.example"]'
        answers: list[Any] = []
        with trio.fail_after(15):
            while not any(isinstance(one, Exception) for one in answers):
                # Each call is made on the same capability, and several go ahead of their answers.
                async with trio.open_nursery() as tasks:
                    for _ in range(3):
                        tasks.start_soon(_outcome, lee, "publish", _with(**NOTES, payloads=[b"x"]), answers)
        refused = [one for one in answers if isinstance(one, Exception)]
        assert all(isinstance(one, NotAuthenticated | ConnectionLost) for one in refused)
        assert answers[-len(refused) :] == refused, "none was let in after one that wasn't"


@asynccontextmanager
async def _on_loopback(node: Any) -> AsyncIterator[RpcClient]:
    async with open_client(await RealNetwork().connect(node.address), INTERFACE) as client:
        yield client


def _token(name: str) -> str:
    return make_development_token(SECRET, name, expires=1 << 60)


async def test_calls_belong_to_whoever_made_them(start: Any) -> None:
    """One connection shows one token after the other, while calls of the first are under way."""
    async with (
        start(address="127.0.0.1:0", identity=IdentitySettings(development_secret=Given(SECRET))) as node,
        _on_loopback(node) as client,
    ):
        await client.call("authenticate", _with(token=_token("lee")))
        await client.call("createStream", _with(**NOTES, dataClass=1, placement=PLACE))
        await client.call("publish", _with(**NOTES, payloads=[b"hello"]))
        answers: list[Any] = []
        async with trio.open_nursery() as tasks:
            tasks.start_soon(_outcome, client, "read", WAITING, answers)
            await client.call("regions")
            await client.call("authenticate", _with(token=_token("kim")))
            await client.call("publish", _with(**NOTES, payloads=[b"more"]))
        assert [bytes(one) for run in answers[0].runs for one in run.payloads] == [b"more"]
        entries = [entry for entry in await _entries(node) if entry.kind in (Kind.READ, Kind.WRITE)]
        assert [(entry.actor, entry.kind) for entry in entries] == [
            ("dev:lee", Kind.WRITE),
            ("dev:kim", Kind.WRITE),
            ("dev:lee", Kind.READ),
        ]


async def test_nobody_goes_on_with_anothers_sql_session(start: Any) -> None:
    async with (
        start(address="127.0.0.1:0", identity=IdentitySettings(development_secret=Given(SECRET))) as node,
        _on_loopback(node) as client,
    ):
        await client.call("authenticate", _with(token=_token("lee")))
        await client.call("sqlCreate", _with(tenant=1, database="main", dataClass=1, placement=PLACE))
        opened = await client.call("sqlOpen", _with(tenant=1, database="main"))

        def execute(text: str) -> Callable[[Any], None]:
            def build(params: Any) -> None:
                params.call.session = opened.session
                params.statement.text = text

            return build

        await client.call("sqlExecute", execute("CREATE TABLE t (a)"))
        await client.call("sqlExecute", execute("BEGIN"))
        await client.call("authenticate", _with(token=_token("kim")))
        for door, build in (
            ("sqlExecute", execute("SELECT * FROM t")),
            ("sqlCommit", lambda params: setattr(params.call, "session", opened.session)),
            ("sqlFetch", lambda params: setattr(params, "session", opened.session)),
        ):
            with pytest.raises(TransactionEnded, match="was opened by somebody else"):
                await client.call(door, build)
        await client.call("authenticate", _with(token=_token("lee")))
        await client.call("sqlExecute", execute("SELECT * FROM t"))


async def test_a_sql_statement_that_waits_is_of_whoever_made_it(start: Any) -> None:
    async with (
        start(address="127.0.0.1:0", identity=IdentitySettings(development_secret=Given(SECRET))) as node,
        _on_loopback(node) as client,
    ):
        await client.call("authenticate", _with(token=_token("lee")))
        await client.call("sqlCreate", _with(tenant=1, database="main", dataClass=1, placement=PLACE))
        opening = _with(tenant=1, database="main", lockMicros=60_000_000, idleMicros=60_000_000)
        first, second = [(await client.call("sqlOpen", opening)).session for _ in range(2)]

        def execute(session: int, text: str) -> Callable[[Any], None]:
            def build(params: Any) -> None:
                params.call.session = session
                params.statement.text = text

            return build

        await client.call("sqlExecute", execute(first, "CREATE TABLE t (a)"))
        await client.call("sqlExecute", execute(first, "BEGIN IMMEDIATE"))
        before, answers = len(await _entries(node)), list[Any]()
        async with trio.open_nursery() as tasks:
            waiting = execute(second, "INSERT INTO t VALUES (1) RETURNING a")
            tasks.start_soon(_outcome, client, "sqlExecute", waiting, answers)
            await client.call("regions")
            await client.call("authenticate", _with(token=_token("kim")))
            assert answers == []
            await client.call("sqlClose", _with(session=first))
        assert [answer.answer.rowcount for answer in answers] == [1]
        found = (await _entries(node))[before:]
        assert [(entry.actor, entry.kind) for entry in found if entry.kind in (Kind.QUERY, Kind.WRITE)] == [
            ("dev:lee", Kind.QUERY),
            ("dev:lee", Kind.WRITE),
        ]


async def test_streams_that_one_may_not_know_of_are_not_there(governed: OpenClinic) -> None:
    async with governed(MENU) as found, found.connect("lee") as lee:
        for hidden in ("notes", "nothing"):
            with pytest.raises(UnknownStream, match=f"tenant 1 has no stream '{hidden}'"):
                await lee.call("listStreams", _with(tenant=1, after=hidden))
        await lee.call("createStream", _with(tenant=1, stream="menu-2", dataClass=1, placement=PLACE))
        first = await lee.call("listStreams", _with(tenant=1, max=1))
        assert [str(one.name) for one in first.streams] == ["menu-2"], "what is hidden makes no empty page"
        second = await lee.call("listStreams", _with(tenant=1, max=1, after="menu-2"))
        assert [str(one.name) for one in second.streams] == ["menu"]


async def test_who_gives_up_a_call_learns_nothing_and_leaves_its_entry(governed: OpenClinic) -> None:
    async with governed(OPEN) as found, found.connect("lee") as lee:
        for after in (0.0, 0.001, 0.005, 0.02):
            with trio.move_on_after(after):
                await lee.call("read", _with(**NOTES, maxEvents=10))
        answered = await lee.call("read", _with(**NOTES, maxEvents=10))
        assert len(answered.runs) == 1
        entries = [entry for entry in await found.entries(1) if entry.kind is Kind.READ]
        assert 1 <= len(entries) <= 5


async def _entries(node: Any) -> list[AuditEntry]:
    page = await node.service.audit.records(TenantId(1), node.config.groups[0], 0, 10_000)
    return [decode_entry(entry) for record in page.records for entry in record.entries]
