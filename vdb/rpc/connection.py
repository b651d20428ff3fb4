"""One Cap'n Proto RPC connection (two parties, level 1) as a state machine without IO.

Bytes go in by `receive_data`, events come out by `next_event`, bytes to send by `data_to_send`; the driver does the
rest. Both roles are in one class: whoever has a `bootstrap` capability is called on it, and either side may ask.

Rules
- Total: any message in any state has a defined result (`_HANDLERS` and the tables of `answers` and `questions`). What
  breaks the protocol ends the connection with an Abort; what this side doesn't implement is echoed as Unimplemented.
- A message is parsed only when `next_event` asks for it, so a driver that stops asking stops taking calls.
- Calls are delivered in the order of their arrival per target; a call on a promised answer waits for it.
- Capabilities in parameters are not taken: each Return releases them (releaseParamCaps). None of our exports is ever a
  promise or leads back to the peer, so Resolve and Disembargo are never sent, a Disembargo is echoed, and of a Resolve
  only the reference that it introduces is given back.
- After the end nothing is parsed and nothing but what was queued (the Abort at last) is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from vdb.errors import WireError
from vdb.marks import mark
from vdb.ports import Buffer
from vdb.rpc import encode
from vdb.rpc.answers import NO_CAPABILITIES, Answer, AnswerState, AnswerTable
from vdb.rpc.decode import decode
from vdb.rpc.exports import ExportTable
from vdb.rpc.interface import Capability, Method
from vdb.rpc.layout import U64, capability_pointer, write_capability
from vdb.rpc.limits import RpcLimits
from vdb.rpc.message import (
    Abort,
    Bootstrap,
    Call,
    Content,
    Failure,
    Fault,
    FaultKind,
    Finish,
    Path,
    PromisedAnswer,
    Release,
    Resolve,
    Results,
    Unimplemented,
    Unknown,
)
from vdb.rpc.questions import Question, QuestionState, QuestionTable
from vdb.wire.framing import FrameSplitter
from vdb.wire.schema import CapnpError

# The members as plain names: Python 3.11 looks a member up in its enum in 130 ns, and a call needs six.
_QUEUED: Final = AnswerState.QUEUED
_RUNNING: Final = AnswerState.RUNNING
_RETURNED: Final = AnswerState.RETURNED
_GONE: Final = AnswerState.GONE


class CallArrived(NamedTuple):
    """To be dispatched now; one `return_results` or `return_fault` must follow, some time, also if it is canceled."""

    answer: Answer


class CallCanceled(NamedTuple):
    """The peer no longer waits for a call that is still running; its Return is already on its way."""

    answer: Answer


class Answered(NamedTuple):
    """A question of ours: either `content` or `fault`."""

    question: Question
    content: Content | None
    fault: Fault | None


class Ended(NamedTuple):
    """The last event. `fault` says why: DISCONNECTED when the peer left, FAILED when one side broke the protocol."""

    fault: Fault
    by_peer: bool


Event = CallArrived | CallCanceled | Answered | Ended

CANCELED = Fault(FaultKind.FAILED, "the call was canceled")


def _nothing() -> None:
    pass


class Connection:
    def __init__(self, *, limits: RpcLimits, bootstrap: Capability | None = None) -> None:
        self.limits = limits
        self.bootstrap = bootstrap
        self.answers = AnswerTable(limits.answers_max)
        self.exports = ExportTable(limits.exports_max)
        self.questions = QuestionTable()
        self.calls_in_flight = 0
        """Delivered or queued calls without a result, canceled ones included: their work goes on."""
        self.queued_bytes = 0
        """Of calls that wait for an earlier answer."""
        self.unsent_bytes = 0
        self.ended: Ended | None = None
        self.wake: Callable[[], None] = _nothing
        """Called when there is something to send, or a new event, that no `next_event` has led to."""
        self._splitter = FrameSplitter(size_max=limits.message_size_max, segments_max=limits.segments_max)
        self._outgoing: list[bytes] = []
        self._events: deque[Event] = deque()
        self._bootstrap_question: Question | None = None
        self._imported: int | None = None

    # --- the driver's side: bytes and events ---

    @property
    def stalled(self) -> bool:
        """No further message is taken until calls are answered or bytes are sent.

        A side that takes no calls never stalls: if both sides could wait for the other to read, both might for ever.
        """
        return self.bootstrap is not None and (
            self.calls_in_flight >= self.limits.calls_in_flight_max or self.unsent_bytes >= self.limits.unsent_bytes_max
        )

    @property
    def unread_bytes(self) -> int:
        """Received, and not yet taken as a message: the start of a long one, or what came while stalled."""
        return self._splitter.pending

    def receive_data(self, data: Buffer) -> None:
        """What came from the peer."""
        if self.ended is None:
            self._splitter.feed(data)

    def receive_end(self) -> None:
        """The peer sends no more. The next event but those already due is `Ended`."""
        if self.ended is None:
            inside = " in the middle of a message" if self._splitter.pending else ""
            self._end(Fault(FaultKind.DISCONNECTED, f"the connection was closed{inside}"), by_peer=True)

    def next_event(self) -> Event | None:
        """The next thing to act on; None when more bytes are needed, while stalled, or once the end was reported."""
        next_frame, events, limits = self._splitter.next_frame, self._events, self.limits
        takes_calls, calls_max, unsent_max = (
            self.bootstrap is not None,
            limits.calls_in_flight_max,
            limits.unsent_bytes_max,
        )
        while True:
            if events:
                return events.popleft()
            if self.ended is not None:
                return None
            if takes_calls and (self.calls_in_flight >= calls_max or self.unsent_bytes >= unsent_max):
                return None  # `stalled`, without the call
            try:
                segments = next_frame()
                if segments is None:
                    return None
                message = decode(segments)
                event: Event | None = _HANDLERS[type(message)](self, message)
            except WireError as error:
                mark("rpc.protocol_broken")
                self.abort(Fault(FaultKind.FAILED, str(error)))
                continue
            if event is not None:
                return event

    def data_to_send(self) -> bytes:
        """All that is to be sent, once; the driver sends it whole and in order."""
        outgoing, self._outgoing = self._outgoing, []
        self.unsent_bytes = 0
        return outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)

    def abort(self, fault: Fault) -> None:
        """End the connection and tell the peer why."""
        if self.ended is None:
            self._send(encode.abort(fault))
            self._end(fault, by_peer=False)

    def _end(self, fault: Fault, *, by_peer: bool) -> None:
        assert self.ended is None
        self.ended = Ended(fault, by_peer)
        self._events.append(self.ended)

    def _send(self, frame: bytes) -> None:
        self._outgoing.append(frame)
        self.unsent_bytes += len(frame)

    # --- answering ---

    def return_results(
        self,
        answer: Answer,
        segments: Sequence[bytes],
        capabilities: Mapping[Path, Capability] = NO_CAPABILITIES,
    ) -> None:
        """Answer a delivered call with results: a message of `answer.method.results`.

        `capabilities` are put where their paths lead in it; then it must have one segment.
        """
        if self._take_result(answer):
            if capabilities:
                content = bytearray(segments[0])
                assert len(segments) == 1, "results with capabilities have one segment"
                for index, path in enumerate(capabilities):
                    write_capability(content, path, index)
                self._send_capabilities(answer, [content], capabilities)
            else:
                self._send(encode.results(answer.question, segments, no_finish=answer.without_finish))
                if answer.without_finish:
                    self.answers.close(answer)
        if answer.waiting:
            self._deliver_waiting(answer, capabilities, None)
        self.wake()

    def return_fault(self, answer: Answer, fault: Fault) -> None:
        """Answer a delivered call with an exception."""
        if self._take_result(answer):
            self._send_fault(answer, fault)
        if answer.waiting:
            self._deliver_waiting(answer, NO_CAPABILITIES, fault)
        self.wake()

    def _take_result(self, answer: Answer) -> bool:
        """Book that a delivered call has its result; False when the peer no longer wants it."""
        self.calls_in_flight -= 1
        assert self.calls_in_flight >= 0
        if answer.state is _GONE or self.ended is not None:
            return False
        assert answer.state is _RUNNING, "a call is answered once"
        if answer.finished:
            self._send(encode.canceled(answer.question))
            self.answers.close(answer)
            return False
        answer.state = _RETURNED
        return True

    def _send_capabilities(
        self, answer: Answer, content: Sequence[bytearray], capabilities: Mapping[Path, Capability]
    ) -> None:
        answer.capabilities = dict(capabilities)
        try:
            answer.exports = tuple([self.exports.add(capability) for capability in capabilities.values()])
        except WireError as error:
            self.abort(Fault(FaultKind.OVERLOADED, str(error)))
            return
        self._send(encode.results_with_capabilities(answer.question, content, answer.exports))

    def _send_fault(self, answer: Answer, fault: Fault) -> None:
        answer.fault = Fault(fault.kind, _cut(fault.reason, self.limits.reason_size_max))
        self._send(encode.failure(answer.question, answer.fault, no_finish=answer.without_finish))
        if answer.without_finish:
            self.answers.close(answer)

    def _deliver_waiting(self, answer: Answer, capabilities: Mapping[Path, Capability], fault: Fault | None) -> None:
        """Deliver the calls that wait for this answer; those that can't be take the calls that wait for them along."""
        # A loop over a queue: a chain of waiting calls may be as long as the calls in flight, the stack may not.
        todo = deque((dependent, capabilities.get(path)) for dependent, path in answer.waiting or ())
        answer.waiting = None
        while todo and self.ended is None:
            dependent, target = todo.popleft()
            assert dependent.state is _QUEUED
            self._leave_queue(dependent)
            refusal = self._deliver(dependent, target, fault)
            if refusal is None:
                self._events.append(CallArrived(dependent))
                continue
            waiting, dependent.waiting = dependent.waiting, None
            self._refuse(dependent, refusal)
            fault = fault or refusal
            todo.extend((later, None) for later, _ in waiting or ())

    def _leave_queue(self, answer: Answer) -> None:
        answer.source = None
        self.queued_bytes -= answer.size
        assert self.queued_bytes >= 0

    def _deliver(self, answer: Answer, target: Capability | None, fault: Fault | None) -> Fault | None:
        """Hand a call to its target, which may turn out to be none; then return why."""
        if target is None:
            return fault or Fault(FaultKind.FAILED, "the answer holds no capability there")
        method = target.interface.by_id.get((answer.interface_id, answer.method_id))
        if method is None:
            return _no_method(target, answer)
        answer.state = _RUNNING
        answer.target = target
        answer.method = method
        return None

    def _refuse(self, answer: Answer, fault: Fault) -> None:
        """Answer a call that isn't delivered, and that no call waits for."""
        answer.state = _RUNNING
        if self._take_result(answer):
            self._send_fault(answer, fault)

    # --- asking ---

    def ask_bootstrap(self, handle: Any = None) -> Question:
        """Ask for the peer's bootstrap capability; calls needn't wait for it."""
        assert self._bootstrap_question is None, "one bootstrap a connection"
        question = self._bootstrap_question = self.questions.open(None, handle)
        self._send(encode.bootstrap(question.number))
        return question

    def ask(self, method: Method, segments: Sequence[bytes], handle: Any) -> Question:
        """Call the peer's bootstrap capability; `segments` are a message of `method.params`."""
        assert self.ended is None
        assert self._bootstrap_question is not None
        question = self.questions.open(method, handle)
        if self._imported is not None:
            frame = encode.call(question.number, self._imported, method, segments)
        else:
            frame = encode.pipelined_call(question.number, self._bootstrap_question.number, method, segments)
        self._send(frame)
        return question

    def cancel(self, question: Question) -> None:
        """Nobody waits for this answer any more. Harmless when it has come already."""
        if question.state is QuestionState.ASKED and self.ended is None:
            question.state = QuestionState.CANCELED
            self._send(encode.finish(question.number, release_capabilities=True))
            self.wake()

    def fail_questions(self) -> list[Question]:
        """The questions that were waited for when the connection was given up; none can be answered any more."""
        waiting = [row for row in self.questions.rows.values() if row.state is QuestionState.ASKED]
        for question in waiting:
            question.state = QuestionState.CANCELED
        return waiting

    # --- handlers, in the order of rpc.capnp ---

    def _on_unimplemented(self, message: Unimplemented) -> Event | None:
        mark("rpc.unimplemented_by_peer")
        if message.question is None:
            return None
        return self._answered(message.question, None, Fault(FaultKind.UNIMPLEMENTED, "the peer can't take calls"))

    def _on_abort(self, message: Abort) -> Event | None:
        fault = Fault(FaultKind.DISCONNECTED, _cut(f"the peer ended the connection: {message.fault.reason}", 4096))
        self._end(fault, by_peer=True)
        return None

    def _on_bootstrap(self, message: Bootstrap) -> Event | None:
        answer = Answer(message.question, _RETURNED)
        self.answers.open(answer)
        if self.bootstrap is None:
            self._send_fault(answer, Fault(FaultKind.FAILED, "there is no bootstrap capability here"))
        else:
            root = bytearray(U64.pack(capability_pointer(0)))
            self._send_capabilities(answer, [root], {(): self.bootstrap})
        return None

    def _on_call(self, message: Call) -> Event | None:
        answer = Answer(message.question, _QUEUED, message.interface_id, message.method_id)
        answer.content = message.content
        answer.without_finish = message.no_pipelining
        self.answers.open(answer)
        self.calls_in_flight += 1
        if not message.to_caller:
            self._refuse(answer, Fault(FaultKind.UNIMPLEMENTED, "results go to the caller only"))
            return None
        target = message.target
        if type(target) is int:
            # As `_arrived`: nearly all calls come through here.
            exported = self.exports.get(target)
            method = exported.interface.by_id.get((answer.interface_id, answer.method_id))
            if method is None:
                self._refuse(answer, _no_method(exported, answer))
                return None
            answer.state, answer.target, answer.method = _RUNNING, exported, method
            return CallArrived(answer)
        assert isinstance(target, PromisedAnswer)
        source = self.answers.get(target.question)
        if source is answer:
            raise WireError(f"the question {answer.question} is a call on its own answer")
        if source.state is _RETURNED:
            return self._arrived(answer, source.capabilities.get(target.path), source.fault)
        if self.queued_bytes + self._splitter.frame_size > self.limits.queued_bytes_max:
            self._refuse(answer, Fault(FaultKind.OVERLOADED, "too many bytes wait for an earlier answer"))
            return None
        answer.source = source
        answer.size = self._splitter.frame_size
        self.queued_bytes += answer.size
        if source.waiting is None:
            source.waiting = []
        source.waiting.append((answer, target.path))
        return None

    def _arrived(self, answer: Answer, target: Capability | None, fault: Fault | None) -> Event | None:
        refusal = self._deliver(answer, target, fault)
        if refusal is None:
            return CallArrived(answer)
        self._refuse(answer, refusal)
        return None

    def _on_results(self, message: Results) -> Event | None:
        question = self.questions.rows.get(message.question)
        if question is not None and question is self._bootstrap_question:
            if not message.capabilities:
                return self._answered(message.question, None, Fault(FaultKind.FAILED, "the peer's bootstrap is null"))
            self._imported = message.capabilities[0]
        return self._answered(message.question, message.content, None, no_finish=message.no_finish)

    def _on_failure(self, message: Failure) -> Event | None:
        return self._answered(message.question, None, message.fault, no_finish=message.no_finish)

    def _answered(
        self, number: int, content: Content | None, fault: Fault | None, *, no_finish: bool = False
    ) -> Event | None:
        question = self.questions.close(number)
        waited_for = question.state is QuestionState.ASKED
        question.state = QuestionState.GONE
        if not waited_for:
            return None
        if not no_finish:
            keep = question is self._bootstrap_question
            self._send(encode.finish(number, release_capabilities=not keep))
        return Answered(question, content, fault)

    def _on_finish(self, message: Finish) -> Event | None:
        answer = self.answers.rows.get(message.question)
        if answer is None or answer.finished:
            return None
        if answer.state is _RETURNED:
            self.answers.close(answer)
            if message.release_capabilities:
                for export in answer.exports:
                    self.exports.release(export, 1)
            return None
        queued = answer.state is _QUEUED
        if answer.waiting or (queued and message.deliver_first):
            answer.finished = True
            return None
        mark("rpc.call_canceled")
        self._send(encode.canceled(answer.question))
        self.answers.close(answer)
        if queued:
            self.calls_in_flight -= 1
            assert answer.source is not None
            answer.source.forget_waiting(answer)
            self._leave_queue(answer)
            return None
        return CallCanceled(answer)

    def _on_resolve(self, message: Resolve) -> Event | None:
        if message.introduced is not None:
            self._send(encode.release(message.introduced, 1))
        return None

    def _on_release(self, message: Release) -> Event | None:
        self.exports.release(message.export, message.references)
        return None

    def _on_unknown(self, message: Unknown) -> Event | None:
        mark("rpc.unimplemented_here")
        try:
            self._send(encode.unimplemented(message.segments))
        except CapnpError:
            raise WireError("a message of an unknown kind that can't be read") from None
        return None


def _no_method(target: Capability, answer: Answer) -> Fault:
    if answer.interface_id in target.interface.interface_ids:
        reason = f"the interface {answer.interface_id:#x} has no method {answer.method_id}"
    else:
        reason = f"the interface {answer.interface_id:#x} isn't implemented here"
    return Fault(FaultKind.UNIMPLEMENTED, reason)


def _cut(text: str, size_max: int) -> str:
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= size_max else encoded[:size_max].decode("utf-8", "ignore")


_HANDLERS: dict[type[Any], Callable[[Connection, Any], Event | None]] = {
    Unimplemented: Connection._on_unimplemented,
    Abort: Connection._on_abort,
    Bootstrap: Connection._on_bootstrap,
    Call: Connection._on_call,
    Results: Connection._on_results,
    Failure: Connection._on_failure,
    Finish: Connection._on_finish,
    Resolve: Connection._on_resolve,
    Release: Connection._on_release,
    Unknown: Connection._on_unknown,
}
