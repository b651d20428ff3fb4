"""What `encode` lays by hand, pycapnp reads; what `decode` reads by hand, it reads as it would through pycapnp."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.rpc import decode as decode_module
from vdb.rpc import encode
from vdb.rpc.decode import decode
from vdb.rpc.interface import Interface
from vdb.rpc.layout import reroot, target_of
from vdb.rpc.message import (
    Abort,
    Bootstrap,
    Call,
    Failure,
    Fault,
    FaultKind,
    Finish,
    PromisedAnswer,
    Release,
    Resolve,
    Results,
    Unimplemented,
    Unknown,
)
from vdb.wire.framing import FrameSplitter
from vdb.wire.schema import rpc, verity

PUBLISH = Interface.of(verity.VerityDb).by_name["publish"]
ids = st.integers(0, 2**32 - 1)
payloads = st.lists(st.sampled_from([b"", b"x", b"y" * 300, b"z" * 5000]), max_size=8)


def segments_of(frame: bytes) -> list[bytearray]:
    splitter = FrameSplitter(size_max=1 << 24, segments_max=64)
    splitter.feed(frame)
    segments = splitter.next_frame()
    assert segments is not None
    assert splitter.pending == 0
    return segments


def params(items: list[bytes]) -> list[bytes]:
    built = PUBLISH.params.new_message()
    built.tenant = 7
    built.payloads = items
    segments: list[bytes] = built.to_segments()
    return segments


def check_params(content: Any, items: list[bytes]) -> None:
    reader = content.as_struct(PUBLISH.params)
    assert reader.tenant == 7
    assert list(reader.payloads) == items


@given(ids, ids, payloads)
def test_call(question: int, target: int, items: list[bytes]) -> None:
    message = decode(segments_of(encode.call(question, target, PUBLISH, params(items))))
    assert isinstance(message, Call)
    assert message._replace(content=None) == Call(  # type: ignore[arg-type]
        question,
        target,
        PUBLISH.interface_id,
        PUBLISH.method_id,
        None,
        True,
        True,  # type: ignore[arg-type]
    )
    check_params(message.content, items)


@given(ids, ids, payloads)
def test_pipelined_call(question: int, answer: int, items: list[bytes]) -> None:
    message = decode(segments_of(encode.pipelined_call(question, answer, PUBLISH, params(items))))
    assert isinstance(message, Call)
    assert message.target == PromisedAnswer(answer, ())
    check_params(message.content, items)


@given(ids, payloads, st.booleans())
def test_results(answer: int, items: list[bytes], no_finish: bool) -> None:
    message = decode(segments_of(encode.results(answer, params(items), no_finish=no_finish)))
    assert isinstance(message, Results)
    assert (message.question, message.capabilities, message.no_finish) == (answer, (), no_finish)
    check_params(message.content, items)


@given(ids, payloads, st.lists(ids, min_size=1, max_size=4))
def test_results_with_capabilities(answer: int, items: list[bytes], exports: list[int]) -> None:
    message = decode(segments_of(encode.results_with_capabilities(answer, params(items), exports)))
    assert isinstance(message, Results)
    assert message.capabilities == tuple(exports)
    check_params(message.content, items)


@given(ids, ids, payloads)
def test_the_usual_shape_reads_as_the_general_one(question: int, target: int, items: list[bytes]) -> None:
    built = rpc.Message.new_message()
    call = built.init("call")
    call.questionId, call.interfaceId, call.methodId = question, PUBLISH.interface_id, PUBLISH.method_id
    call.target.importedCap = target
    content = call.params.content.as_struct(PUBLISH.params.schema)
    content.tenant = 7
    content.payloads = items
    frame = built.to_bytes()
    usual = decode_module._usual_call(segments_of(frame))
    general = decode_module._general(segments_of(frame))
    assert isinstance(usual, Call)
    assert isinstance(general, Call)
    assert usual._replace(content=None) == general._replace(content=None)  # type: ignore[arg-type]
    check_params(usual.content, items)
    check_params(general.content, items)


@given(ids, st.booleans(), st.booleans())
def test_finish(question: int, release: bool, workaround: bool) -> None:
    built = rpc.Message.new_message()
    finish = built.init("finish")
    finish.questionId, finish.releaseResultCaps = question, release
    finish.requireEarlyCancellationWorkaround = workaround
    frame = built.to_bytes()
    expected = Finish(question, release, workaround)
    assert decode(segments_of(frame)) == expected
    assert decode_module._general(segments_of(frame)) == expected
    ours = encode.finish(question, release_capabilities=release)
    assert decode(segments_of(ours)) == Finish(question, release, False)


@given(ids, ids)
def test_small_messages(question: int, references: int) -> None:
    assert decode(segments_of(encode.bootstrap(question))) == Bootstrap(question)
    assert decode(segments_of(encode.release(question, references))) == Release(question, references)
    assert decode(segments_of(encode.canceled(question))) == Failure(
        question, Fault(FaultKind.FAILED, "the call was canceled")
    )


@pytest.mark.parametrize("kind", FaultKind)
def test_faults(kind: FaultKind) -> None:
    fault = Fault(kind, "weil es so ist – ja")
    assert decode(segments_of(encode.failure(5, fault, no_finish=True))) == Failure(5, fault, True)
    assert decode(segments_of(encode.abort(fault))) == Abort(fault)


def _message(fill: Callable[[Any], None]) -> list[bytearray]:
    built = rpc.Message.new_message()
    fill(built)
    return segments_of(built.to_bytes())


def test_resolve() -> None:
    def hosted(built: Any) -> None:
        built.init("resolve").promiseId = 3
        built.resolve.init("cap").senderHosted = 9

    def failed(built: Any) -> None:
        built.init("resolve").promiseId = 3
        built.resolve.init("exception").reason = "gone"

    assert decode(_message(hosted)) == Resolve(3, 9)
    assert decode(_message(failed)) == Resolve(3, None)


@pytest.mark.parametrize("member", ["disembargo", "provide", "accept", "join"])
def test_what_is_not_implemented_is_echoed(member: str) -> None:
    message = decode(_message(lambda built: built.init(member)))
    assert isinstance(message, Unknown)
    echo = segments_of(encode.unimplemented(message.segments))
    assert decode(echo) == Unimplemented(None)
    assert str(rpc.Message.from_segments(echo).unimplemented.which()) == member


def test_an_echo_names_the_question() -> None:
    echo = encode.unimplemented(segments_of(encode.call(12, 0, PUBLISH, params([]))))
    assert decode(segments_of(echo)) == Unimplemented(12)


def test_a_member_of_a_later_schema_is_unknown() -> None:
    segments = segments_of(encode.bootstrap(1))
    segments[0][8] = 77
    assert isinstance(decode(segments), Unknown)


@pytest.mark.parametrize("kind", ["resultsSentElsewhere", "takeFromOtherQuestion"])
def test_results_that_went_elsewhere_break_the_protocol(kind: str) -> None:
    def fill(built: Any) -> None:
        setattr(built.init("return"), kind, None if kind == "resultsSentElsewhere" else 4)

    with pytest.raises(WireError, match=kind):
        decode(_message(fill))


def test_text_that_is_not_utf8() -> None:
    frame = bytearray(encode.abort(Fault(FaultKind.FAILED, "abcdefg")))
    at = frame.index(b"abcdefg")
    frame[at] = 0xFF
    with pytest.raises(WireError, match="text that isn't UTF-8"):
        decode(segments_of(bytes(frame)))


@given(st.integers(0, 60), st.integers(-60, 60), st.sampled_from([0, 1]))
def test_reroot_leads_to_the_same_word(at: int, offset: int, kind: int) -> None:
    pointer = 0x0001_0001_0000_0000 | (offset & 0x3FFFFFFF) << 2 | kind
    segment = bytearray(8)
    reroot(segment, pointer, at)
    assert target_of(int.from_bytes(segment, "little"), 0) == target_of(pointer, at)


@given(
    st.lists(st.binary(max_size=12).map(lambda data: data.ljust(-(-len(data) // 8) * 8, b"\0")), min_size=1, max_size=3)
)
def test_arbitrary_segments_are_a_message_or_a_wire_error(segments: list[bytes]) -> None:
    with contextlib.suppress(WireError):
        decode([bytearray(segment) for segment in segments])


def mutated() -> st.SearchStrategy[bytes]:
    frames = [
        encode.call(1, 0, PUBLISH, params([b"x" * 20] * 3)),
        encode.call(1, 0, PUBLISH, params([b"x" * 5000] * 3)),
        encode.results(1, params([b"x"])),
        encode.finish(1, release_capabilities=True),
        encode.abort(Fault(FaultKind.FAILED, "why")),
    ]
    flips = st.lists(st.tuples(st.integers(0, 30 * 8), st.integers(0, 255)), min_size=1, max_size=4)

    def mutate(frame: bytes, changes: list[tuple[int, int]]) -> bytes:
        changed = bytearray(frame)
        for at, value in changes:
            changed[8 + at % (len(changed) - 8)] = value
        return bytes(changed)

    return st.builds(mutate, st.sampled_from(frames), flips)


@given(mutated())
def test_mutated_messages_are_a_message_or_a_wire_error(frame: bytes) -> None:
    from vdb.wire.schema import CapnpError

    splitter = FrameSplitter(size_max=1 << 20, segments_max=16)
    splitter.feed(frame)
    try:
        segments = splitter.next_frame()
        if segments is None:
            return
        message = decode(segments)
    except WireError:
        return
    if isinstance(message, Call | Results):
        try:
            reader = message.content.as_struct(PUBLISH.params)
            _ = reader.tenant, reader.stream, list(reader.payloads), reader.to_dict()
        except (CapnpError, UnicodeDecodeError):
            return
