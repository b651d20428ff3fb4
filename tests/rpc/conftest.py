"""An Echo service on `echo.capnp` and what drives connections against each other without IO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import capnp
import pytest

from vdb.errors import Overloaded, UnknownStream
from vdb.rpc.connection import Answered, CallArrived, CallCanceled, Connection, Ended
from vdb.rpc.interface import Capability, Interface
from vdb.rpc.limits import RpcLimits
from vdb.rpc.server import IncomingCall
from vdb.wire.framing import FrameSplitter
from vdb.wire.schema import rpc

schema = capnp.load(str(Path(__file__).parent / "echo.capnp"))
INTERFACE = Interface.of(schema.Echo)


class EchoService:
    """Answers at once, but for `wait`, whose calls lie in `waiting` by label."""

    interface = INTERFACE

    def __init__(self) -> None:
        self.waiting: dict[str, IncomingCall] = {}
        self.seen: list[str] = []
        self.canceled: list[str] = []
        self.reported: list[BaseException] = []

    def dispatch(self, call: IncomingCall) -> None:
        self._dispatch_as("root", call)

    def capability(self, label: str) -> Capability:
        return Capability(INTERFACE, lambda call: self._dispatch_as(label, call))

    def _dispatch_as(self, label: str, call: IncomingCall) -> None:
        self.seen.append(call.name)
        getattr(self, f"_{call.name}")(label, call, call.params)

    def _echo(self, _label: str, call: IncomingCall, params: Any) -> None:
        def build(results: Any) -> None:
            results.text = params.text
            results.data = params.data
            results.items = params.items

        call.respond(build)

    def _empty(self, _label: str, call: IncomingCall, _params: Any) -> None:
        call.respond()

    def _fail(self, _label: str, call: IncomingCall, params: Any) -> None:
        if params.how == "refuse":
            raise UnknownStream("no stream notes")
        if params.how == "overloaded":
            call.fail(Overloaded("the queue is full"))
            return
        raise AssertionError("patient Jane Doe")

    def _wait(self, _label: str, call: IncomingCall, params: Any) -> None:
        label = params.label
        self.waiting[label] = call
        call.on_cancel = lambda: self.canceled.append(label)

    def release(self, label: str) -> None:
        self.waiting.pop(label).respond(lambda results: setattr(results, "label", label))

    def _child(self, _label: str, call: IncomingCall, params: Any) -> None:
        child = params.label
        call.respond(lambda results: setattr(results, "before", child), {(1,): self.capability(child)})

    def _repeat(self, _label: str, call: IncomingCall, params: Any) -> None:
        times = params.times
        call.respond(lambda results: setattr(results, "text", "x" * times))

    def _label(self, label: str, call: IncomingCall, _params: Any) -> None:
        call.respond(lambda results: setattr(results, "label", label))


class PlainPeer:
    """The server's half of a connection without a driver: calls are recorded, the test answers them."""

    def __init__(self, limits: RpcLimits | None = None) -> None:
        self.root = Capability(INTERFACE, lambda _call: None)
        self.connection = Connection(limits=limits or RpcLimits(), bootstrap=self.root)
        self.arrived: list[Any] = []
        self.canceled: list[Any] = []
        self.ended: Ended | None = None

    def feed(self, data: bytes) -> None:
        self.connection.receive_data(data)
        self.pump()

    def pump(self) -> None:
        while (event := self.connection.next_event()) is not None:
            if isinstance(event, CallArrived):
                self.arrived.append(event.answer)
            elif isinstance(event, CallCanceled):
                self.canceled.append(event.answer)
            elif isinstance(event, Ended):
                self.ended = event
            else:
                assert isinstance(event, Answered)

    def sent(self) -> list[Any]:
        """What it sent since the last look, read by pycapnp."""
        return read_messages(self.connection.data_to_send())


def read_messages(stream: bytes) -> list[Any]:
    splitter = FrameSplitter(size_max=1 << 24, segments_max=64)
    splitter.feed(stream)
    found = []
    while (segments := splitter.next_frame()) is not None:
        found.append(rpc.Message.from_segments(segments))
    assert splitter.pending == 0
    return found


@pytest.fixture
def echo() -> EchoService:
    return EchoService()


@pytest.fixture(scope="session")
def echo_class() -> type[EchoService]:
    return EchoService


@pytest.fixture
def echo_schema() -> Any:
    return schema


@pytest.fixture
def interface() -> Interface:
    return INTERFACE


@pytest.fixture
def make_peer() -> Callable[..., PlainPeer]:
    return PlainPeer


@pytest.fixture(scope="session")
def read() -> Callable[[bytes], list[Any]]:
    return read_messages
