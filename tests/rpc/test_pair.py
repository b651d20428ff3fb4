"""Two connections against each other and a model: every question gets the one answer that was given to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vdb.rpc.connection import Answered, CallArrived, CallCanceled, Connection
from vdb.rpc.interface import Capability, Interface
from vdb.rpc.limits import RpcLimits
from vdb.rpc.message import Fault, FaultKind
from vdb.rpc.questions import Question
from vdb.wire.schema import verity

INTERFACE = Interface.of(verity.VerityDb)
METHOD = INTERFACE.by_name["openSession"]
CALLS_IN_FLIGHT_MAX = 5


class Asked(NamedTuple):
    number: int
    question: Question


class ConnectionPair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        limits = RpcLimits(calls_in_flight_max=CALLS_IN_FLIGHT_MAX)
        self.server = Connection(limits=limits, bootstrap=Capability(INTERFACE, lambda _call: None))
        self.client = Connection(limits=limits)
        self.client.ask_bootstrap()
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.asked: dict[int, Asked] = {}
        self.arrived: dict[int, Any] = {}
        self.arrivals: list[int] = []
        self.given: dict[int, int | str] = {}
        self.received: dict[int, int | str] = {}
        self.canceled: list[int] = []

    @rule(size=st.integers(0, 3000))
    def ask(self, size: int) -> None:
        number = len(self.asked)
        params = METHOD.params.new_message(num_first_segment_words=4 if size % 2 else 1024)
        params.client = number.to_bytes(4, "big") + bytes(size)
        self.asked[number] = Asked(number, self.client.ask(METHOD, params.to_segments(), number))

    @rule(size=st.integers(1, 4000))
    def deliver_to_server(self, size: int) -> None:
        self.to_server += self.client.data_to_send()
        data, self.to_server = self.to_server[:size], self.to_server[size:]
        self.server.receive_data(data)
        self._pump_server()

    def _pump_server(self) -> None:
        while (event := self.server.next_event()) is not None:
            assert isinstance(event, CallArrived | CallCanceled), event
            number = int.from_bytes(event.answer.content.as_struct(METHOD.params).client[:4], "big")
            if isinstance(event, CallArrived):
                assert number not in self.arrived
                self.arrived[number] = event.answer
                self.arrivals.append(number)
            else:
                assert number in self.canceled

    @rule(size=st.integers(1, 4000))
    def deliver_to_client(self, size: int) -> None:
        self.to_client += self.server.data_to_send()
        data, self.to_client = self.to_client[:size], self.to_client[size:]
        self.client.receive_data(data)
        while (event := self.client.next_event()) is not None:
            assert isinstance(event, Answered), event
            number = event.question.handle
            if number is None:
                continue
            assert number not in self.received
            assert number not in self.canceled
            if event.fault is not None:
                self.received[number] = event.fault.reason
            else:
                assert event.content is not None
                self.received[number] = event.content.as_struct(METHOD.results).session

    @precondition(lambda self: self.arrived)
    @rule(data=st.data(), session=st.integers(0, 2**64 - 1), fails=st.booleans())
    def answer(self, data: st.DataObject, session: int, fails: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.arrived)))
        answer = self.arrived.pop(number)
        if fails:
            self.given[number] = f"no {session}"
            self.server.return_fault(answer, Fault(FaultKind.FAILED, f"no {session}"))
        else:
            self.given[number] = session
            results = METHOD.results.new_message()
            results.session = session
            self.server.return_results(answer, results.to_segments())
        self._pump_server()

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.asked)))
        if number not in self.received and number not in self.canceled:
            self.canceled.append(number)
            self.client.cancel(self.asked[number].question)

    @invariant()
    def calls_arrive_in_order(self) -> None:
        assert self.arrivals == sorted(self.arrivals)

    @invariant()
    def answers_are_those_given(self) -> None:
        for number, value in self.received.items():
            assert self.given[number] == value

    @invariant()
    def bounds_hold(self) -> None:
        assert self.server.calls_in_flight == len(self.arrived) <= CALLS_IN_FLIGHT_MAX
        assert self.server.ended is None
        assert self.client.ended is None

    def teardown(self) -> None:
        """With everything delivered and answered, nothing is left on either side."""
        for _ in range(4 * len(self.asked) + 4):
            for number in sorted(self.arrived):
                answer = self.arrived.pop(number)
                self.given[number] = 0
                self.server.return_results(answer, METHOD.results.new_message().to_segments())
            self.deliver_to_server(1 << 30)
            self.deliver_to_client(1 << 30)
        assert sorted([*self.received, *self.canceled]) == sorted(self.asked)
        assert not self.client.questions.rows
        assert not self.server.answers.rows
        assert self.server.calls_in_flight == 0
        assert len(self.server.exports) == 1


TestConnectionPair = ConnectionPair.TestCase
TestConnectionPair.settings = settings(max_examples=40, stateful_step_count=40)
