"""One replica of a group as a state machine: inputs in, `Ready` out. Pure: no IO, no clock, no randomness.

Source: Viewstamped Replication Revisited (2012), section 4, with the changes that the package's docstring lists.

Rules
- `op` is the head of the log, `commit_number` the last committed op; checkpoint_op <= commit_number <= op.
- A primary advances its head before the prepare is written; the op is dirty until `PrepareDurable`.
- An ack counts for one (view, op, checksum) and one replica. In a new view all acks start from zero.
- Ops commit strictly in order, each when a replication quorum of distinct replicas acked it in this view.
- The ring must not lap: op - wal_slots <= checkpoint_op.
- A group of one raises its view at each start, durably, before it serves.

Every pair of status and input has a cell in `TABLE`: a handler, or the reason why the input is dropped there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from attrs import define, field, frozen

from vdb.limits import Limits
from vdb.marks import mark
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader
from vdb.vsr.message import (
    CheckpointDurable,
    CommitMessage,
    Input,
    Opened,
    PrepareDurable,
    PrepareMessage,
    PrepareOk,
    Propose,
    ViewDurable,
)
from vdb.vsr.quorum import quorums
from vdb.vsr.ready import NOTHING, Envelope, Ready, ViewChange


class Status(Enum):
    RECOVERING = "recovering"
    """Storage is being opened; nothing is known yet."""
    VIEW_CHANGE = "view_change"
    """The next view is being made durable; nothing is served."""
    NORMAL = "normal"


@frozen
class Dropped:
    """A cell of the table in which the input has no effect, and why."""

    reason: str


@define
class Entry:
    """An op in the pipeline, and which replicas acked it in this view (by number; a dict keeps their order)."""

    header: PrepareHeader
    acks: dict[int, None] = field(factory=dict)


class Replica:
    """The state machine of one replica. Feed it with `on`; do what it returns, in the order of `ready`."""

    def __init__(self, *, group: bytes, replica: int, replica_count: int, limits: Limits) -> None:
        assert 0 <= replica < replica_count
        assert len(group) == 32
        self.group = group
        self.replica = replica
        self.replica_count = replica_count
        self.limits = limits
        self.quorums = quorums(replica_count)
        self.status = Status.RECOVERING
        self.view = 0
        self.log_view = 0
        self.op = 0
        self.head_checksum = ZERO_CHECKSUM
        self.last_timestamp = 0
        self.commit_number = 0
        self.checkpoint_op = 0
        self.checkpoint_id = ZERO_CHECKSUM
        self.pipeline: deque[Entry] = deque()
        self._persist: list[Prepare] = []
        self._messages: list[Envelope] = []
        self._commits: list[PrepareHeader] = []
        self._view_change: ViewChange | None = None

    # What the shell may ask ------------------------------------------------------------------------------------

    @property
    def primary(self) -> int:
        """The number of this view's primary."""
        return self.view % self.replica_count

    @property
    def is_serving_primary(self) -> bool:
        return self.status is Status.NORMAL and self.primary == self.replica

    def can_propose(self) -> bool:
        """Whether `Propose` is welcome now: primary, a free place in the pipeline, and a slot that may be written."""
        return (
            self.is_serving_primary
            and len(self.pipeline) < self.limits.pipeline_max
            and self.op + 1 - self.limits.wal_slots <= self.checkpoint_op
        )

    def next_timestamp(self, wall_us: int) -> int:
        """The time for the next prepare: the clock's, but above every time given so far."""
        return max(self.last_timestamp + 1, wall_us)

    # Input -----------------------------------------------------------------------------------------------------

    def on(self, message: Input) -> Ready:
        """Take one input and return what must be done. Total: every status has a cell for every input."""
        cell = TABLE[self.status, type(message)]
        if isinstance(cell, Dropped):
            mark("vsr.dropped")
            return NOTHING
        cell(self, message)
        self._check_invariants()
        return self._take_ready()

    def _on_opened(self, opened: Opened) -> None:
        """Recovery has ended. A group of one moves to the next view, since it can't ask who served the last."""
        assert opened.log_view <= opened.view
        assert self.replica_count == 1, "a replica among others doesn't elect itself"
        self.view = opened.view
        self.log_view = opened.log_view
        self.op = self.commit_number = self.checkpoint_op = opened.checkpoint_op
        self.checkpoint_id = opened.checkpoint_id
        self.head_checksum = opened.checkpoint_checksum
        self.last_timestamp = opened.checkpoint_timestamp
        for header in opened.headers:
            assert header.op == self.op + 1, f"op {header.op} follows {self.op}"
            assert header.parent == self.head_checksum, f"op {header.op} doesn't chain to the op before it"
            self._advance_head(header)
        self._transition_to_view_change(opened.view + 1)

    def _on_view_durable(self, durable: ViewDurable) -> None:
        assert (durable.view, durable.log_view) == (self.view, self.view)
        self._transition_to_normal()

    def _on_propose(self, propose: Propose) -> None:
        """Section 4.1, step 2: advance the head, then write and send. The slot is dirty before the write starts."""
        assert self.can_propose()
        assert propose.timestamp > self.last_timestamp
        assert propose.request_count >= 1
        header = PrepareHeader.make(
            body=propose.body,
            parent=self.head_checksum,
            checkpoint_id=self.checkpoint_id,
            group=self.group,
            view=self.view,
            op=self.op + 1,
            commit=self.commit_number,
            timestamp=propose.timestamp,
            request_count=propose.request_count,
        )
        assert header.size <= self.limits.message_size_max
        self._advance_head(header)
        prepare = Prepare(header, propose.body)
        self._persist.append(prepare)
        self._send_to_others(PrepareMessage(prepare=prepare))

    def _on_prepare_durable(self, durable: PrepareDurable) -> None:
        """Our own write is synced: ack it to the primary of the current view, which is us in a group of one."""
        header = durable.header
        if header.op <= self.commit_number:
            mark("vsr.durable_after_commit")
            return
        self._send_prepare_ok(header)

    def _on_prepare_ok(self, ok: PrepareOk) -> None:
        """Count the ack; commit what has a quorum, in order (section 4.1, step 5)."""
        if ok.view != self.view or not self.is_serving_primary:
            mark("vsr.ack_of_another_view")
            return
        entry = self._entry(ok.op)
        if entry is None or entry.header.checksum != ok.checksum:
            mark("vsr.ack_of_another_prepare")
            return
        assert 0 <= ok.replica < self.replica_count
        entry.acks[ok.replica] = None
        self._commit_what_has_a_quorum()

    def _on_checkpoint_durable(self, durable: CheckpointDurable) -> None:
        assert self.checkpoint_op < durable.op <= self.commit_number
        self.checkpoint_op = durable.op
        self.checkpoint_id = durable.checkpoint_id

    # Transitions -----------------------------------------------------------------------------------------------

    def _transition_to_view_change(self, view: int) -> None:
        assert view > self.view
        assert self.status in (Status.RECOVERING, Status.NORMAL)
        self.status = Status.VIEW_CHANGE
        self.view = view
        self._view_change = ViewChange(view=view, log_view=view)

    def _transition_to_normal(self) -> None:
        """Become the primary of a durable view: the pipeline starts with empty ack sets, and acks come anew."""
        assert self.status is Status.VIEW_CHANGE
        self.status = Status.NORMAL
        self.log_view = self.view
        for entry in self.pipeline:
            entry.acks.clear()
        for entry in tuple(self.pipeline):
            self._send_prepare_ok(entry.header)

    # Parts -----------------------------------------------------------------------------------------------------

    def _advance_head(self, header: PrepareHeader) -> None:
        self.op = header.op
        self.head_checksum = header.checksum
        self.last_timestamp = header.timestamp + header.request_count - 1
        self.pipeline.append(Entry(header))

    def _entry(self, op: int) -> Entry | None:
        index = op - self.commit_number - 1
        return self.pipeline[index] if 0 <= index < len(self.pipeline) else None

    def _commit_what_has_a_quorum(self) -> None:
        while self.pipeline and len(self.pipeline[0].acks) >= self.quorums.replication:
            entry = self.pipeline.popleft()
            assert entry.header.op == self.commit_number + 1
            self.commit_number = entry.header.op
            self._commits.append(entry.header)

    def _send_prepare_ok(self, header: PrepareHeader) -> None:
        ok = PrepareOk(view=self.view, op=header.op, checksum=header.checksum, replica=self.replica)
        self._messages.append(Envelope(self.primary, ok))

    def _send_to_others(self, message: PrepareMessage) -> None:
        for other in range(self.replica_count):
            if other != self.replica:
                self._messages.append(Envelope(other, message))

    def _take_ready(self) -> Ready:
        ready = Ready(self._view_change, tuple(self._persist), tuple(self._messages), tuple(self._commits))
        self._view_change = None
        self._persist.clear()
        self._messages.clear()
        self._commits.clear()
        return ready

    def _check_invariants(self) -> None:
        assert self.log_view <= self.view
        assert self.checkpoint_op <= self.commit_number <= self.op
        assert len(self.pipeline) == self.op - self.commit_number
        assert self.op - self.limits.wal_slots <= self.checkpoint_op


