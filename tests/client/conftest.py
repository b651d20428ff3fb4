"""A small node in memory that keeps the contract of `interface VerityDb`, with faults to switch on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from vdb.client.client import Client
from vdb.errors import (
    ConnectionLost,
    DefiniteError,
    InvalidArgument,
    NotPrimary,
    Overloaded,
    SessionExpired,
    SessionGap,
    StreamExists,
    UnknownStream,
    WrongExpectedOffset,
)
from vdb.rpc.interface import Interface
from vdb.rpc.server import IncomingCall, serve
from vdb.wire.schema import verity

INTERFACE = Interface.of(verity.VerityDb)
WINDOW = 64


class SeededEntropy:
    """The Entropy port, from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)


class Stream:
    def __init__(self, placement: str, data_class: int) -> None:
        self.placement = placement
        self.data_class = data_class
        self.payloads: list[bytes] = []
        self.ids: list[bytes] = []


class FakeNode:
    """Executes writes in session order, once. `dial` gives a client's end of a new connection."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.sessions: dict[int, tuple[str, dict[int, Any]]] = {}
        self.region = "ap-southeast-2"
        self.groups: list[str] = []
        """What it holds; empty: its region's group."""
        self.holders: dict[str, list[str]] = {}
        """Addresses of the nodes that hold a group, as this one says."""
        self.opened = 0
        self.executions = 0
        self.calls: list[str] = []
        self.levels: list[str] = []
        self.refuse_connections = 0
        self.overloaded = 0
        self.cut_before_answer = 0
        """So many executed writes are answered by cutting the connection."""
        self.evict_before_answer = False
        self.mute = False
        """Answers nothing."""
        self.primary_address = ""
        self.primaries: dict[str, str] = {}
        """Addresses of primaries by group, as this node's status says; empty: of its region's alone."""
        self.changes: list[tuple[Any, ...]] = []
        """What was asked of the cluster: method and parameters."""
        self.refusals: list[Exception] = []
        """What the next calls that need the primary fail with."""
        self.elsewhere: NotPrimary | None = None
        """This node isn't the primary, and says so."""
        self._nursery: trio.Nursery | None = None
        self._ends: list[Any] = []
        self._appended = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def dial(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.refuse_connections:
            self.refuse_connections -= 1
            raise ConnectionLost("nobody answers here")
        ours, theirs = trio.testing.memory_stream_pair()
        self._ends.append(ours)
        assert self._nursery is not None
        self._nursery.start_soon(self.serve, ours)
        return theirs

    async def serve(self, stream: trio.abc.Stream) -> None:
        await serve(stream, dispatch=self.dispatch, interface=INTERFACE)

    def cut(self) -> None:
        """Break all connections."""
        ends, self._ends = self._ends, []
        for end in ends:
            end.send_stream.close()
            end.receive_stream.close()

    def dispatch(self, call: IncomingCall) -> None:
        self.calls.append(call.name)
        if self.mute:
            return
        if call.name not in ("regions", "status", "rows", "waitForProjection") and not self._any_node_may(call):
            refusal = self.refusals.pop(0) if self.refusals else self.elsewhere
            if refusal is not None:
                call.fail(refusal)
                return
        getattr(self, f"on_{call.name}")(call, call.params)

    def _any_node_may(self, call: IncomingCall) -> bool:
        if call.name not in ("read", "readLog", "getStream", "listStreams"):
            return False
        level = call.params.consistency
        which = str(level.which())
        self.levels.append(level.atLeast if which == "atLeast" else which)
        return which != "linearizable"

    def on_openSession(self, call: IncomingCall, params: Any) -> None:
        self.sessions = {number: kept for number, kept in self.sessions.items() if kept[0] != params.group}
        self.opened += 1
        self.sessions[self.opened] = (params.group, {})

        def build(results: Any) -> None:
            results.session, results.window = self.opened, WINDOW

        call.respond(build)

    def on_createStream(self, call: IncomingCall, params: Any) -> None:
        name, placement, data_class, lenient = params.stream, params.placement, params.dataClass, params.ifNotExists

        def execute() -> Callable[[Any], None]:
            created = name not in self.streams
            if not created and not lenient:
                raise StreamExists(f"tenant 1 has a stream '{name}' already")
            self.streams.setdefault(name, Stream(placement, data_class))
            return lambda results: setattr(results, "created", created)

        self._write(call, params.origin, execute)

    def on_publish(self, call: IncomingCall, params: Any) -> None:
        name, payloads, ids = params.stream, list(params.payloads), list(params.eventIds)
        exact = params.expected.exact if params.expected.which() == "exact" else None

        def execute() -> Callable[[Any], None]:
            stream = self.streams[name]
            if exact is not None and exact != len(stream.payloads):
                raise WrongExpectedOffset(f"expected exactly {exact}, the stream is at {len(stream.payloads)}")
            first = len(stream.payloads)
            stream.payloads += payloads
            stream.ids += ids or [b""] * len(payloads)

            def build(results: Any) -> None:
                results.firstOffset, results.nextOffset = first, first + len(payloads)
                results.group, results.nextPosition, results.time = stream.placement, first + len(payloads), 5

            return build

        self._write(call, params.origin, execute)

    def on_append(self, call: IncomingCall, params: Any) -> None:
        appends = [(append.stream, [p for run in append.runs for p in run.payloads]) for append in params.appends]

        def execute() -> Callable[[Any], None]:
            ranges = []
            for name, payloads in appends:
                stream = self.streams[name]
                ranges.append((name, len(stream.payloads), len(stream.payloads) + len(payloads)))
                stream.payloads += payloads
                stream.ids += [b""] * len(payloads)

            def build(results: Any) -> None:
                for builder, (name, first, following) in zip(results.init("ranges", len(ranges)), ranges, strict=True):
                    builder.stream, builder.firstOffset, builder.nextOffset = name, first, following
                results.group = self.streams[ranges[0][0]].placement

            return build

        self._write(call, params.origin, execute)

    def _write(self, call: IncomingCall, origin: Any, execute: Callable[[], Callable[[Any], None]]) -> None:
        if self.overloaded:
            self.overloaded -= 1
            call.fail(Overloaded("1024 requests wait: try again later"))
            return
        kept = self.sessions.get(origin.session)
        if kept is None:
            call.fail(SessionExpired("the session has ended"))
            return
        replies, number = kept[1], origin.number
        if number not in replies:
            if number != len(replies) + 1:
                call.fail(SessionGap(f"expected number {len(replies) + 1}, found {number}"))
                return
            self.executions += 1
            try:
                replies[number] = execute()
                self._appended.set()
                self._appended = trio.Event()
            except DefiniteError as error:
                replies[number] = error
        if self.evict_before_answer:
            self.evict_before_answer = False
            self.sessions.clear()
            self.cut()
        elif self.cut_before_answer:
            self.cut_before_answer -= 1
            self.cut()
        elif isinstance(replies[number], DefiniteError):
            call.fail(replies[number])
        else:
            call.respond(replies[number])

    def on_getStream(self, call: IncomingCall, params: Any) -> None:
        stream = self.streams.get(params.stream)
        if stream is None or params.group not in ("", stream.placement):
            call.fail(UnknownStream(f"tenant {params.tenant} has no stream '{params.stream}'"))
            return
        name = params.stream

        def build(results: Any) -> None:
            info = results.init("stream")
            info.name, info.placement, info.dataClass = name, stream.placement, stream.data_class
            info.nextOffset = len(stream.payloads)

        call.respond(build)

    def on_listStreams(self, call: IncomingCall, params: Any) -> None:
        names = list(self.streams)
        after = names.index(params.after) + 1 if params.after else 0
        page = names[after : after + 2]

        def build(results: Any) -> None:
            for builder, name in zip(results.init("streams", len(page)), page, strict=True):
                builder.name, builder.placement = name, self.streams[name].placement
            results.more = after + 2 < len(names)

        call.respond(build)

    def on_read(self, call: IncomingCall, params: Any) -> None:
        name, start, most, ids_only = params.stream, params.fromOffset, params.maxEvents, params.idsOnly
        wait = params.waitMicros / 1e6

        async def run() -> None:
            stream = self.streams[name]
            with trio.move_on_after(wait):
                while start >= len(stream.payloads) and wait:
                    await self._appended.wait()
            if start > len(stream.payloads):
                raise InvalidArgument("expected an offset up to the stream's end")
            found = stream.payloads[start : start + min(most, 3)]

            def build(results: Any) -> None:
                if found:
                    (run,) = results.init("runs", 1)
                    run.stream, run.firstOffset, run.firstPosition = name, start, start + 100
                    run.dataClass = stream.data_class
                    ids = stream.ids[start : start + len(found)]
                    if all(ids):
                        run.eventIds = ids
                    if not ids_only:
                        run.payloads = found
                results.nextOffset, results.head = start + len(found), len(stream.payloads)

            call.respond(build)

        call.start_soon(run)

    def on_regions(self, call: IncomingCall, params: Any) -> None:
        def build(results: Any) -> None:
            results.region, results.groups = self.region, self.groups or [self.region]
            for builder, (group, addresses) in zip(
                results.init("members", len(self.holders)), self.holders.items(), strict=True
            ):
                builder.region, builder.addresses = group, addresses

        call.respond(build)

    def on_status(self, call: IncomingCall, params: Any) -> None:
        def build(results: Any) -> None:
            results.node, results.region, results.version = "fake", self.region, "0"
            primaries = self.primaries or {"ap-southeast-2": self.primary_address}
            for group, (name, address) in zip(results.init("groups", len(primaries)), primaries.items(), strict=True):
                group.group, group.nextPosition, group.primaryAddress = name, 3, address

        call.respond(build)

    def on_rows(self, call: IncomingCall, params: Any) -> None:
        where = {condition.column: str(condition.value.which()) for condition in params.where}

        def build(results: Any) -> None:
            results.columns = ["name", "kind"]
            results.position = "ap-southeast-2:3 global:0"
            for builder, (column, kind) in zip(results.init("rows", len(where)), where.items(), strict=True):
                values = builder.init("values", 2)
                values[0].text, values[1].text = column, kind

        call.respond(build)

    def on_waitForProjection(self, call: IncomingCall, params: Any) -> None:
        call.respond(lambda results: setattr(results, "reached", True))

    # A change of members has the number of changes so far as its epoch.

    def on_addMember(self, call: IncomingCall, params: Any) -> None:
        member = (params.name, params.peerAddress, params.address, bytes(params.diskId))
        self._change(call, "add", params.group, params.node, *member)

    def on_promoteMember(self, call: IncomingCall, params: Any) -> None:
        self._change(call, "promote", params.group, params.node)

    def on_removeMember(self, call: IncomingCall, params: Any) -> None:
        self._change(call, "remove", params.group, params.node)

    def on_recoverMember(self, call: IncomingCall, params: Any) -> None:
        self._change(call, "recover", params.group, params.node, bytes(params.diskId))

    def on_abdicate(self, call: IncomingCall, params: Any) -> None:
        self.changes.append(("abdicate", params.group))
        call.respond(lambda results: None)

    def _change(self, call: IncomingCall, *what: Any) -> None:
        self.changes.append(what)
        epoch = len(self.changes)
        call.respond(lambda results: setattr(results, "epoch", epoch))


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def make_client(node: FakeNode) -> Callable[..., Client]:
    """Clients of the fake node; it must be running."""

    def make(**settings: Any) -> Client:
        return Client(node.dial, entropy=SeededEntropy(), **settings)

    return make


class FakeCluster:
    """Nodes that share what is committed. One of them is the primary; the others name it, if they know it."""

    def __init__(self, count: int = 3) -> None:
        self.nodes = {f"n{number}": FakeNode() for number in range(count)}
        first = self.nodes["n0"]
        for node in self.nodes.values():
            node.streams = first.streams
        self.primary = "n0"
        self.lead("n0")

    def lead(self, name: str, *, told: bool = True) -> None:
        """`name` is the primary from now on. It has the sessions of the one before."""
        known = name if told else ""
        self.nodes[name].sessions = self.nodes[self.primary].sessions
        self.nodes[name].opened = self.nodes[self.primary].opened
        self.primary = name
        for address, node in self.nodes.items():
            node.primary_address = known
            node.elsewhere = None if address == name else NotPrimary(f"ask {known or 'another'}", known)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            for node in self.nodes.values():
                await nursery.start(node.run)
            task_status.started()
            await trio.sleep_forever()

    def client(self, *addresses: str, **settings: Any) -> Client:
        """Of the nodes named; of all without a name."""
        nodes = {name: self.nodes[name].dial for name in addresses or self.nodes}
        return Client(nodes, entropy=SeededEntropy(), learn=lambda name: self.nodes[name].dial, **settings)

    @property
    def executions(self) -> int:
        return sum(node.executions for node in self.nodes.values())


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def tcp_node(node: FakeNode) -> Iterator[tuple[FakeNode, str]]:
    """The fake node on a socket, in a thread of its own: for clients of other loops."""
    ready: list[str] = []
    started = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            await nursery.start(trio.serve_listeners, node.serve, listeners)
            token = trio.lowlevel.current_trio_token()
            stop.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            host, port = listeners[0].socket.getsockname()
            ready.append(f"{host}:{port}")
            started.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert started.wait(30)
    yield node, ready[0]
    stop[0]()
    thread.join(30)
