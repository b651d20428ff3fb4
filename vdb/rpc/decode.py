"""Frames to messages of rpc.capnp.

A Call, Return, Finish or Release of the usual shape (every known writer produces it) is read with `struct`; any
other shape of any message goes through pycapnp. Both must agree, and a test compares them. Whatever the bytes,
`decode` returns a message or raises WireError.
"""

from __future__ import annotations

import struct
from typing import Any

from vdb.errors import WireError
from vdb.rpc.encode import (
    CALL,
    CALL_POINTER,
    DATA_POINTER,
    FINISH,
    KEEP_CAPABILITIES,
    NO_FINISH,
    NO_PIPELINING,
    NO_WORKAROUND,
    RELEASE,
    RETURN,
    RETURN_POINTER,
    ROOT,
)
from vdb.rpc.layout import U64, reroot, target_of
from vdb.rpc.message import (
    Abort,
    Bootstrap,
    Call,
    Failure,
    Fault,
    FaultKind,
    Finish,
    Message,
    PromisedAnswer,
    Release,
    Resolve,
    Results,
    Unimplemented,
    Unknown,
)
from vdb.wire.framing import WORD
from vdb.wire.schema import CapnpError, rpc

NESTING_MAX = 64
TRAVERSAL_FACTOR = 8
"""How many times over a reader may go through the words of its message; more is a sign of pointers in circles."""

_SMALL = struct.Struct("<QQQ II")
_CALL = struct.Struct("<QQQ IHH QQ QQQ QQ")
_RETURN = struct.Struct("<QQQ IHH QQ Q")
_TARGET_SIZE, _PAYLOAD_SIZES = 1 << 32 | 1 << 48, (1 << 48, 2 << 48)
_POINTER_LOW = 0xFFFF_FFFF
_POINTER_OFFSET = _POINTER_LOW & ~3
_TARGET_POINTER_AT, _PAYLOAD_POINTER_AT, _RETURN_PAYLOAD_POINTER_AT = 6, 7, 5
_FIRST_PAYLOAD, _FIRST_PAYLOAD_AT = 1 << 2 | 2 << 48, 9
"""Where Cap'n Proto's own client puts the payload: right behind the call."""


class RootedContent:
    """A payload's content that has become the root of its message (`layout.reroot`)."""

    __slots__ = ("segments",)

    def __init__(self, segments: list[bytearray]) -> None:
        self.segments = segments

    def as_struct(self, module: Any) -> Any:
        return module.from_segments(self.segments, traversal_limit(self.segments), NESTING_MAX)


