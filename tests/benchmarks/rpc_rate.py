"""Calls per second of an empty method: pycapnp's own asyncio server against ours, under the same pycapnp client.

Server and client are processes of their own. The two servers take turns, pair by pair, so that what else the machine
does falls on both; the ratio is the median over the pairs.

The module is also what those processes run: `python -m tests.benchmarks.rpc_rate SERVER|client ...`.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from typing import Any

import capnp
from attrs import frozen

from tests.benchmarks.report import Report
from vdb.wire.schema import verity


@frozen
class Sizes:
    pairs: int
    seconds: float


SIZES = {"full": Sizes(5, 1.0), "quick": Sizes(3, 0.5), "tiny": Sizes(1, 0.05)}
DEPTHS = (1, 64)
SERVERS = ("pycapnp", "ours")


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    servers = {name: _start(name) for name in SERVERS}
    try:
        ports = {name: _port(process) for name, process in servers.items()}
        for depth in DEPTHS:
            rates: dict[str, list[float]] = {name: [] for name in SERVERS}
            for _ in range(sizes.pairs):
                for name in SERVERS:
                    rates[name].append(_measure(ports[name], depth, sizes.seconds))
            for name in SERVERS:
                report(f"{name} server, {depth} in flight", statistics.median(rates[name]), "calls/s")
            ratios = [ours / theirs for theirs, ours in zip(rates["pycapnp"], rates["ours"], strict=True)]
            report(f"ratio, {depth} in flight", statistics.median(ratios), "times")
    finally:
        for process in servers.values():
            process.terminate()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.rpc_rate", *arguments]


def _start(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(_command(name), stdout=subprocess.PIPE, text=True)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def _measure(port: int, depth: int, seconds: float) -> float:
    command = _command("client", str(port), str(depth), str(seconds))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def serve_ours() -> None:
    import trio

    from vdb.rpc.interface import Interface
    from vdb.rpc.server import IncomingCall, serve

    interface = Interface.of(verity.VerityDb)

    def dispatch(call: IncomingCall) -> None:
        call.respond()

    async def handle(stream: trio.SocketStream) -> None:
        await serve(stream, dispatch=dispatch, interface=interface)

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        _announce(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(handle, listeners)

    trio.run(main)


def serve_pycapnp() -> None:
    class Empty(verity.VerityDb.Server):  # type: ignore[name-defined, misc]
        async def publish(self, *_fields: Any, **_context: Any) -> None:
            return

    async def handle(stream: Any) -> None:
        await capnp.TwoPartyServer(stream, bootstrap=Empty()).on_disconnect()

    async def main() -> None:
        server = await capnp.AsyncIoStream.create_server(handle, "127.0.0.1", 0)
        _announce(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    asyncio.run(capnp.run(main()))


def client(port: int, depth: int, seconds: float) -> None:
    """Print the calls per second with `depth` calls in flight on one connection."""

    async def caller(database: Any, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            await database.publish(tenant=1, stream="notes")
            count += 1
        return count

    async def main() -> None:
        connection = await capnp.AsyncIoStream.create_connection("127.0.0.1", port)
        database = capnp.TwoPartyClient(connection).bootstrap().cast_as(verity.VerityDb)
        await database.publish(tenant=1, stream="notes")
        start = time.perf_counter()
        counts = await asyncio.gather(*[caller(database, start + seconds) for _ in range(depth)])
        _announce(sum(counts) / (time.perf_counter() - start))

    asyncio.run(capnp.run(main()))


def _announce(value: float) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    match arguments:
        case ["ours"]:
            serve_ours()
        case ["pycapnp"]:
            serve_pycapnp()
        case ["client", port, depth, seconds]:
            client(int(port), int(depth), float(seconds))
        case _:
            raise SystemExit("usage: python -m tests.benchmarks.rpc_rate ours|pycapnp|client PORT DEPTH SECONDS")


if __name__ == "__main__":
    main(sys.argv[1:])