Handler = Callable[[Replica, Input], None]
_BEFORE_OPEN = Dropped("nothing is known before storage has recovered")
_ALONE = Dropped("a group of one has no other replica")
_ONCE = Dropped("reported once, at the start")
_NOT_SERVING = Dropped("nothing is proposed, acked or committed while a view starts")


def _table() -> dict[tuple[Status, type[Input]], Handler | Dropped]:
    recovering, changing, normal = Status
    on_opened: Handler = Replica._on_opened  # type: ignore[assignment]
    on_view_durable: Handler = Replica._on_view_durable  # type: ignore[assignment]
    on_propose: Handler = Replica._on_propose  # type: ignore[assignment]
    on_prepare_durable: Handler = Replica._on_prepare_durable  # type: ignore[assignment]
    on_prepare_ok: Handler = Replica._on_prepare_ok  # type: ignore[assignment]
    on_checkpoint_durable: Handler = Replica._on_checkpoint_durable  # type: ignore[assignment]
    return {
        (recovering, Opened): on_opened,
        (recovering, ViewDurable): _BEFORE_OPEN,
        (recovering, Propose): _BEFORE_OPEN,
        (recovering, PrepareDurable): _BEFORE_OPEN,
        (recovering, CheckpointDurable): _BEFORE_OPEN,
        (recovering, PrepareMessage): _BEFORE_OPEN,
        (recovering, PrepareOk): _BEFORE_OPEN,
        (recovering, CommitMessage): _BEFORE_OPEN,
        (changing, Opened): _ONCE,
        (changing, ViewDurable): on_view_durable,
        (changing, Propose): _NOT_SERVING,
        (changing, PrepareDurable): _NOT_SERVING,
        (changing, CheckpointDurable): on_checkpoint_durable,
        (changing, PrepareMessage): _ALONE,
        (changing, PrepareOk): _NOT_SERVING,
        (changing, CommitMessage): _ALONE,
        (normal, Opened): _ONCE,
        (normal, ViewDurable): _ONCE,
        (normal, Propose): on_propose,
        (normal, PrepareDurable): on_prepare_durable,
        (normal, CheckpointDurable): on_checkpoint_durable,
        (normal, PrepareMessage): _ALONE,
        (normal, PrepareOk): on_prepare_ok,
        (normal, CommitMessage): _ALONE,
    }


TABLE = _table()
