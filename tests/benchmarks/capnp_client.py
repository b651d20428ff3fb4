"""pycapnp's own asyncio client, in a process of its own, and pycapnp's own server with empty method bodies.

    python -m tests.benchmarks.capnp_client publish PORT DEPTH EVENTS SECONDS     prints events per second
    python -m tests.benchmarks.capnp_client publish-ids PORT DEPTH EVENTS SECONDS the same, each event with a new id
    python -m tests.benchmarks.capnp_client fill PORT CALLS EVENTS                publishes so many calls
    python -m tests.benchmarks.capnp_client read PORT MAX_EVENTS SECONDS          prints events per second
    python -m tests.benchmarks.capnp_client points PORT DEPTH SECONDS             prints p50 and p99, microseconds
    python -m tests.benchmarks.capnp_client serve                                 prints its port

All calls of a run are on one connection, `DEPTH` of them in flight, each of `EVENTS` payloads of 256 bytes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import capnp

from vdb.wire.schema import verity

TENANT = 1
STREAM = "bench/notes"
REGION = "ap-southeast-2"
PAYLOAD = bytes(range(256))
FILL_DEPTH = 16


def run(body: Callable[[Any], Awaitable[float]], port: int) -> None:
    """Connect, and print what `body` returns."""

    async def main() -> None:
        connection = await capnp.AsyncIoStream.create_connection("127.0.0.1", port)
        database = capnp.TwoPartyClient(connection).bootstrap().cast_as(verity.VerityDb)
        say(await body(database))

    asyncio.run(capnp.run(main()))


async def ensure_stream(database: Any) -> None:
    request = database.createStream_request(tenant=TENANT, dataClass=1, placement=REGION, ifNotExists=True)
    request.stream = STREAM
    await request.send()


def publish(port: int, depth: int, events: int, seconds: float, *, with_ids: bool = False) -> None:
    payloads = [PAYLOAD] * events

    def ids() -> dict[str, Any]:
        return {"eventIds": [os.urandom(16) for _ in payloads]} if with_ids else {}

    async def caller(database: Any, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            await database.publish(tenant=TENANT, stream=STREAM, payloads=payloads, **ids())
            count += events
        return count

    async def body(database: Any) -> float:
        await ensure_stream(database)
        await database.publish(tenant=TENANT, stream=STREAM, payloads=payloads)
        start = time.perf_counter()
        counts = await asyncio.gather(*[caller(database, start + seconds) for _ in range(depth)])
        return sum(counts) / (time.perf_counter() - start)

    run(body, port)


def fill(port: int, calls: int, events: int) -> None:
    payloads = [PAYLOAD] * events

    async def body(database: Any) -> float:
        await ensure_stream(database)
        left = iter(range(calls))

        async def caller() -> None:
            for _ in left:
                await database.publish(tenant=TENANT, stream=STREAM, payloads=payloads)

        await asyncio.gather(*[caller() for _ in range(FILL_DEPTH)])
        return calls * events

    run(body, port)


def read(port: int, max_events: int, seconds: float) -> None:
    async def body(database: Any) -> float:
        start = time.perf_counter()
        count = offset = 0
        while time.perf_counter() < start + seconds:
            found = await database.read(tenant=TENANT, stream=STREAM, fromOffset=offset, maxEvents=max_events)
            assert found.nextOffset > offset, "the stream has events to read"
            count += found.nextOffset - offset
            offset = 0 if found.nextOffset == found.head else found.nextOffset
        return count / (time.perf_counter() - start)

    run(body, port)


def points(port: int, depth: int, seconds: float) -> None:
    """Reads of one event each, scattered over the stream, with `depth` calls in flight on one connection."""

    async def body(database: Any) -> float:
        head = (await database.read(tenant=TENANT, stream=STREAM, fromOffset=0, maxEvents=1)).head
        until = time.perf_counter() + seconds
        took: list[float] = []

        async def caller(number: int) -> None:
            offset = number
            while (start := time.perf_counter()) < until:
                offset = (offset * 31 + 7) % head
                found = await database.read(tenant=TENANT, stream=STREAM, fromOffset=offset, maxEvents=1)
                took.append(time.perf_counter() - start)
                assert found.nextOffset == offset + 1, "one event was asked for"

        await asyncio.gather(*map(caller, range(depth)))
        took.sort()
        say(took[len(took) // 2] * 1e6)
        return took[len(took) * 99 // 100] * 1e6

    run(body, port)


def serve() -> None:
    class Empty(verity.VerityDb.Server):  # type: ignore[name-defined, misc]
        async def createStream(self, *_fields: Any, **_context: Any) -> None:
            return

        async def publish(self, *_fields: Any, **_context: Any) -> None:
            return

    async def handle(stream: Any) -> None:
        await capnp.TwoPartyServer(stream, bootstrap=Empty()).on_disconnect()

    async def main() -> None:
        server = await capnp.AsyncIoStream.create_server(handle, "127.0.0.1", 0)
        say(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    asyncio.run(capnp.run(main()))


def say(value: float) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    match arguments:
        case ["publish", port, depth, events, seconds]:
            publish(int(port), int(depth), int(events), float(seconds))
        case ["publish-ids", port, depth, events, seconds]:
            publish(int(port), int(depth), int(events), float(seconds), with_ids=True)
        case ["fill", port, calls, events]:
            fill(int(port), int(calls), int(events))
        case ["read", port, max_events, seconds]:
            read(int(port), int(max_events), float(seconds))
        case ["points", port, depth, seconds]:
            points(int(port), int(depth), float(seconds))
        case ["serve"]:
            serve()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
