"""Messages of rpc.capnp to frames. Layouts are those of `layout`; words are named as rpc.capnp names the fields."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vdb.rpc.interface import Method
from vdb.rpc.layout import attach_detached, struct_pointer
from vdb.rpc.message import Fault
from vdb.wire.framing import WORD
from vdb.wire.schema import rpc

ROOT = struct_pointer(0, 1, 1)
"""The root pointer of every Message: one word of data (which member), one pointer (the member)."""

CALL, RETURN, FINISH, RELEASE, BOOTSTRAP = 2, 3, 4, 6, 8
CALL_POINTER = struct_pointer(0, 3, 3)
RETURN_POINTER = struct_pointer(0, 2, 1)
DATA_POINTER = struct_pointer(0, 1, 0)
BOOTSTRAP_POINTER = struct_pointer(0, 1, 1)

NO_PIPELINING = 1 << 1
"""In the third data word of Call; bit 0 is allowThirdPartyTailCall."""
NO_FINISH = 1 << 1
"""In Return, beside its discriminant; bit 0 is releaseParamCaps, stored inverted."""
RESULTS, CANCELED = 0, 2
KEEP_CAPABILITIES = 1 << 0
"""In Finish: releaseResultCaps, stored inverted."""
NO_WORKAROUND = 1 << 1
"""In Finish: requireEarlyCancellationWorkaround, stored inverted."""

_SMALL = struct.Struct("<II QQQ II")
_BOOTSTRAP = struct.Struct("<II QQQ QQ")
_RETURN = struct.Struct("<II QQQ IHH QQ")
_RETURN_WORDS = 6
_CALL = struct.Struct("<II QQQ IHH QQ QQQ II Q")
_CALL_WORDS = 11
_PIPELINED_CALL = struct.Struct("<II QQQ IHH QQ QQQ II Q QQ")
_PIPELINED_CALL_WORDS = 13
_HEADER = 8
_CONTENT, _CONTENT_AND_TABLE = struct_pointer(0, 0, 1), struct_pointer(0, 0, 2)
_KINDS = ("failed", "overloaded", "disconnected", "unimplemented")


def bootstrap(question: int) -> bytes:
    return _BOOTSTRAP.pack(0, 5, ROOT, BOOTSTRAP, BOOTSTRAP_POINTER, question, 0)


def finish(question: int, *, release_capabilities: bool) -> bytes:
    flags = NO_WORKAROUND | (0 if release_capabilities else KEEP_CAPABILITIES)
    return _SMALL.pack(0, 4, ROOT, FINISH, DATA_POINTER, question, flags)


def release(export: int, count: int) -> bytes:
    return _SMALL.pack(0, 4, ROOT, RELEASE, DATA_POINTER, export, count)


def call(question: int, target: int, method: Method, segments: Sequence[bytes]) -> bytes:
    """A call on the peer's export `target`. The caller won't pipeline on the results."""
    single = len(segments) == 1
    frame = _CALL.pack(
        0, _CALL_WORDS + len(segments[0]) // WORD, ROOT, CALL, CALL_POINTER,
        question, method.method_id, 0, method.interface_id, NO_PIPELINING,
        struct_pointer(2, 1, 1), struct_pointer(3, 0, 1 if single else 2), 0,
        target, 0, 0,
    )  # fmt: skip
    if single:
        return frame + segments[0]
    return attach_detached(frame[_HEADER:], segments)


def pipelined_call(question: int, answer: int, method: Method, segments: Sequence[bytes]) -> bytes:
    """A call on the root of what the earlier question `answer` will return, such as the bootstrap capability."""
    single = len(segments) == 1
    frame = _PIPELINED_CALL.pack(
        0, _PIPELINED_CALL_WORDS + len(segments[0]) // WORD, ROOT, CALL, CALL_POINTER,
        question, method.method_id, 0, method.interface_id, NO_PIPELINING,
        struct_pointer(2, 1, 1), struct_pointer(5, 0, 1 if single else 2), 0,
        0, 1, struct_pointer(0, 1, 1), answer, 0,
    )  # fmt: skip
    if single:
        return frame + segments[0]
    return attach_detached(frame[_HEADER:], segments)


def results(answer: int, segments: Sequence[bytes | bytearray], *, no_finish: bool = False) -> bytes:
    """A Return with results that hold no capability."""
    first = segments[0]
    single = len(segments) == 1
    frame = _RETURN.pack(
        0, _RETURN_WORDS + len(first) // WORD, ROOT, RETURN, RETURN_POINTER,
        answer, NO_FINISH if no_finish else 0, RESULTS, 0, _CONTENT if single else _CONTENT_AND_TABLE,
    )  # fmt: skip
    if single:
        return frame + first
    return attach_detached(frame[_HEADER:], segments)


def results_with_capabilities(answer: int, segments: Sequence[bytes | bytearray], capabilities: Sequence[int]) -> bytes:
    """A Return whose content has capability pointers (`layout.write_capability`) into `capabilities`, our exports."""
    frame = _RETURN.pack(
        0, 0, ROOT, RETURN, RETURN_POINTER, answer, 0, RESULTS, 0, struct_pointer(0, 0, 2)
    )  # fmt: skip
    return attach_detached(frame[_HEADER:], segments, capabilities)


def canceled(answer: int) -> bytes:
    return _RETURN.pack(0, _RETURN_WORDS, ROOT, RETURN, RETURN_POINTER, answer, 0, CANCELED, 0, 0)


def failure(answer: int, fault: Fault, *, no_finish: bool = False) -> bytes:
    """A Return with an exception."""
    message = rpc.Message.new_message()
    returned = message.init("return")
    returned.answerId = answer
    returned.noFinishNeeded = no_finish
    _fill(returned.init("exception"), fault)
    return bytes(message.to_bytes())


def abort(fault: Fault) -> bytes:
    message = rpc.Message.new_message()
    _fill(message.init("abort"), fault)
    return bytes(message.to_bytes())


def unimplemented(segments: Sequence[bytes | bytearray]) -> bytes:
    """The echo of a message. Raises CapnpError when its pointers lead nowhere, or in circles."""
    # A message that repeats parts of itself would grow in the copy: allow what an honest one has.
    words_max = sum(len(segment) for segment in segments) // WORD + 1
    message = rpc.Message.new_message()
    message.unimplemented = rpc.Message.from_segments(segments, words_max)
    return bytes(message.to_bytes())


def _fill(exception: object, fault: Fault) -> None:
    exception.reason = fault.reason  # type: ignore[attr-defined]
    exception.type = _KINDS[fault.kind]  # type: ignore[attr-defined]
