"""The trio driver: what a peer sees of it over a stream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import (
    ConnectionLost,
    InvalidArgument,
    NotAvailable,
    Overloaded,
    RemoteError,
    TooLarge,
    UnknownStream,
    VerityError,
)
from vdb.rpc import encode
from vdb.rpc.client import open_client
from vdb.rpc.interface import Interface
from vdb.rpc.limits import RpcLimits
from vdb.rpc.server import IncomingCall, ReceiveBudget, serve
from vdb.wire.framing import frame_header
from vdb.wire.schema import verity


@pytest.fixture
def connected(echo: Any, interface: Interface) -> Any:
    @asynccontextmanager
    async def connect(limits: RpcLimits | None = None) -> Any:
        async with trio.open_nursery() as nursery:
            ours, theirs = trio.testing.lockstep_stream_pair()

            async def run() -> None:
                await serve(
                    theirs, dispatch=echo.dispatch, interface=interface, limits=limits, report=echo.reported.append
                )

            nursery.start_soon(run)
            async with open_client(ours, interface) as client:
                yield client
            nursery.cancel_scope.cancel()

    return connect


def field(name: str, value: Any) -> Callable[[Any], None]:
    return lambda params: setattr(params, name, value)


async def test_results_come_back(connected: Any) -> None:
    async with connected() as client:
        for text in ("", "hello", "ü" * 20_000):
            assert (await client.call("echo", field("text", text))).text == text
        items = [bytes([number % 256]) * 256 for number in range(2000)]
        assert list((await client.call("echo", field("items", items))).items) == items
        await client.call("empty")


async def test_errors_keep_their_class_and_message(connected: Any, echo: Any) -> None:
    async with connected() as client:
        with pytest.raises(UnknownStream, match=r"^no stream notes$"):
            await client.call("fail", field("how", "refuse"))
        with pytest.raises(Overloaded, match=r"^the queue is full$"):
            await client.call("fail", field("how", "overloaded"))
        with pytest.raises(RemoteError, match=r"^internal error$"):
            await client.call("fail", field("how", "bug"))
    assert [str(error) for error in echo.reported] == ["patient Jane Doe"]


async def test_answers_may_come_later_and_in_any_order(connected: Any, echo: Any) -> None:
    done: list[str] = []
    async with connected() as client, trio.open_nursery() as nursery:

        async def ask(label: str) -> None:
            done.append((await client.call("wait", field("label", label))).label)

        for label in ("a", "b", "c"):
            nursery.start_soon(ask, label)
            await trio.testing.wait_all_tasks_blocked()
        for label in ("b", "c", "a"):
            echo.release(label)
            await trio.testing.wait_all_tasks_blocked()
    assert done == ["b", "c", "a"]


async def test_a_cancelled_caller_cancels_the_call(connected: Any, echo: Any) -> None:
    async with connected() as client:
        with trio.move_on_after(0) as scope:
            await client.call("wait", field("label", "early"))
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.call, "wait", field("label", "late"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await client.call("empty")
        assert echo.canceled == ["late"] or sorted(echo.canceled) == ["early", "late"]
        for label in list(echo.waiting):
            echo.release(label)
        await client.call("empty")


async def test_a_lost_connection_fails_what_is_in_flight(echo: Any, interface: Interface) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with open_client(ours, interface) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(ConnectionLost, match="the connection was closed"):
                await client.call("wait")

        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await theirs.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert client.closed
        with pytest.raises(ConnectionLost):
            await client.call("empty")


async def test_an_answer_after_the_connection_was_ended_from_here_goes_nowhere(echo: Any, interface: Interface) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(theirs, dispatch=echo.dispatch, interface=interface)

        nursery.start_soon(run)
        method = interface.by_name["wait"]
        await ours.send_all(encode.bootstrap(0) + encode.call(1, 0, method, method.params.new_message().to_segments()))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert echo.waiting[""].cancelled
    echo.release("")


async def test_calls_that_run_are_cancelled_when_the_peer_leaves(echo: Any, interface: Interface) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(theirs, dispatch=echo.dispatch, interface=interface)

        nursery.start_soon(run)
        method = interface.by_name["wait"]
        await ours.send_all(encode.bootstrap(0) + encode.call(1, 0, method, method.params.new_message().to_segments()))
        await trio.testing.wait_all_tasks_blocked()
        assert list(echo.waiting) == [""]
        await ours.aclose()
    assert echo.canceled == [""]
    assert echo.waiting[""].cancelled
    echo.release("")


async def test_tasks_of_calls(interface: Interface) -> None:
    ended: list[str] = []

    async def answer(call: IncomingCall, how: str) -> None:
        try:
            if how == "sleep":
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()
            if how == "refuse":
                raise UnknownStream("late")
            if how != "nothing":
                call.respond(lambda results: setattr(results, "text", how))
        finally:
            ended.append(how)

    def dispatch(call: IncomingCall) -> None:
        call.start_soon(answer, call, call.params.text)

    ours, theirs = trio.testing.memory_stream_pair()
    reported: list[BaseException] = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(theirs, dispatch=dispatch, interface=interface, report=reported.append)

        nursery.start_soon(run)
        async with open_client(ours, interface) as client:
            assert (await client.call("echo", field("text", "x"))).text == "x"
            with pytest.raises(UnknownStream, match="late"):
                await client.call("echo", field("text", "refuse"))
            with pytest.raises(RemoteError, match="internal error"):
                await client.call("echo", field("text", "nothing"))
            question = client.call_nowait("echo", field("text", "sleep"), lambda _results, _error: None)
            await trio.testing.wait_all_tasks_blocked()
            client.cancel(question)
            await trio.testing.wait_all_tasks_blocked()
            assert ended == ["x", "refuse", "nothing", "sleep"]
            client.call_nowait("echo", field("text", "sleep"), lambda _results, _error: None)
            await trio.testing.wait_all_tasks_blocked()
    assert ended[-1] == "sleep"
    assert len(ended) == 5
    assert [str(error) for error in reported] == ["a task of echo ended without an answer"]


async def test_more_calls_than_may_be_in_flight(connected: Any, echo: Any) -> None:
    async with connected(RpcLimits(calls_in_flight_max=3)) as client, trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(client.call, "wait", field("label", str(number)))
        await trio.testing.wait_all_tasks_blocked()
        assert len(echo.waiting) == 3
        while echo.waiting:
            echo.release(next(iter(echo.waiting)))
            await trio.testing.wait_all_tasks_blocked()
            assert len(echo.waiting) <= 3
    assert len(echo.seen) == 10


async def test_sizes_are_bounded_both_ways(connected: Any) -> None:
    async with connected(RpcLimits(message_size_max=100_000)) as client:
        with pytest.raises(TooLarge, match=r"echo: parameters of .* bytes are above the limit of 17825536"):
            await client.call("echo", field("data", bytes(17_825_600)))
        assert len((await client.call("echo", field("data", bytes(90_000)))).data) == 90_000
        with pytest.raises(RemoteError, match=r"the answer of .* bytes is above the limit of 99744: ask for less"):
            await client.call("repeat", field("times", 100_000))
        with pytest.raises(ConnectionLost, match=r"a message of .* bytes is above the limit of 100000"):
            await client.call("echo", field("data", bytes(200_000)))


async def test_unfinished_messages_of_all_connections_are_bounded(echo: Any, interface: Interface) -> None:
    limits, budget = RpcLimits(read_size=1024), ReceiveBudget(300_000)
    async with trio.open_nursery() as nursery:

        async def connect() -> Any:
            ours, theirs = trio.testing.memory_stream_pair()

            async def run() -> None:
                await serve(theirs, dispatch=echo.dispatch, interface=interface, limits=limits, budget=budget)

            nursery.start_soon(run)
            return ours

        first, second, third = [await connect() for _ in range(3)]
        for peer in (first, second):
            await peer.send_all(frame_header([800_000]) + bytes(200_000 if peer is first else 90_000))
            await trio.testing.wait_all_tasks_blocked()
        assert budget.used == 290_016
        await third.send_all(frame_header([800_000]) + bytes(20_000))
        answer = b""
        while data := await third.receive_some():
            answer += data
        assert b"unfinished messages take more than 300000 bytes" in answer
        await third.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert budget.used == 290_016
        await second.send_all(bytes(5_000))
        await first.aclose()
        await second.send_all(bytes(5_000))
        await second.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert budget.used == 0


async def test_parameters_that_do_not_fit_the_schema(connected: Any) -> None:
    async with connected() as client:
        with pytest.raises(InvalidArgument, match="repeat: a parameter doesn't fit the schema"):
            await client.call("repeat", field("times", 2**40))


async def test_a_call_is_answered_once(connected: Any, echo: Any) -> None:
    async with connected() as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.call, "wait")
        await trio.testing.wait_all_tasks_blocked()
        call = echo.waiting.pop("")
        call.respond()
        with pytest.raises(AssertionError, match="a call is answered once"):
            call.respond()
        with pytest.raises(AssertionError, match="a call is answered once"):
            call.fail(Overloaded("again"))


async def test_a_method_that_the_node_does_not_have(interface: Interface, echo: Any) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(theirs, dispatch=echo.dispatch, interface=interface)

        nursery.start_soon(run)
        async with open_client(ours, Interface.of(verity.VerityDb)) as client:
            with pytest.raises(NotAvailable, match="isn't implemented here"):
                await client.call("status")


async def test_garbage_gets_an_abort_and_a_closed_stream(interface: Interface, echo: Any, read: Any) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(theirs, dispatch=echo.dispatch, interface=interface)

        nursery.start_soon(run)
        await ours.send_all(b"GET / HTTP/1.1\r\nHost: verity\r\n\r\n")
        received = b""
        while data := await ours.receive_some():
            received += data
        await ours.aclose()
    (message,) = read(received)
    assert message.abort.reason == "a message of 542393672 segments is above the limit of 16"


async def test_bad_parameters_are_refused(interface: Interface, echo: Any, read: Any) -> None:
    method = interface.by_name["fail"]
    params = method.params.new_message()
    params.how = "abcdefg"
    (segment,) = params.to_segments()
    frame = encode.call(1, 0, method, [segment.replace(b"abcdefg\0", b"abcdefgh")])
    other = encode.call(2, 0, method, [segment.replace(b"abcdefg", b"\xff" * 7)])
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(theirs, dispatch=echo.dispatch, interface=interface)

        nursery.start_soon(run)
        await ours.send_all(encode.bootstrap(0) + frame + other)
        await trio.testing.wait_all_tasks_blocked()
        messages = read(await ours.receive_some())
        await ours.aclose()
    for message in messages[1:]:
        reason = getattr(message, "return").exception.reason
        assert reason == "INVALID_ARGUMENT: the parameters aren't valid Cap'n Proto"


def serve_bytes(stream: bytes, dispatch: Callable[[IncomingCall], None], interface: Interface) -> bytes:
    """All that `serve` answers to a peer that sends `stream` and then closes its side."""
    sent = b""

    async def main() -> None:
        nonlocal sent
        ours, theirs = trio.testing.memory_stream_pair()

        async def collect() -> None:
            nonlocal sent
            while data := await ours.receive_some():
                sent += data

        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect)
            await ours.send_all(stream)
            await ours.send_stream.aclose()
            await serve(theirs, dispatch=dispatch, interface=interface, limits=RpcLimits(message_size_max=8192))

    trio.run(main)
    return sent


def session(interface: Interface) -> bytes:
    frames = [encode.bootstrap(0)]
    for question, name in enumerate(("echo", "empty", "child", "fail", "label"), 1):
        method = interface.by_name[name]
        params = method.params.new_message()
        if name == "echo":
            params.items = [b"x" * 30] * 4
        make = encode.call if question % 2 else encode.pipelined_call
        frames.append(make(question, 0, method, params.to_segments()))
    frames += [
        encode.finish(3, release_capabilities=True),
        encode.release(0, 1),
        encode.finish(0, release_capabilities=True),
    ]
    return b"".join(frames)


mutations = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from([0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF])), min_size=1, max_size=8
)


@given(changes=mutations, cut=st.integers(0, 5000) | st.none())
def test_mutated_sessions_end_in_order(changes: list[tuple[int, int]], cut: int | None) -> None:
    check_mutated(changes, cut)


def check_mutated(changes: list[tuple[int, int]], cut: int | None) -> None:
    conftest_echo = _fresh_echo()
    stream = bytearray(session(conftest_echo.interface))
    for at, value in changes:
        stream[at % len(stream)] = value
    sent = serve_bytes(bytes(stream[:cut]), conftest_echo.dispatch, conftest_echo.interface)
    assert _read(sent) is not None


@given(stream=st.binary(max_size=400))
def test_arbitrary_bytes_end_in_order(stream: bytes) -> None:
    conftest_echo = _fresh_echo()
    _read(serve_bytes(stream, conftest_echo.dispatch, conftest_echo.interface))


_fresh_echo: Callable[[], Any]
_read: Callable[[bytes], list[Any]]


@pytest.fixture(autouse=True, scope="module")
def _helpers(request: pytest.FixtureRequest) -> None:
    """Hypothesis tests make their own services: a fixture would be shared by all examples."""
    global _fresh_echo, _read  # noqa: PLW0603
    _fresh_echo = request.getfixturevalue("echo_class")
    _read = request.getfixturevalue("read")


def test_error_mapping_is_total() -> None:
    from vdb.rpc.faults import error_from_exception, fault_from_error

    todo: list[type[BaseException]] = [VerityError]
    while todo:
        kind = todo.pop()
        todo += [made for made in kind.__subclasses__() if made.__module__ == VerityError.__module__]
        fault = fault_from_error(kind("why"))
        back = error_from_exception(fault.kind, fault.reason)
        assert "why" in str(back)
        if "code" in vars(kind):
            assert str(back) == "why"
    assert fault_from_error(KeyError("Jane")).reason == "internal error"


async def test_a_peer_that_does_not_read_is_not_asked_for_more(interface: Interface, echo: Any) -> None:
    method = interface.by_name["repeat"]
    params = method.params.new_message()
    params.times = 10_000
    segments = params.to_segments()
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            limits = RpcLimits(unsent_bytes_max=50_000, read_size=1024)
            await serve(theirs, dispatch=echo.dispatch, interface=interface, limits=limits)

        async def send() -> None:
            await ours.send_all(encode.bootstrap(0))
            await ours.send_all(b"".join(encode.call(number, 0, method, segments) for number in range(1, 1000)))

        nursery.start_soon(run)
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert len(echo.seen) <= 16, "what one read brings, at most"
        while len(echo.seen) < 999:
            assert await ours.receive_some()
        nursery.cancel_scope.cancel()
