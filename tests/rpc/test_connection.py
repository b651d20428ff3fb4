"""Every message in every state of a connection, through the bytes that a peer would send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vdb.rpc import connection as connection_module
from vdb.rpc import encode, message
from vdb.rpc.answers import AnswerState
from vdb.rpc.connection import Connection
from vdb.rpc.interface import Capability, Interface
from vdb.rpc.limits import RpcLimits
from vdb.rpc.message import Fault, FaultKind
from vdb.wire.framing import encode_frame
from vdb.wire.schema import rpc

FAULT = Fault(FaultKind.FAILED, "no")


@pytest.fixture
def peer(make_peer: Callable[..., Any]) -> Any:
    made = make_peer()
    made.feed(encode.bootstrap(0))
    (answer,) = made.sent()
    assert getattr(answer, "return").results.capTable[0].senderHosted == 0
    return made


@pytest.fixture
def call(interface: Interface) -> Callable[..., bytes]:
    """A call as other libraries make it: with pipelining allowed, on an export or a promised answer."""

    def build(
        question: int, name: str = "empty", target: int | tuple[int, tuple[int, ...]] = 0, **changes: Any
    ) -> bytes:
        method = interface.by_name[name]
        built = rpc.Message.new_message()
        made = built.init("call")
        made.questionId = question
        made.interfaceId = changes.get("interface_id", method.interface_id)
        made.methodId = changes.get("method_id", method.method_id)
        if isinstance(target, int):
            made.target.importedCap = target
        else:
            promised = made.target.init("promisedAnswer")
            promised.questionId = target[0]
            ops = promised.init("transform", len(target[1]) + 1)
            ops[0].noop = None
            for at, pointer_field in enumerate(target[1]):
                ops[at + 1].getPointerField = pointer_field
        made.params.content.as_struct(method.params.schema)
        if changes.get("yourself"):
            made.sendResultsTo.yourself = None
        return bytes(built.to_bytes())

    return build


def results(answer: Any) -> list[bytes]:
    return answer.method.results.new_message().to_segments()


def kinds(messages: list[Any]) -> list[str]:
    return [
        str(getattr(sent, "return").which()) if str(sent.which()) == "return" else str(sent.which())
        for sent in messages
    ]


def ended_with(peer: Any, reason: str) -> None:
    assert peer.ended is not None
    assert peer.ended.fault.reason == reason
    (abort,) = peer.sent()
    assert abort.abort.reason == reason


def test_every_kind_of_message_has_a_handler() -> None:
    assert set(connection_module._HANDLERS) == set(message.Message.__args__)


def test_a_call_is_delivered_answered_and_forgotten(peer: Any, call: Any) -> None:
    peer.feed(call(1))
    (answer,) = peer.arrived
    assert (answer.method.name, answer.target, peer.connection.calls_in_flight) == ("empty", peer.root, 1)
    peer.connection.return_results(answer, results(answer))
    assert kinds(peer.sent()) == ["results"]
    assert answer.state is AnswerState.RETURNED
    peer.feed(encode.finish(1, release_capabilities=True))
    assert answer.state is AnswerState.GONE
    assert peer.connection.calls_in_flight == 0
    peer.feed(call(1))
    assert len(peer.arrived) == 2


def test_a_caller_that_does_not_pipeline_needs_no_finish(peer: Any, interface: Interface) -> None:
    method = interface.by_name["empty"]
    peer.feed(encode.call(1, 0, method, method.params.new_message().to_segments()))
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]))
    (sent,) = peer.sent()
    assert getattr(sent, "return").noFinishNeeded
    assert list(peer.connection.answers.rows) == [0]
    peer.feed(encode.finish(1, release_capabilities=True))
    assert peer.ended is None


def test_answers_in_any_order(peer: Any, call: Any) -> None:
    peer.feed(call(1) + call(2) + call(3))
    for at in (2, 0, 1):
        peer.connection.return_results(peer.arrived[at], results(peer.arrived[at]))
    assert [getattr(sent, "return").answerId for sent in peer.sent()] == [3, 1, 2]


def test_finish_before_return_cancels(peer: Any, call: Any) -> None:
    peer.feed(call(1) + encode.finish(1, release_capabilities=True))
    assert peer.canceled == peer.arrived
    assert kinds(peer.sent()) == ["canceled"]
    assert peer.connection.calls_in_flight == 1, "its work goes on"
    peer.connection.return_fault(peer.arrived[0], FAULT)
    assert peer.connection.calls_in_flight == 0
    assert peer.sent() == []


def test_pipelined_call_waits_for_its_capability(peer: Any, call: Any) -> None:
    peer.feed(call(1, "child") + call(2, "label", (1, (1,))) + call(3, "label", (1, (1,))))
    assert len(peer.arrived) == 1
    child = Capability(peer.root.interface, lambda _call: None)
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]), {(1,): child})
    peer.pump()
    assert [(answer.question, answer.target) for answer in peer.arrived[1:]] == [(2, child), (3, child)]
    (sent,) = peer.sent()
    export = getattr(sent, "return").results.capTable[0].senderHosted
    assert export == 1
    peer.feed(call(4, "label", (1, (1,))) + call(5, "label", export))
    assert [answer.target for answer in peer.arrived[3:]] == [child, child]
    peer.feed(encode.finish(1, release_capabilities=False))
    assert peer.connection.exports.references(export) == 1
    peer.feed(encode.release(export, 1))
    assert len(peer.connection.exports) == 1


def test_pipelined_call_on_a_bootstrap_answer(peer: Any, call: Any) -> None:
    peer.feed(call(1, "empty", (0, ())))
    assert peer.arrived[0].target is peer.root


def test_pipelined_calls_share_the_fate_of_what_they_wait_for(peer: Any, call: Any) -> None:
    chain = b"".join(call(question, "label", (question - 1, (1,))) for question in range(2, 300))
    peer.feed(call(1, "child") + chain)
    peer.connection.return_fault(peer.arrived[0], FAULT)
    peer.pump()
    sent = peer.sent()
    assert kinds(sent) == ["exception"] * 299
    assert {getattr(each, "return").exception.reason for each in sent} == {"no"}
    assert peer.connection.calls_in_flight == 0
    peer.feed(call(400, "label", (1, (1,))))
    assert getattr(peer.sent()[0], "return").exception.reason == "no"


def test_pipelined_call_where_no_capability_is(peer: Any, call: Any) -> None:
    peer.feed(call(1) + call(2, "label", (1, (0,))) + call(3, "label", (2, (0,))))
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]))
    sent = peer.sent()
    assert kinds(sent) == ["results", "exception", "exception"]
    assert getattr(sent[1], "return").exception.reason == "the answer holds no capability there"
    assert peer.connection.calls_in_flight == 0


def test_finish_of_a_call_that_others_wait_for_lets_it_run(peer: Any, call: Any) -> None:
    peer.feed(call(1, "child") + call(2, "label", (1, (1,))) + encode.finish(1, release_capabilities=True))
    assert peer.canceled == []
    child = Capability(peer.root.interface, lambda _call: None)
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]), {(1,): child})
    peer.pump()
    assert kinds(peer.sent()) == ["canceled"]
    assert peer.arrived[1].target is child
    assert len(peer.connection.exports) == 1


def test_finish_of_a_queued_call_takes_it_out(peer: Any, call: Any) -> None:
    peer.feed(call(1, "child") + call(2, "label", (1, (1,))) + encode.finish(2, release_capabilities=True))
    assert kinds(peer.sent()) == ["canceled"]
    assert peer.connection.calls_in_flight == 1
    assert peer.arrived[0].waiting == []
    peer.feed(encode.finish(1, release_capabilities=True))
    assert peer.canceled == peer.arrived


def test_finish_of_a_queued_call_that_must_be_delivered_first(peer: Any, call: Any) -> None:
    finish = rpc.Message.new_message()
    finish.init("finish").questionId = 2
    peer.feed(call(1, "child") + call(2, "label", (1, (1,))) + finish.to_bytes())
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]), {(1,): peer.root})
    peer.pump()
    assert peer.arrived[1].question == 2
    peer.connection.return_results(peer.arrived[1], results(peer.arrived[1]))
    assert kinds(peer.sent()) == ["results", "canceled"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"interface_id": 5}, "the interface 0x5 isn't implemented here"),
        ({"method_id": 99}, None),
        ({"yourself": True}, "results go to the caller only"),
    ],
)
def test_calls_that_cannot_be_delivered(peer: Any, call: Any, changes: dict[str, Any], reason: str | None) -> None:
    peer.feed(call(1, **changes))
    (sent,) = peer.sent()
    exception = getattr(sent, "return").exception
    assert str(exception.type) == "unimplemented"
    assert reason is None or exception.reason == reason
    assert peer.connection.calls_in_flight == 0
    assert peer.arrived == []


def test_protocol_errors_abort(make_peer: Any, call: Any, interface: Interface) -> None:
    cases = [
        (encode.bootstrap(1) + encode.bootstrap(1), "the question 1 is already in use"),
        (call(1, "empty", 7), "the target 7 isn't a current export"),
        (call(1, "empty", (9, ())), "the question 9 of a promised answer isn't current"),
        (call(1, "empty", (1, ())), "the question 1 is a call on its own answer"),
        (encode.release(4, 1), "a release of 1 references to the export 4, of which 0 are held"),
        (encode.canceled(3), "a Return for the question 3, which wasn't asked"),
        (encode_frame([b"\xff" * 32]), "a message that can't be read"),
    ]
    for frames, reason in cases:
        peer = make_peer()
        peer.feed(frames)
        assert peer.ended is not None
        assert peer.ended.fault.reason.startswith(reason)
        assert not peer.ended.by_peer
        assert peer.sent()[-1].abort.reason == peer.ended.fault.reason
        peer.feed(encode.bootstrap(0))
        assert peer.sent() == []


def test_the_peers_abort_ends_it_silently(peer: Any) -> None:
    peer.feed(encode.abort(FAULT))
    assert peer.ended.by_peer
    assert peer.ended.fault == Fault(FaultKind.DISCONNECTED, "the peer ended the connection: no")
    assert peer.sent() == []


def test_the_end_of_the_stream(peer: Any, call: Any) -> None:
    peer.feed(call(1)[:20])
    peer.connection.receive_end()
    peer.pump()
    assert peer.ended.fault.reason == "the connection was closed in the middle of a message"


def test_too_large_a_message(make_peer: Any) -> None:
    peer = make_peer(RpcLimits(message_size_max=4096))
    peer.feed(b"\0\0\0\0" + (513).to_bytes(4, "little"))
    ended_with(peer, "a message of 4104 bytes is above the limit of 4096")


def test_calls_in_flight_are_bounded(make_peer: Any, call: Any) -> None:
    peer = make_peer(RpcLimits(calls_in_flight_max=2))
    peer.feed(encode.bootstrap(0) + call(1) + call(2) + call(3))
    assert len(peer.arrived) == 2
    assert peer.connection.stalled
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]))
    peer.pump()
    assert len(peer.arrived) == 3


def test_unsent_bytes_are_bounded(make_peer: Any) -> None:
    peer = make_peer(RpcLimits(unsent_bytes_max=300))
    peer.feed(b"".join(encode.bootstrap(question) for question in range(100)))
    assert peer.connection.unsent_bytes < 600
    total = 0
    while messages := peer.sent():
        total += len(messages)
        peer.pump()
    assert total == 100


def test_unfinished_answers_are_bounded(make_peer: Any) -> None:
    peer = make_peer(RpcLimits(calls_in_flight_max=2, answers_max=3))
    peer.feed(b"".join(encode.bootstrap(question) for question in range(4)))
    assert peer.ended.fault.reason == "3 answers are unfinished"


def test_bytes_of_waiting_calls_are_bounded(make_peer: Any, call: Any) -> None:
    peer = make_peer(RpcLimits(message_size_max=4096, queued_bytes_max=4096))
    waiting = [call(question, "label", (1, (1,))) for question in range(2, 100)]
    peer.feed(encode.bootstrap(0) + call(1, "child") + b"".join(waiting))
    sent = peer.sent()[1:]
    assert {str(getattr(each, "return").exception.type) for each in sent} == {"overloaded"}
    assert len(sent) == 98 - 4096 // (len(waiting[0]) - 8)
    peer.feed(encode.finish(2, release_capabilities=True))
    peer.feed(call(2, "label", (1, (1,))))
    assert kinds(peer.sent()) == ["canceled"]
    peer.connection.return_fault(peer.arrived[0], FAULT)
    assert peer.connection.queued_bytes == 0
    assert peer.connection.calls_in_flight == 0


def test_exports_are_bounded(make_peer: Any, call: Any) -> None:
    peer = make_peer(RpcLimits(exports_max=1))
    peer.feed(encode.bootstrap(0) + call(1, "child"))
    child = Capability(peer.root.interface, lambda _call: None)
    peer.connection.return_results(peer.arrived[0], results(peer.arrived[0]), {(1,): child})
    peer.pump()
    assert peer.ended.fault.reason == "the peer holds 1 capabilities and releases none"


def test_resolve_gives_the_reference_back(peer: Any) -> None:
    resolve = rpc.Message.new_message()
    resolve.init("resolve").init("cap").senderHosted = 6
    peer.feed(resolve.to_bytes())
    (sent,) = peer.sent()
    assert (sent.release.id, sent.release.referenceCount) == (6, 1)


@pytest.mark.parametrize("member", ["disembargo", "provide", "accept", "join"])
def test_what_is_not_implemented_is_echoed(peer: Any, member: str) -> None:
    built = rpc.Message.new_message()
    built.init(member)
    peer.feed(built.to_bytes())
    (sent,) = peer.sent()
    assert str(sent.unimplemented.which()) == member
    assert peer.ended is None


def test_long_reasons_are_cut(peer: Any, call: Any) -> None:
    peer.feed(call(1))
    peer.connection.return_fault(peer.arrived[0], Fault(FaultKind.FAILED, "ü" * 4000))
    assert getattr(peer.sent()[0], "return").exception.reason == "ü" * 512


# --- the asking side ---


@pytest.fixture
def asking(interface: Interface) -> tuple[Connection, Any]:
    connection = Connection(limits=RpcLimits())
    connection.ask_bootstrap()
    method = interface.by_name["empty"]
    return connection, lambda: connection.ask(method, method.params.new_message().to_segments(), None)


def test_calls_before_the_bootstrap_are_pipelined(asking: Any, read: Any) -> None:
    connection, ask = asking
    ask()
    bootstrap, call = read(connection.data_to_send())
    assert call.call.target.promisedAnswer.questionId == bootstrap.bootstrap.questionId
    connection.receive_data(encode.results_with_capabilities(0, [(3).to_bytes(8, "little")], [5]))
    connection.next_event()
    ask()
    finish, call = read(connection.data_to_send())
    assert not finish.finish.releaseResultCaps
    assert call.call.target.importedCap == 5


def test_a_canceled_question_keeps_its_id_until_the_return(asking: Any, read: Any) -> None:
    connection, ask = asking
    question = ask()
    connection.cancel(question)
    connection.cancel(question)
    assert [str(sent.which()) for sent in read(connection.data_to_send())] == ["bootstrap", "call", "finish"]
    assert ask().number == 2
    connection.receive_data(encode.canceled(1))
    assert connection.next_event() is None
    assert ask().number == 1
    assert connection.ended is None


def test_an_echoed_call_fails(asking: Any, read: Any) -> None:
    connection, ask = asking
    ask()
    call = read(connection.data_to_send())[1]
    built = rpc.Message.new_message()
    built.unimplemented = call
    connection.receive_data(built.to_bytes())
    event = connection.next_event()
    assert event.fault == Fault(FaultKind.UNIMPLEMENTED, "the peer can't take calls")


def test_a_bootstrap_without_a_capability(asking: Any) -> None:
    connection, _ = asking
    connection.receive_data(encode.results(0, [bytes(8)]))
    event = connection.next_event()
    assert event.fault.reason == "the peer's bootstrap is null"


def test_a_side_without_a_bootstrap_says_so(asking: Any, read: Any) -> None:
    connection, _ = asking
    connection.data_to_send()
    connection.receive_data(encode.bootstrap(0))
    assert connection.next_event() is None
    (sent,) = read(connection.data_to_send())
    assert getattr(sent, "return").exception.reason == "there is no bootstrap capability here"
