"""The serving side: a trio driver around `Connection`, one per stream.

Rules
- `dispatch` is called synchronously for each call, in order; there is no task per call unless it starts one.
- Answers of one turn leave in one `send_all`. Whoever finds the stream idle sends: the reader after each batch of
  calls, else the writer task, which wakes for answers that come later (group commit). Never both at once.
- While either sends, nothing is read: a peer that doesn't take its answers is not asked for more calls.
- `serve` returns when the connection is over, whatever the peer sent; it raises only Cancelled. What `dispatch` or a
  task started by `start_soon` raises is answered, never propagated. Every call that still runs then is canceled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from vdb.errors import VerityError
from vdb.marks import mark
from vdb.rpc.answers import NO_CAPABILITIES, Answer
from vdb.rpc.connection import CallArrived, CallCanceled, Connection
from vdb.rpc.decode import RootedContent
from vdb.rpc.faults import INTERNAL, fault_from_dispatch, fault_from_error
from vdb.rpc.interface import Capability, Interface, Method
from vdb.rpc.limits import RpcLimits
from vdb.rpc.message import Fault, FaultKind, Path

LINGER_SECONDS = 1.0
"""How long the peer has to take the last bytes, an Abort as a rule, before the stream is closed."""

ErrorReport = Callable[[BaseException], None]


def _ignore(_error: BaseException) -> None:
    pass


class ReceiveBudget:
    """Bounds what unfinished messages of all connections together may hold; each alone is bounded by its limits.

    The connection that takes the sum above `bytes_max` is ended; its client connects again and sends again.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.used = 0

    def change(self, difference: int) -> bool:
        """Whether it still suffices."""
        self.used += difference
        assert self.used >= 0
        return self.used <= self.bytes_max


class IncomingCall:
    """One call, from its dispatch to its answer: exactly one `respond` or `fail`, at any time, also when canceled.

    `cancelled` turns true, and `on_cancel` is called once, when the peer no longer waits or the connection is over;
    then an answer is still due, to say that the work is done, but goes nowhere.
    """

    __slots__ = ("_answer", "_session", "answered", "cancelled", "method", "on_cancel")

    def __init__(self, session: _Session, answer: Answer) -> None:
        self._session = session
        self._answer = answer
        self.method: Method = answer.method
        self.cancelled = False
        self.answered = False
        self.on_cancel: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """The method's name in the schema."""
        return self.method.name

    @property
    def interface_id(self) -> int:
        return self.method.interface_id

    @property
    def method_id(self) -> int:
        return self.method.method_id

    @property
    def target(self) -> Capability:
        """What the call is on."""
        return self._answer.target

    @property
    def params(self) -> Any:
        """A reader of the parameters, to be taken during the dispatch; valid for as long as it is held.

        Costs 1 µs: keep it in a variable. Raises CapnpError when they are malformed.
        """
        content = self._answer.content
        assert content is not None, "parameters are taken during the dispatch"
        return content.as_struct(self.method.params)

    @property
    def params_segment(self) -> bytearray | None:
        """The parameters as a message of one segment, for who reads them by hand; None when they came otherwise."""
        content = self._answer.content
        if type(content) is not RootedContent or len(content.segments) != 1:
            return None
        return content.segments[0]

    def respond(
        self,
        build: Callable[[Any], object] | None = None,
        capabilities: Mapping[Path, Capability] = NO_CAPABILITIES,
    ) -> None:
        """Answer with what `build` fills into a results builder; None for results as they are by default.

        An error in `build` is answered and reported as an internal one.
        """
        assert not self.answered, "a call is answered once"
        if self.cancelled:
            self._answer_nobody()
            return
        try:
            results = self.method.results.new_message()
            if build is not None:
                build(results)
            segments = results.to_segments()
        except Exception as error:
            self._fail(error, INTERNAL)
            return
        self._respond(segments, capabilities)

    def respond_segment(self, segment: bytes) -> None:
        """`respond` with results that were laid by hand: a message of one segment, without capabilities."""
        assert not self.answered, "a call is answered once"
        if self.cancelled:
            self._answer_nobody()
            return
        self._respond((segment,), NO_CAPABILITIES)

    def _respond(self, segments: Sequence[bytes], capabilities: Mapping[Path, Capability]) -> None:
        size = len(segments[0]) if len(segments) == 1 else sum(map(len, segments))
        size_max = self._session.limits.content_size_max
        if size > size_max:
            # No refusal with a code: the call was executed.
            self.fail(VerityError(f"the answer of {size} bytes is above the limit of {size_max}: ask for less"))
            return
        self._set_answered()
        self._session.connection.return_results(self._answer, segments, capabilities)

    def fail(self, error: BaseException) -> None:
        """Answer with an exception: code and message of a DefiniteError, or as little as the error's kind allows."""
        self._fail(error, fault_from_error(error))

    def _fail(self, error: BaseException, fault: Fault) -> None:
        assert not self.answered, "a call is answered once"
        if fault is INTERNAL:
            self._session.report(error)
        self._set_answered()
        self._session.connection.return_fault(self._answer, fault)

    def _answer_nobody(self) -> None:
        self._set_answered()
        self._session.connection.return_results(self._answer, ())

    def _set_answered(self) -> None:
        self.answered = True
        # The answer outlives the call, and a cycle would wait for the garbage collector.
        self._answer.handle = None

    def start_soon(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run `async_fn(*args)` in a task of the connection's; it must answer the call, and is cancelled with it."""
        scope = trio.CancelScope()
        self.on_cancel = scope.cancel
        self._session.nursery.start_soon(self._run, scope, async_fn, args)

    async def _run(self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[None]], args: Any) -> None:
        try:
            with scope:
                await async_fn(*args)
        except Exception as error:
            if not self.answered:
                self.fail(error)
            else:
                self._session.report(error)
        if not self.answered:
            if self.cancelled:
                self._answer_nobody()
            else:
                self.fail(AssertionError(f"a task of {self.name} ended without an answer"))

    def _cancel(self) -> None:
        self.cancelled = True
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is not None:
            try:
                on_cancel()
            except Exception as error:
                self._session.report(error)


