"""The messages of rpc.capnp as values: what `codec` decodes and what `Connection` acts on.

They are named tuples, not attrs classes: one is made for each message of the hot path, and a frozen attrs class
costs three times as much to make. `Paths` are the pointer fields that lead from a result's root to a capability;
the empty path is the root itself, as in the answer to a Bootstrap.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, Protocol

Path = tuple[int, ...]


class FaultKind(IntEnum):
    """`Exception.Type`; the values are those of the wire."""

    FAILED = 0
    OVERLOADED = 1
    DISCONNECTED = 2
    UNIMPLEMENTED = 3


class Fault(NamedTuple):
    """An exception as it travels."""

    kind: FaultKind
    reason: str


class Content(Protocol):
    """A payload whose type only the method tells."""

    def as_struct(self, module: Any, /) -> Any:
        """A reader of it as the struct of `module`; may raise CapnpError."""


class PromisedAnswer(NamedTuple):
    question: int
    path: Path


class Bootstrap(NamedTuple):
    question: int


class Call(NamedTuple):
    question: int
    target: int | PromisedAnswer
    """An export of the receiver, or what an earlier answer will hold."""
    interface_id: int
    method_id: int
    content: Content
    no_pipelining: bool = False
    """The caller won't call on the results, so the answer may be forgotten when it has been sent."""
    to_caller: bool = True
    """False for the two level 3 ways to send results elsewhere."""


class Results(NamedTuple):
    """Return.results. `capabilities` are the sender's exports in the capability table, in its order."""

    question: int
    content: Content
    capabilities: tuple[int, ...] = ()
    no_finish: bool = False


class Failure(NamedTuple):
    """Return.exception, and Return.canceled as a fault of its own."""

    question: int
    fault: Fault
    no_finish: bool = False


class Finish(NamedTuple):
    question: int
    release_capabilities: bool
    deliver_first: bool
    """requireEarlyCancellationWorkaround: a call that isn't delivered yet is delivered all the same."""


class Release(NamedTuple):
    export: int
    references: int


class Resolve(NamedTuple):
    promise: int
    introduced: int | None
    """The sender's export that the promise resolved to, with one reference to it, if that is what it is."""


class Abort(NamedTuple):
    fault: Fault


class Unimplemented(NamedTuple):
    """The peer's echo of a message that it doesn't implement; `question` if it was a Bootstrap or a Call."""

    question: int | None


class Unknown(NamedTuple):
    """A message that this side doesn't implement, to be echoed."""

    segments: list[bytearray]


Message = Bootstrap | Call | Results | Failure | Finish | Release | Resolve | Abort | Unimplemented | Unknown