def traversal_limit(segments: list[bytearray]) -> int:
    """Words that a reader over `segments` may visit."""
    if len(segments) == 1:
        return len(segments[0]) + 64
    return TRAVERSAL_FACTOR * (sum(map(len, segments)) // WORD) + 64


def decode(segments: list[bytearray]) -> Message:
    """The message in a frame's segments; takes them over. Raises WireError."""
    first = segments[0]
    if len(first) >= _SMALL.size:
        root, which, pointer, low, high = _SMALL.unpack_from(first)
        if root == ROOT:
            message: Message | None = None
            if which == CALL and pointer == CALL_POINTER:
                message = _usual_call(segments)
            elif which == FINISH and pointer == DATA_POINTER:
                return Finish(low, not high & KEEP_CAPABILITIES, not high & NO_WORKAROUND)
            elif which == RETURN and pointer == RETURN_POINTER:
                message = _usual_results(segments)
            elif which == RELEASE and pointer == DATA_POINTER:
                return Release(low, high)
            if message is not None:
                return message
    try:
        return _general(segments)
    except (CapnpError, UnicodeDecodeError, ValueError) as error:
        raise WireError(f"a message that can't be read: {_first_line(error)}") from None


def _usual_call(segments: list[bytearray]) -> Call | None:
    """A call on an export, to be answered to its caller, without capabilities; None for any other."""
    first = segments[0]
    words = len(first) // WORD
    if len(first) < _CALL.size:
        return None
    (_, _, _, question, method_id, send_to, interface_id, flags, target, payload, _, content, table) = (
        _CALL.unpack_from(first)
    )
    # Target and payload lie behind the call's own words; a pointer back is left to pycapnp's judgement.
    target_at = _TARGET_POINTER_AT + 1 + ((target & _POINTER_LOW) >> 2)
    if send_to or target & ~_POINTER_OFFSET != _TARGET_SIZE or target_at + 2 > words:
        return None
    content_at = _FIRST_PAYLOAD_AT
    if payload != _FIRST_PAYLOAD:
        content_at = _PAYLOAD_POINTER_AT + 1 + ((payload & _POINTER_LOW) >> 2)
        pointers = payload >> 48
        if payload & ~_POINTER_OFFSET not in _PAYLOAD_SIZES or content_at + pointers > words:
            return None
        (content,) = U64.unpack_from(first, content_at * WORD)
        table = U64.unpack_from(first, (content_at + 1) * WORD)[0] if pointers == 2 else 0
    (imported,) = U64.unpack_from(first, target_at * WORD)
    if table or imported >> 32 & 0xFFFF:
        return None
    reroot(first, content, content_at)
    return Call(
        question, imported & _POINTER_LOW, interface_id, method_id, RootedContent(segments), flags & NO_PIPELINING != 0
    )


def _usual_results(segments: list[bytearray]) -> Results | None:
    """A return of results without capabilities; None for any other."""
    first = segments[0]
    if len(first) < _RETURN.size:
        return None
    _, _, _, question, flags, which, _, payload, _ = _RETURN.unpack_from(first)
    if which or payload & ~_POINTER_LOW not in _PAYLOAD_SIZES or payload & 3:
        return None
    content_at = target_of(payload, _RETURN_PAYLOAD_POINTER_AT)
    pointers = payload >> 48
    if not _inside(content_at, pointers, len(first) // WORD):
        return None
    if pointers == 2 and U64.unpack_from(first, (content_at + 1) * WORD)[0]:
        return None
    reroot(first, U64.unpack_from(first, content_at * WORD)[0], content_at)
    return Results(question, RootedContent(segments), (), flags & NO_FINISH != 0)


def _inside(at: int, size: int, words: int) -> bool:
    return at >= 3 and at + size <= words


def _general(segments: list[bytearray]) -> Message:
    reader = rpc.Message.from_segments(segments, traversal_limit(segments), NESTING_MAX)
    try:
        which = str(reader.which())
    except (CapnpError, ValueError):
        return Unknown(segments)  # a member of a later schema
    decoder = _DECODERS.get(which)
    if decoder is None:
        return Unknown(segments)
    decoded: Message = decoder(getattr(reader, which))
    return decoded


def _bootstrap(reader: Any) -> Message:
    return Bootstrap(reader.questionId)


def _call(reader: Any) -> Message:
    return Call(
        reader.questionId,
        _target(reader.target),
        reader.interfaceId,
        reader.methodId,
        reader.params.content,
        reader.noPromisePipelining,
        str(reader.sendResultsTo.which()) == "caller",
    )


def _target(reader: Any) -> int | PromisedAnswer:
    which = str(reader.which())
    if which == "importedCap":
        return int(reader.importedCap)
    promised = reader.promisedAnswer
    path: list[int] = []
    for op in promised.transform:
        if str(op.which()) == "getPointerField":
            path.append(op.getPointerField)
    return PromisedAnswer(promised.questionId, tuple(path))


def _return(reader: Any) -> Message:
    question, no_finish = reader.answerId, reader.noFinishNeeded
    which = str(reader.which())
    if which == "results":
        payload = reader.results
        capabilities = [exported for entry in payload.capTable if (exported := _introduced(entry)) is not None]
        return Results(question, payload.content, tuple(capabilities), no_finish)
    if which == "exception":
        return Failure(question, _fault(reader.exception), no_finish)
    if which == "canceled":
        return Failure(question, Fault(FaultKind.FAILED, "the call was canceled"), no_finish)
    raise WireError(f"a Return of kind {which}, which nobody asked for")


def _introduced(descriptor: Any) -> int | None:
    which = str(descriptor.which())
    if which in ("senderHosted", "senderPromise"):
        return int(getattr(descriptor, which))
    return None


def _fault(reader: Any) -> Fault:
    kind = reader.type.raw
    return Fault(FaultKind(kind) if kind in _KINDS else FaultKind.FAILED, reader.reason)


def _finish(reader: Any) -> Message:
    return Finish(reader.questionId, reader.releaseResultCaps, reader.requireEarlyCancellationWorkaround)


def _release(reader: Any) -> Message:
    return Release(reader.id, reader.referenceCount)


def _resolve(reader: Any) -> Message:
    introduced = _introduced(reader.cap) if str(reader.which()) == "cap" else None
    return Resolve(reader.promiseId, introduced)


def _abort(reader: Any) -> Message:
    return Abort(_fault(reader))


def _unimplemented(reader: Any) -> Message:
    which = str(reader.which())
    return Unimplemented(getattr(reader, which).questionId if which in ("bootstrap", "call") else None)


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "text that isn't UTF-8"
    lines = str(error).splitlines()
    return lines[0][-200:] if lines else "no reason given"


_KINDS = tuple(FaultKind)
_DECODERS = {
    "abort": _abort,
    "bootstrap": _bootstrap,
    "call": _call,
    "finish": _finish,
    "release": _release,
    "resolve": _resolve,
    "return": _return,
    "unimplemented": _unimplemented,
}
