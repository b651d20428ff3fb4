"""What the clients asked and what they were told: the input of the linearizability checker.

Each call is recorded when it is invoked and when it returns, in ticks of one counter, so that 'returned before the
other was invoked' is exact. A call whose outcome the client doesn't know never returns: it may take effect at any
time after its invocation, or never.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define, field, frozen

NEVER = 1 << 62
"""The tick of a return that never came."""


class Outcome(Enum):
    PENDING = "pending"
    OK = "ok"
    REFUSED = "refused"
    """A definite error: nothing happened and nothing will."""
    UNKNOWN = "unknown"


@frozen
class StreamKey:
    """A stream as clients know it. Placement tells the group: a region, or 'global'."""

    tenant: int
    group: str
    name: str


@frozen
class AppendedTo:
    """One stream's part of an append. `first_offset` -1: not acknowledged."""

    stream: StreamKey
    payloads: tuple[bytes, ...]
    first_offset: int = -1


@define(eq=False, kw_only=True)
class Call:
    """One request of a client.

    kind: 'append', 'create', 'read', 'read_log' or 'session'. A read has `from_offset`, `seen` (payloads) and
    `head`, the stream's next offset that the answer named. `refused_at` is the next offset that a refusal for a
    wrong expected offset named, -1 if it named none.
    """

    client: int
    kind: str
    invoked: int
    returned: int = NEVER
    outcome: Outcome = Outcome.PENDING
    once: bool = True
    """False: without a session, where a retry may run twice."""
    parts: tuple[AppendedTo, ...] = ()
    stream: StreamKey | None = None
    from_offset: int = 0
    seen: tuple[bytes, ...] = ()
    head: int = -1
    refused_at: int = -1
    refusal: str = ""
    next_position: int = -1
    log: tuple[tuple[int, str, bytes], ...] = ()
    """What a read_log saw: (position, stream's name, payload); complete up to `next_position`."""

    @property
    def group(self) -> str:
        """The group of the streams that it names; '' for none."""
        stream = self.parts[0].stream if self.parts else self.stream
        return stream.group if stream is not None else ""


@define
class History:
    """All calls of a run."""

    calls: list[Call] = field(factory=list)
    on_invoke: Callable[[Call], object] | None = None
    on_complete: Callable[[Call], object] | None = None
    """For onlookers: called with each call, right after it began or was answered."""
    _tick: int = 0

    @property
    def now(self) -> int:
        """The tick of what happened last."""
        return self._tick

    def tick(self) -> int:
        self._tick += 1
        return self._tick

    def invoke(self, client: int, kind: str, *, parts: tuple[AppendedTo, ...] = (), stream: StreamKey | None = None,
               from_offset: int = 0, once: bool = True) -> Call:  # fmt: skip
        """Record that a client sends a request."""
        call = Call(
            client=client,
            kind=kind,
            invoked=self.tick(),
            parts=parts,
            stream=stream,
            from_offset=from_offset,
            once=once,
        )
        self.calls.append(call)
        if self.on_invoke is not None:
            self.on_invoke(call)
        return call

    def complete(self, call: Call, outcome: Outcome) -> None:
        """Record the answer; its fields are set by the caller before. An unknown outcome never returns."""
        assert call.outcome is Outcome.PENDING
        call.outcome = outcome
        if outcome is not Outcome.UNKNOWN:
            call.returned = self.tick()
        if self.on_complete is not None:
            self.on_complete(call)

    @property
    def acknowledged(self) -> int:
        """Requests that were answered, refusals included: the node did its work for each."""
        return sum(call.outcome in (Outcome.OK, Outcome.REFUSED) for call in self.calls)

    def of_group(self, group: str) -> History:
        """The calls on streams of one group."""
        return History(calls=[call for call in self.calls if call.group == group])