class _Session:
    """What one connection's reader, writer and calls share."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        bootstrap: Capability,
        limits: RpcLimits,
        report: ErrorReport,
        budget: ReceiveBudget | None,
    ) -> None:
        self.stream = stream
        self._budget = budget
        self._held = 0
        """What this connection has of the budget."""
        self.limits = limits
        self.report = report
        self.connection = Connection(limits=limits, bootstrap=bootstrap)
        self.connection.wake = self._on_wake
        self.nursery: trio.Nursery
        self._woken = trio.Event()
        self._resumed = trio.Event()
        self._reading = trio.CancelScope()
        self._busy = False
        """Somebody pumps or sends, and will see to whatever comes up meanwhile."""

    async def run(self) -> None:
        async with trio.open_nursery() as self.nursery:
            self.nursery.start_soon(self._write_late_answers)
            try:
                with self._reading:
                    await self._read()
            finally:
                # Whoever cancels from outside ends the connection as well: late answers go nowhere.
                self.connection.receive_end()
                self._cancel_calls()
                self._hold(0)
            await self._linger()
            self.nursery.cancel_scope.cancel()

    def _on_wake(self) -> None:
        if not self._busy:
            self._woken.set()

    async def _read(self) -> None:
        connection, stream, read_size = self.connection, self.stream, self.limits.read_size
        while connection.ended is None:
            if self._busy or connection.stalled:
                mark("rpc.stalled")
                self._resumed = trio.Event()
                await self._resumed.wait()
                continue
            try:
                data = await stream.receive_some(read_size)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if data:
                connection.receive_data(data)
            else:
                connection.receive_end()
            await self._pump_and_send()
            self._hold(connection.unread_bytes)

    def _hold(self, size: int) -> None:
        """Book what lies here unread. Less than one read's worth is everybody's right."""
        size = size if size > self.limits.read_size else 0
        if self._budget is None or size == self._held:
            return
        grown, difference = size > self._held, size - self._held
        self._held = size
        if not self._budget.change(difference) and grown:
            mark("rpc.budget_spent")
            self.connection.abort(
                Fault(FaultKind.OVERLOADED, f"unfinished messages take more than {self._budget.bytes_max} bytes")
            )

    async def _write_late_answers(self) -> None:
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            await self._pump_and_send()
            if self.connection.ended is not None and not self._busy:
                self._reading.cancel()

    async def _pump_and_send(self) -> None:
        """Act on all events that are due, and send all that is queued, unless another task is at it."""
        if self._busy:
            return
        self._busy = True
        connection = self.connection
        try:
            self._pump()
            while connection.unsent_bytes:
                await self.stream.send_all(connection.data_to_send())
                self._pump()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            connection.data_to_send()
            connection.receive_end()
        finally:
            self._busy = False
        if connection.ended is not None or not connection.stalled:
            self._resumed.set()

    def _pump(self) -> None:
        connection = self.connection
        while (event := connection.next_event()) is not None:
            if type(event) is CallArrived:
                self._dispatch(event.answer)
            elif type(event) is CallCanceled:
                event.answer.handle._cancel()

    def _dispatch(self, answer: Answer) -> None:
        call = answer.handle = IncomingCall(self, answer)
        try:
            answer.target.dispatch(call)
        except Exception as error:
            if call.answered:
                self.report(error)
            else:
                call._fail(error, fault_from_dispatch(error))
        answer.content = None

    def _cancel_calls(self) -> None:
        for answer in list(self.connection.answers.rows.values()):
            call = answer.handle
            if call is not None and not call.cancelled:
                call._cancel()

    async def _linger(self) -> None:
        """Give a peer that was told why a moment to read it: closing over unread bytes would reset the connection."""
        ended = self.connection.ended
        if ended is None or ended.by_peer:
            return
        with trio.move_on_after(LINGER_SECONDS):
            try:
                if self.connection.unsent_bytes:
                    await self.stream.send_all(self.connection.data_to_send())
                send_eof = getattr(self.stream, "send_eof", None)
                if send_eof is not None:
                    await send_eof()
                    while await self.stream.receive_some(self.limits.read_size):
                        pass
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                return


async def serve(
    stream: trio.abc.Stream,
    *,
    dispatch: Callable[[IncomingCall], None],
    interface: Interface,
    limits: RpcLimits | None = None,
    report: ErrorReport = _ignore,
    budget: ReceiveBudget | None = None,
) -> None:
    """Serve one connection until it ends, and close the stream.

    `report` gets what was answered with "internal error": unexpected errors, assertions among them. It must not raise.
    """
    session = _Session(stream, Capability(interface, dispatch), limits or RpcLimits(), report, budget)
    try:
        await session.run()
    finally:
        await trio.aclose_forcefully(stream)
