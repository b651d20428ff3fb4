"""Cap'n Proto RPC to a VerityDB node: `publish` and `read`, without a session, and `status`."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.cluster.link import PAYLOAD
from vdb.rpc import encode
from vdb.rpc.decode import decode
from vdb.rpc.interface import Interface, Method
from vdb.rpc.message import Abort, Failure, Results
from vdb.wire.framing import WORD, FrameSplitter
from vdb.wire.schema import verity

TENANT = 1
MESSAGE_SIZE_MAX = 64 << 20
_BOOTSTRAP = 0
_QUESTION_AT = 32
_TARGET_AT = 80
"""Where a frame of `encode.call` has the question's number and what is called; the rest is as it was built."""
_PARAMETER_WORDS = 128
"""Ample for all parameters but the payloads."""


class CapnpLink:
    """Parameters of an append are built once for each number of events, in one segment."""

    def __init__(self, stream: str) -> None:
        self.refusal = ""
        self._stream = stream
        methods = Interface.of(verity.VerityDb).by_name
        self._publish, self._read, self._status = methods["publish"], methods["read"], methods["status"]
        self._splitter = FrameSplitter(size_max=MESSAGE_SIZE_MAX, segments_max=512)
        self._outgoing: list[bytes] = [encode.bootstrap(_BOOTSTRAP)]
        self._target: int | None = None
        self._waiting: list[bytearray] = []
        """Calls from before the bootstrap capability came."""
        self._question = _BOOTSTRAP
        self._appends: dict[int, bytearray] = {}
        """Events of a call: its frame."""
        self._reads: dict[int, int] = {}
        """Question: the offset that its answer must lead to."""
        self._status_question = 0
        self.status: Any = None
        """A reader of the answer to `ask_status`, once it came."""

    def ask_append(self, events: int) -> None:
        frame = self._appends.get(events)
        if frame is None:
            words = _PARAMETER_WORDS + events * (len(PAYLOAD) // WORD + 1)
            params = self._publish.params.new_message(
                words, tenant=TENANT, stream=self._stream, payloads=[PAYLOAD] * events
            )
            frame = self._appends[events] = _frame(self._publish, params)
        self._call(frame)

    def ask_read(self, first: int, events: int) -> None:
        params = self._read.params.new_message(tenant=TENANT, stream=self._stream, fromOffset=first, maxEvents=events)
        question = self._call(_frame(self._read, params))
        self._reads[question] = first + events

    def ask_status(self) -> None:
        self._status_question = self._call(_frame(self._status, self._status.params.new_message()))

    def _call(self, frame: bytearray) -> int:
        self._question += 1
        frame[_QUESTION_AT : _QUESTION_AT + 4] = self._question.to_bytes(4, "little")
        if self._target is None:
            self._waiting.append(frame[:])
        else:
            frame[_TARGET_AT : _TARGET_AT + 4] = self._target.to_bytes(4, "little")
            self._outgoing.append(bytes(frame))
        return self._question

    def data_to_send(self) -> bytes:
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> int:
        finished = 0
        self._splitter.feed(data)
        while (segments := self._splitter.next_frame()) is not None:
            match decode(segments):
                case Results(question=question) as results:
                    if question == _BOOTSTRAP:
                        self._start(results)
                        continue
                    self._finish(question, results.no_finish)
                    finished += self._is_whole(question, results)
                case Failure(question=question, fault=fault, no_finish=no_finish):
                    self._finish(question, no_finish)
                    self._reads.pop(question, None)
                    self.refusal = fault.reason
                case Abort(fault=fault):
                    raise ValueError(f"the node gave up the connection: {fault.reason}")
        return finished

    def _start(self, results: Results) -> None:
        (self._target,) = results.capabilities
        self._finish(_BOOTSTRAP, results.no_finish)
        for frame in self._waiting:
            frame[_TARGET_AT : _TARGET_AT + 4] = self._target.to_bytes(4, "little")
            self._outgoing.append(bytes(frame))
        self._waiting.clear()

    def _finish(self, question: int, no_finish: bool) -> None:
        if not no_finish:
            self._outgoing.append(encode.finish(question, release_capabilities=False))

    def _is_whole(self, question: int, results: Results) -> bool:
        if question == self._status_question:
            self.status = results.content.as_struct(self._status.results)
        expected = self._reads.pop(question, None)
        if expected is None:
            return True
        read = results.content.as_struct(self._read.results)
        if read.nextOffset != expected:
            raise ValueError(f"read up to {read.nextOffset} where {expected} was expected")
        return True


def _frame(method: Method, params: Any) -> bytearray:
    (segment,) = params.to_segments()
    return bytearray(encode.call(0, 0, method, [bytes(segment)]))
