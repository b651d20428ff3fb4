"""Errors of VerityDB to exceptions of Cap'n Proto, and back.

A refusal travels as "CODE: message"; its code is what clients act on. What isn't in the error tree is a fault of the
node's own, and its text stays inside: it might hold what the caller sent.

NotPrimary travels as "NOT_PRIMARY: primary=HOST:PORT; message", SqlFailed as "SQL_FAILED: KIND CODE open; message" (or
"closed;": whether a transaction is open after it). PrimaryLost is of the type `disconnected`, since what
it promises is what a lost connection promises, and starts with its own word, since the connection goes on.
"""

from __future__ import annotations

from vdb.errors import (
    ConnectionLost,
    DefiniteError,
    IndefiniteError,
    NodeStopped,
    NotAvailable,
    NotPrimary,
    Overloaded,
    PrimaryLost,
    RefusalCode,
    RemoteError,
    SqlFailed,
    VerityError,
    error_for_refusal,
)
from vdb.rpc.message import Fault, FaultKind
from vdb.wire.schema import CapnpError

_PRIMARY_LOST = "PRIMARY_LOST: "
_PRIMARY = "primary="
_OPEN, _CLOSED = "open", "closed"

INTERNAL = Fault(FaultKind.FAILED, "internal error")
BAD_PARAMETERS = Fault(
    FaultKind.FAILED, f"{RefusalCode.INVALID_ARGUMENT.value}: the parameters aren't valid Cap'n Proto"
)


def fault_from_error(error: BaseException) -> Fault:
    """What the caller is told."""
    if isinstance(error, NotPrimary):
        return Fault(FaultKind.FAILED, f"{error.code.value}: {_PRIMARY}{error.primary}; {error}")
    if isinstance(error, SqlFailed):
        state = _OPEN if error.in_transaction else _CLOSED
        return Fault(FaultKind.FAILED, f"{error.code.value}: {error.kind} {error.sqlite_errorcode} {state}; {error}")
    if isinstance(error, DefiniteError):
        kind = FaultKind.OVERLOADED if isinstance(error, Overloaded) else FaultKind.FAILED
        return Fault(kind, f"{error.code.value}: {error}")
    if isinstance(error, PrimaryLost):
        return Fault(FaultKind.DISCONNECTED, f"{_PRIMARY_LOST}{error}")
    if isinstance(error, NodeStopped):
        return Fault(FaultKind.DISCONNECTED, str(error) or "the node has stopped")
    if isinstance(error, VerityError):
        return Fault(FaultKind.FAILED, str(error) or type(error).__name__)
    return INTERNAL


def fault_from_dispatch(error: BaseException) -> Fault:
    """As `fault_from_error`, for what is raised while the parameters are read."""
    if isinstance(error, CapnpError | UnicodeDecodeError):
        return BAD_PARAMETERS
    return fault_from_error(error)


def error_from_exception(kind: FaultKind, reason: str) -> DefiniteError | IndefiniteError:
    """What the client raises for an exception that came from the other side."""
    code, colon, message = reason.partition(": ")
    if colon and code == RefusalCode.NOT_PRIMARY.value:
        return _not_primary(message)
    if colon and code == RefusalCode.SQL_FAILED.value:
        return _sql_failed(message)
    if colon and code in RefusalCode.__members__:
        return error_for_refusal(RefusalCode[code], message)
    if kind is FaultKind.OVERLOADED:
        return Overloaded(reason)
    if kind is FaultKind.DISCONNECTED and reason.startswith(_PRIMARY_LOST):
        return PrimaryLost(message)
    if kind is FaultKind.DISCONNECTED:
        return ConnectionLost(reason)
    if kind is FaultKind.UNIMPLEMENTED:
        return NotAvailable(reason)
    return RemoteError(reason)


def _not_primary(message: str) -> NotPrimary:
    head, separator, rest = message.partition("; ")
    if not separator or not head.startswith(_PRIMARY):
        return NotPrimary(message)
    return NotPrimary(rest, head.removeprefix(_PRIMARY))


def _sql_failed(message: str) -> SqlFailed:
    head, separator, rest = message.partition("; ")
    words = head.split(" ")
    if not separator or len(words) != 3 or not words[1].isdecimal() or words[2] not in (_OPEN, _CLOSED):
        return SqlFailed(message)
    return SqlFailed(rest, words[0], int(words[1]), in_transaction=words[2] == _OPEN)
