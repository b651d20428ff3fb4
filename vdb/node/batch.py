"""The requests of one op, executed: what they make of a state, and what is left to do when the op commits.

The primary executes a batch when it makes the prepare, on the prepared state, since seals need its answers. Apply is
pure, so executing it again at the commit, on the same state, would give the same; the committed state therefore
becomes the batch's, under the assertion that it is the very state that the batch was executed on. Ops that come from
the WAL are executed at their commit.

Request i of a batch has the time `timestamp + i`.
"""

from __future__ import annotations

from attrs import define, field

from vdb.kernel.apply import apply_request
from vdb.kernel.command import Request
from vdb.kernel.effect import Effect
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.kernel.tables import Table
from vdb.node.request import Pending

Changed = dict[Table, dict[bytes, bytes | None]]


@define(eq=False)
class Batch:
    """One op in the making. `base` is the state before it, `state` the one after the requests so far."""

    timestamp: int
    base: State
    state: State = field(init=False)
    requests: list[Request] = field(factory=list)
    replies: list[Reply] = field(factory=list)
    effects: list[Effect] = field(factory=list)
    waiters: list[tuple[int, Pending]] = field(factory=list)
    """Who gets which reply, by its index."""
    changed: Changed | None = None
    """At an op where a checkpoint is due: all rows that changed since the one before."""
    size: int = 0
    """At most so many bytes will the requests take in the prepare's body."""

    def __attrs_post_init__(self) -> None:
        self.state = self.base

    @property
    def next_timestamp(self) -> int:
        """The time of the request that is added next."""
        return self.timestamp + len(self.requests)

    def add(self, request: Request) -> Reply:
        """Execute the next request."""
        self.state, effects, reply = apply_request(self.state, request, self.next_timestamp)
        self.requests.append(request)
        self.replies.append(reply)
        self.effects.extend(effects)
        return reply

    def close(self, *, checkpoint_due: bool) -> None:
        """All requests are in. If a checkpoint is due at this op, take what has changed."""
        if checkpoint_due:
            self.changed, self.state = self.state.take_changed()
