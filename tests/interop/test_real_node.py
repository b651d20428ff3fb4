"""pycapnp's own asyncio client against `vdb start`: create, publish, read, refusals, and garbage on the same port."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import capnp
import pytest

from vdb.wire.schema import verity

REGION = "ap-southeast-2"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A real node in a process of its own."""
    with real_node(tmp_path / "data") as address:
        yield address


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real node that outlives a test: for those that leave it as it was, but for a stream."""
    with real_node(tmp_path_factory.mktemp("shared") / "data") as address:
        yield address


@contextmanager
def real_node(data: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "vdb.cli", "start", "--data-dir", str(data), "--region", REGION]
    environment = {**os.environ, "VDB_ROOT_KEY": b64encode(bytes(32)).decode()}
    with subprocess.Popen(
        [*command, "--address", "127.0.0.1:0", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as node:
        assert node.stdout is not None
        yield json.loads(node.stdout.readline())["address"]
        node.terminate()


def with_their_client(address: str, use: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        host, port = address.split(":")
        stream = await capnp.AsyncIoStream.create_connection(host=host, port=int(port))
        client = capnp.TwoPartyClient(stream)
        await use(client.bootstrap().cast_as(verity.VerityDb))

    asyncio.run(capnp.run(main()))


async def create(
    db: Any, name: str = "notes", data_class: int = 1, placement: str = REGION, *, if_not_exists: bool = False
) -> Any:
    return await db.createStream(
        tenant=1, stream=name, dataClass=data_class, placement=placement, ifNotExists=if_not_exists
    )


async def publish(db: Any, payloads: list[bytes], **more: Any) -> Any:
    return await db.publish(tenant=1, stream="notes", payloads=payloads, **more)


def test_create_publish_read(address: str) -> None:
    async def use(db: Any) -> None:
        assert (await create(db)).created
        published = await publish(db, [b"one", b"two"], subject="Patient/1")
        assert (published.firstOffset, published.nextOffset, published.group) == (0, 2, REGION)
        await publish(db, [b"three"])
        answer = await db.read(tenant=1, stream="notes", fromOffset=1, maxEvents=100)
        assert [payload for run in answer.runs for payload in run.payloads] == [b"two", b"three"]
        assert (answer.nextOffset, answer.head) == (3, 3)
        streams = await db.listStreams(tenant=1)
        assert [info.name for info in streams.streams] == ["notes"]
        status = await db.status()
        assert [group.group for group in status.groups] == [REGION, "global"]

    with_their_client(address, use)


def test_a_session_makes_a_retry_safe(address: str) -> None:
    async def use(db: Any) -> None:
        await create(db)
        client = bytes(range(16))
        session = (await db.openSession(client=client, group=REGION)).session
        origin = {"client": client, "session": session, "number": 1}
        first = await publish(db, [b"once"], origin=origin)
        again = await publish(db, [b"once"], origin=origin)
        assert (first.firstOffset, first.time) == (again.firstOffset, again.time)
        assert (await db.read(tenant=1, stream="notes", maxEvents=10)).head == 1

    with_their_client(address, use)


def test_event_ids_make_an_append_safe_without_a_session(address: str) -> None:
    async def use(db: Any) -> None:
        await create(db)
        first = await publish(db, [b"once"], eventIds=[b"a" * 16], expected={"none": None})
        again = await publish(db, [b"once"], eventIds=[b"a" * 16], expected={"none": None})
        assert (first.firstOffset, first.time) == (again.firstOffset, again.time)
        with pytest.raises(capnp.KjException, match="EVENT_ID_TAKEN: expected event ids that are new"):
            await publish(db, [b"once", b"more"], eventIds=[b"a" * 16, b"b" * 16])
        assert (await publish(db, [b"more"], eventIds=[b"b" * 16], expected={"exists": None})).firstOffset == 1

    with_their_client(address, use)


def test_64_calls_in_flight_are_answered_in_their_order_in_the_log(address: str) -> None:
    async def use(db: Any) -> None:
        await create(db)
        answers = await asyncio.gather(*(publish(db, [b"%d" % number]) for number in range(64)))
        assert [answer.firstOffset for answer in answers] == list(range(64))

    with_their_client(address, use)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda db: db.publish(tenant=9, stream="notes", payloads=[b"x"]), "UNKNOWN_TENANT: tenant 9"),
        (lambda db: db.publish(tenant=1, stream="nope", payloads=[b"x"]), "UNKNOWN_STREAM: .*'nope'"),
        (lambda db: create(db, "x", 1, "global"), "PLACEMENT_VIOLATION: PHI needs a region"),
        (lambda db: create(db, "x", 1, "eu-west-1"), "PLACEMENT_VIOLATION: this node holds"),
        (lambda db: create(db, "x", 7), "INVALID_ARGUMENT: a data class is"),
        (create, "STREAM_EXISTS"),
        (lambda db: publish(db, [b"x"], expected={"exact": 3}), "WRONG_EXPECTED_OFFSET: expected exactly 3"),
        (lambda db: publish(db, [b"x"], expected={"exists": None}), "WRONG_EXPECTED_OFFSET: expected at least one ev"),
        (lambda db: publish(db, [b"x"], eventIds=[b"short"]), "INVALID_ARGUMENT: an event id has 16 bytes"),
        (lambda db: publish(db, [bytes(1_500_000)]), "TOO_LARGE: .*expected at most"),
    ],
)
def test_refusals_name_their_code(shared: str, call: Callable[[Any], Awaitable[Any]], reason: str) -> None:
    async def use(db: Any) -> None:
        await create(db, if_not_exists=True)
        with pytest.raises(capnp.KjException, match=reason):
            await call(db)
        assert (await db.listStreams(tenant=1)).streams, "the connection is fine"

    with_their_client(shared, use)


@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", bytes(8), b"\x00\x00\x00\x00\x02\x00"])
def test_garbage_ends_its_connection_and_nothing_else(shared: str, garbage: bytes) -> None:
    host, port = shared.split(":")
    with socket.create_connection((host, int(port))) as bad:
        bad.sendall(garbage)
        bad.shutdown(socket.SHUT_WR)
        while bad.recv(65536):
            pass

    async def use(db: Any) -> None:
        assert (await create(db, f"after {garbage.hex()}")).created

    with_their_client(shared, use)


def test_sql_in_a_session_of_the_connection(address: str) -> None:
    async def use(db: Any) -> None:
        created = await db.sqlCreate(tenant=1, database="clinic", dataClass=1, placement=REGION)
        assert created.created
        session = (await db.sqlOpen(tenant=1, database="clinic", lockMicros=1_000_000)).session

        def call(**more: Any) -> dict[str, Any]:
            return {"session": session, **more}

        await db.sqlExecute(call=call(), statement={"text": "CREATE TABLE t (a INTEGER PRIMARY KEY, b)"})
        named = {"named": [{"name": "b", "value": {"real": 1.5}}]}
        answers = await db.sqlBatch(
            call=call(transaction=b"t" * 16),
            statements=[
                {"text": "INSERT INTO t (b) VALUES (?)", "parameters": {"list": [{"text": "x"}]}},
                {"text": "INSERT INTO t (b) VALUES (:b)", "parameters": named},
                {"text": "SELECT a, b FROM t ORDER BY a"},
            ],
        )
        rows = answers.answers[2]
        assert list(rows.columns) == ["a", "b"]
        assert [cell.which() for cell in rows.cells] == ["integer", "text", "integer", "real"]
        outcome = await db.sqlOutcome(tenant=1, database="clinic", transaction=b"t" * 16, sinceOffset=0)
        assert outcome.committed
        with pytest.raises(capnp.KjException, match=r"SQL_FAILED: OperationalError 1 closed; no such table: nope"):
            await db.sqlExecute(call=call(), statement={"text": "SELECT * FROM nope"})
        with pytest.raises(capnp.KjException, match=r"TRANSACTION_ENDED: no transaction is open"):
            await db.sqlCommit(call=call(within=True))
        await db.sqlClose(session=session)
        with pytest.raises(capnp.KjException, match=r"TRANSACTION_ENDED: this connection has no SQL session"):
            await db.sqlExecute(call=call(), statement={"text": "SELECT 1"})

    with_their_client(address, use)
