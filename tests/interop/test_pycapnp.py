"""Both sides of our RPC against Cap'n Proto's own, over real sockets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import capnp
import pytest
import trio

from vdb.errors import ConnectionLost, Overloaded, RemoteError, UnknownStream
from vdb.rpc.client import RpcClient, open_client
from vdb.rpc.interface import Capability, Interface
from vdb.rpc.server import IncomingCall, serve

HERE = Path(__file__).parent
schema = capnp.load(str(HERE.parent / "rpc" / "echo.capnp"))
INTERFACE = Interface.of(schema.Echo)


class Echo:
    """An Echo service on our server; `wait` answers when `release` is called, from a task of the test."""

    def __init__(self) -> None:
        self.waiting: dict[str, IncomingCall] = {}
        self.canceled: list[str] = []

    def dispatch_as(self, label: str) -> Callable[[IncomingCall], None]:
        def dispatch(call: IncomingCall) -> None:
            getattr(self, call.name)(label, call, call.params)

        return dispatch

    def echo(self, _label: str, call: IncomingCall, params: Any) -> None:
        def build(results: Any) -> None:
            results.text, results.data, results.items = params.text, params.data, params.items

        call.respond(build)

    def empty(self, _label: str, call: IncomingCall, _params: Any) -> None:
        call.respond()

    def fail(self, _label: str, call: IncomingCall, params: Any) -> None:
        call.fail({"refuse": UnknownStream("no stream notes"), "busy": Overloaded("full")}.get(params.how, KeyError()))

    def wait(self, _label: str, call: IncomingCall, params: Any) -> None:
        label = params.label
        self.waiting[label] = call
        call.on_cancel = lambda: self.canceled.append(label)
        if label == "release":
            for waiting in self.waiting.values():
                waiting.respond(lambda results: setattr(results, "label", "released"))
            self.waiting.clear()

    def child(self, _label: str, call: IncomingCall, params: Any) -> None:
        label = params.label
        child = Capability(INTERFACE, self.dispatch_as(label))
        call.respond(lambda results: setattr(results, "before", label), {(1,): child})

    def label(self, label: str, call: IncomingCall, _params: Any) -> None:
        call.respond(lambda results: setattr(results, "label", label))


async def with_their_client(service: Echo, use: Callable[[Any], Awaitable[None]]) -> None:
    """Run `use` with pycapnp's Echo client, in a thread with an asyncio loop, against our server."""

    async def handle(stream: trio.SocketStream) -> None:
        await serve(stream, dispatch=service.dispatch_as("root"), interface=INTERFACE)

    def run_theirs(port: int) -> None:
        async def main() -> None:
            stream = await capnp.AsyncIoStream.create_connection("127.0.0.1", port)
            client = capnp.TwoPartyClient(stream)
            await asyncio.wait_for(use(client.bootstrap().cast_as(schema.Echo)), 20)

        asyncio.run(capnp.run(main()))

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        await trio.to_thread.run_sync(run_theirs, listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def test_their_client_gets_results() -> None:
    async def use(echo: Any) -> None:
        assert (await echo.echo(text="hello", data=b"\0\1")).text == "hello"
        items = [b"x" * 256] * 100
        assert list((await echo.echo(items=items)).items) == items
        large = b"y" * 1_000_000
        assert (await echo.echo(data=large)).data == large
        await echo.empty()

    await with_their_client(Echo(), use)


async def test_their_client_gets_exceptions() -> None:
    async def use(echo: Any) -> None:
        for how, kind, reason in (
            ("refuse", "FAILED", "UNKNOWN_STREAM: no stream notes"),
            ("busy", "OVERLOADED", "OVERLOADED: full"),
            ("bug", "FAILED", "internal error"),
        ):
            with pytest.raises(capnp.KjException) as caught:
                await echo.fail(how)
            assert caught.value.description == f"remote exception: {reason}"
            assert caught.value.type == kind
        with pytest.raises(capnp.KjException, match="isn't implemented here"):
            await echo.cast_as(schema.Other).other()

    await with_their_client(Echo(), use)


async def test_their_client_pipelines() -> None:
    async def use(echo: Any) -> None:
        assert (await echo.child("kid").child.label()).label == "kid"
        chain = echo.child("kid").child.child("grandkid").child
        assert (await chain.label()).label == "grandkid"
        kept = (await echo.child("kept")).child
        assert (await kept.label()).label == "kept"
        assert (await kept.label()).label == "kept"

    await with_their_client(Echo(), use)


async def test_their_client_has_64_in_flight() -> None:
    async def use(echo: Any) -> None:
        async def caller(number: int) -> None:
            for at in range(20):
                text = f"{number}.{at}"
                assert (await echo.echo(text=text)).text == text

        await asyncio.gather(*[caller(number) for number in range(64)])

    await with_their_client(Echo(), use)


async def test_their_client_cancels() -> None:
    service = Echo()

    async def use(echo: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(echo.wait("abandoned"), 0.05)
        late = [asyncio.ensure_future(echo.wait(str(number))) for number in range(3)]
        await echo.empty()
        await echo.wait("release")
        assert [each.label for each in await asyncio.gather(*late)] == ["released"] * 3

    await with_their_client(service, use)
    assert service.canceled == ["abandoned"]


@pytest.fixture(scope="module")
def their_port() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, str(HERE / "pycapnp_server.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.terminate()
    process.wait()
    process.stdout.close()


class AnyioStream:
    """What the client asks of a stream, over anyio's."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self.send_all = stream.send
        self.aclose = stream.aclose

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self._stream.receive(max_bytes or 65536)
        except anyio.EndOfStream:
            return b""


@asynccontextmanager
async def our_client(port: int) -> Any:
    stream = AnyioStream(await anyio.connect_tcp("127.0.0.1", port))
    async with open_client(stream, INTERFACE) as client:
        yield client


def field(name: str, value: Any) -> Callable[[Any], None]:
    return lambda params: setattr(params, name, value)


async def check_our_client(port: int) -> None:
    async with our_client(port) as client:
        assert (await client.call("echo", field("text", "hello"))).text == "hello"
        items = [b"x" * 256] * 100
        assert list((await client.call("echo", field("items", items))).items) == items
        large = b"y" * 1_000_000
        assert (await client.call("echo", field("data", large))).data == large
        assert (await client.call("label")).label == "root"
        assert (await client.call("child", field("label", "kid"))).before == "kid"
        with pytest.raises(RemoteError, match="on purpose"):
            await client.call("fail", field("how", "on purpose"))
        await check_64_in_flight(client)
        with anyio.move_on_after(0.05) as scope:
            await client.call("wait", field("label", "abandoned"))
        assert scope.cancelled_caught
        canceled = await client.call("wait", field("label", "canceled?"))
        assert "abandoned" in canceled.label


async def check_64_in_flight(client: RpcClient) -> None:
    async def caller(number: int) -> None:
        for at in range(20):
            text = f"{number}.{at}"
            assert (await client.call("echo", field("text", text))).text == text

    async with anyio.create_task_group() as tasks:
        for number in range(64):
            tasks.start_soon(caller, number)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_our_client_on_their_server(their_port: int, backend: str) -> None:
    anyio.run(check_our_client, their_port, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_our_client_loses_its_connection(backend: str) -> None:
    async def main() -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

        async def leave(stream: anyio.abc.ByteStream) -> None:
            async with stream:
                await stream.receive()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, leave)
            async with our_client(listener.extra(anyio.abc.SocketAttribute.local_port)) as client:
                with pytest.raises(ConnectionLost):
                    await client.call("empty")
            tasks.cancel_scope.cancel()
        await listener.aclose()

    anyio.run(main, backend=backend)
