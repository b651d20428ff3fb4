"""The calling side: a driver around `Connection` for trio and asyncio, through anyio.

Rules
- One task reads, one writes; callers only queue. The calls of one turn leave in one `send_all`, and a caller that is
  cancelled never leaves half a message on the stream.
- Every call ends: with results, an error of `vdb.errors`, or ConnectionLost when the connection is over. What had been
  queued by then may or may not have happened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import anyio
import trio

from vdb.errors import ConnectionLost, InvalidArgument, Overloaded, TooLarge
from vdb.ports import Buffer
from vdb.rpc.connection import Answered, Connection, Ended
from vdb.rpc.faults import error_from_exception
from vdb.rpc.interface import Interface
from vdb.rpc.limits import RpcLimits
from vdb.rpc.questions import Question
from vdb.wire.schema import CapnpError

OnDone = Callable[[Any, Exception | None], None]
"""Called once with a results reader, or with None and the error."""

STREAM_ERRORS = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    ConnectionLost,
    OSError,
)


class ByteStream(Protocol):
    """The part of trio's stream interface that the client needs; errors are trio's or anyio's."""

    async def send_all(self, data: Buffer, /) -> None: ...
    async def receive_some(self, max_bytes: int | None = None, /) -> Buffer:
        """At least one byte; none at the end."""

    async def aclose(self) -> None: ...


class RpcClient:
    """Calls on the bootstrap capability of the other side. `run` must be running; `open_client` does it."""

    def __init__(self, stream: ByteStream, interface: Interface, limits: RpcLimits | None = None) -> None:
        self._stream = stream
        self._interface = interface
        self._limits = limits or RpcLimits()
        self._connection = Connection(limits=self._limits)
        self._connection.wake = self._wake
        self._connection.ask_bootstrap()
        self._wanted = anyio.Event()
        self._lost: ConnectionLost | None = None

    @property
    def closed(self) -> bool:
        """No call can succeed any more."""
        return self._lost is not None

    async def call(self, name: str, build: Callable[[Any], None] | None = None) -> Any:
        """Call the method; returns a reader of its results. Raises what `vdb.errors` has for the node's answer.

        A caller that is cancelled cancels the call at the node, if it hasn't been executed by then.
        """
        done = anyio.Event()
        outcome: list[Any] = [None, None]

        def on_done(results: Any, error: Exception | None) -> None:
            outcome[0], outcome[1] = results, error
            done.set()

        question = self.call_nowait(name, build, on_done)
        try:
            await done.wait()
        except BaseException:
            self.cancel(question)
            raise
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    def call_nowait(self, name: str, build: Callable[[Any], None] | None, on_done: OnDone) -> Question:
        """Queue a call and return at once. `on_done` runs in the client's task; it must not raise or block.

        Raises InvalidArgument, TooLarge, Overloaded or ConnectionLost; then nothing was sent.
        """
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))
        connection = self._connection
        if connection.unsent_bytes > self._limits.unsent_bytes_max:
            raise Overloaded(f"{connection.unsent_bytes} bytes of calls wait to be sent")
        method = self._interface.by_name[name]
        params = method.params.new_message()
        if build is not None:
            try:
                build(params)
            except CapnpError as error:
                raise InvalidArgument(f"{name}: a parameter doesn't fit the schema") from error
        segments = params.to_segments()
        size, size_max = sum(map(len, segments)), self._limits.content_size_max
        if size > size_max:
            raise TooLarge(f"{name}: parameters of {size} bytes are above the limit of {size_max}")
        question = connection.ask(method, segments, on_done)
        self._wake()
        return question

    def cancel(self, question: Question) -> None:
        """Nobody waits for this call any more; `on_done` isn't called."""
        self._connection.cancel(question)

    async def run(self) -> None:
        """Drive the connection until it is over; closes the stream. Fails what is in flight with ConnectionLost."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                await self._read()
                tasks.cancel_scope.cancel()
        finally:
            self._lose("the connection was closed")
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                with suppress(*STREAM_ERRORS):
                    await self._stream.aclose()

    def _wake(self) -> None:
        self._wanted.set()

    async def _write(self) -> None:
        connection = self._connection
        while True:
            if not connection.unsent_bytes:
                self._wanted = anyio.Event()
                await self._wanted.wait()
                continue
            try:
                await self._stream.send_all(connection.data_to_send())
            except STREAM_ERRORS:
                # The reader finds the end, or an Abort that says why.
                return

    async def _read(self) -> None:
        connection, stream, read_size = self._connection, self._stream, self._limits.read_size
        while True:
            try:
                data = await stream.receive_some(read_size)
            except STREAM_ERRORS:
                data = b""
            if data:
                connection.receive_data(data)
            else:
                connection.receive_end()
            while (event := connection.next_event()) is not None:
                if type(event) is Answered:
                    self._on_answered(event)
                elif type(event) is Ended:
                    self._lose(event.fault.reason)
            if self._lost is not None:
                return
            if connection.unsent_bytes:
                self._wake()

    def _on_answered(self, event: Answered) -> None:
        question = event.question
        if question.method is None:
            if event.fault is not None:
                self._lose(f"no bootstrap capability: {event.fault.reason}")
            return
        on_done: OnDone = question.handle
        if event.content is None:
            assert event.fault is not None
            on_done(None, error_from_exception(event.fault.kind, event.fault.reason))
            return
        try:
            results = event.content.as_struct(question.method.results)
        except CapnpError:
            on_done(None, ConnectionLost("the answer isn't valid Cap'n Proto"))
            return
        on_done(results, None)

    def _lose(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = ConnectionLost(reason)
        for question in self._connection.fail_questions():
            if question.method is not None:
                question.handle(None, ConnectionLost(reason))


@asynccontextmanager
async def open_client(
    stream: ByteStream, interface: Interface, limits: RpcLimits | None = None
) -> AsyncIterator[RpcClient]:
    """A client over `stream`, for the time of the block; an error of the block comes out as it is, in no group."""
    client = RpcClient(stream, interface, limits)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        try:
            yield client
        except Exception as error:
            failure = error
        finally:
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
