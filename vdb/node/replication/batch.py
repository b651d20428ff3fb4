"""The requests of one op, executed: what they make of a state, and what is left to do when the op commits.

The primary executes a batch when it makes the prepare, on the prepared state, since seals need its answers. Apply is
pure, so executing it again at the commit, on the same state, would give the same; the committed state therefore
becomes the batch's, under the assertion that it is the very state that the batch was executed on. Ops that come from
the WAL are executed at their commit.

Request i of a batch has the time `timestamp + i`.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from vdb.kernel.apply import execute_request
from vdb.kernel.command import Request
from vdb.kernel.draft import Draft
from vdb.kernel.effect import Effect
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.kernel.tables import Table
from vdb.kernel.view import View
from vdb.node.preparing.request import Notes, Pending
from vdb.types import TenantId

Changed = dict[Table, Mapping[bytes, bytes | None]]


@define(eq=False)
class Batch:
    """One op in the making. `base` is the state before it, `state` the one after the requests so far."""

    timestamp: int
    base: State
    requests: list[Request] = field(factory=list)
    replies: list[Reply] = field(factory=list)
    effects: list[Effect] = field(factory=list)
    waiters: list[tuple[int, Pending]] = field(factory=list)
    """Who gets which reply, by its index."""
    changed: Changed | None = None
    """At an op where a checkpoint is due: all rows that changed since the one before."""
    size: int = 0
    """At most so many bytes will the requests, and what is noted of them, take in the prepare's body."""
    notes: dict[TenantId, Notes] = field(factory=dict)
    """What the audit logs of tenants are to be told, until it is sealed (`vdb.node.preparing.noting`)."""
    entries_alone: int = 0
    """Requests that add entries to audit logs alone: they are among the waiters of `notes`."""
    _draft: Draft | None = None
    _state: State | None = None
    """What the draft froze into, until the next request."""

    @property
    def next_timestamp(self) -> int:
        """The time of the request that is added next."""
        return self.timestamp + len(self.requests)

    @property
    def state(self) -> State:
        """The rows as a value: ask for it when the batch is closed; `view` costs less before."""
        if self._state is None:
            self._state = self.base if self._draft is None else self._draft.freeze()
        return self._state

    @property
    def view(self) -> View:
        """The rows as they are now; what it answers changes with the next request."""
        return self.base if self._draft is None else self._draft

    @property
    def must_be_told(self) -> bool:
        """Whether the last request must have an entry in its tenant's audit log."""
        return self._draft is not None and self._draft.must_be_told

    @property
    def filled(self) -> int:
        """How many requests it has, those included that add entries to audit logs alone."""
        return len(self.requests) + self.entries_alone

    def add(self, request: Request) -> Reply:
        """Execute the next request."""
        draft = self._draft
        if draft is None:
            draft = self._draft = Draft(self.base, self.timestamp)
            self.effects = draft.effects
        else:
            draft.start(self.timestamp + len(self.requests))
        self._state = None
        reply = execute_request(draft, request)
        self.requests.append(request)
        self.replies.append(reply)
        return reply

    def close(self, *, checkpoint_due: bool) -> None:
        """All requests are in. If a checkpoint is due at this op, take what has changed."""
        if self._draft is not None:
            self._draft.check_paid()
        if checkpoint_due:
            self.changed, self._state = self.state.take_changed()
        else:
            self._state = self.state
        self._draft = None
