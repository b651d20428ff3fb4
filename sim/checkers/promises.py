"""What one replica promises, watched step by step: I7, I10, I11, I25, I27, I32, I33.

Checks over the whole group notice late, after the damage has been repaired over. These look at the moment itself: when
an op is acked, prepare and redundant header are on this replica's platter; when a slot is taken, its old op is in a
durable checkpoint; the superblock never goes back, and is on the platter when the replica says so.
"""

from __future__ import annotations

from attrs import define, field

from sim.checkers.media import Platter, prepare_is_durable, prepare_is_whole, superblock_is_durable
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.storage.superblock_layout import SuperblockState, state_checksum
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import CommitMessage, CommitOk, DoViewChange, Message, Ping, PrepareOk, StartView

OF_LOG_VIEW = (PrepareOk, CommitMessage, CommitOk, StartView)
"""Messages of a replica in normal operation: they speak of a view whose log it has, durably."""


@define
class Promises:
    """One replica of one group, over all its incarnations. `name` is said in messages."""

    group: str
    limits: Limits
    verdict: Verdict
    platter: Platter
    name: str = ""
    view: int = 0
    log_view: int = 0
    commit: int = 0
    checkpoint_op: int = 0
    """As the durable superblock says."""
    lost_checkpoint_op: int = 0
    """What a disk had that was lost, while the group still counts on it: nobody can know before the node has left."""
    written: dict[int, PrepareHeader] = field(factory=dict)
    """What its journal was told to keep, by op, of the ops that aren't overwritten yet."""
    rewriting: dict[int, None] = field(factory=dict)
    """Ops that it was told to write once more, at the same place, since they couldn't be read; not reported durable."""

    @property
    def _who(self) -> str:
        return f"{self.group}: {self.name}"

    def on_wiped(self) -> None:
        """The disk was replaced: nothing that it promised counts any more."""
        self.lost_checkpoint_op = max(self.lost_checkpoint_op, self.checkpoint_op)
        self.view = self.log_view = self.commit = self.checkpoint_op = 0
        self.written.clear()
        self.rewriting.clear()

    def on_prepare(self, prepare: Prepare, *, in_flight: int) -> None:
        """The journal was told to keep this. `in_flight`: ops that the replica, as primary, proposed and hasn't
        committed, this one included; 0 of a backup."""
        header = prepare.header
        overwritten = header.op - self.limits.wal_slots
        self.verdict.check(
            "I27",
            overwritten <= self.checkpoint_op,
            f"{self._who}: op {header.op} takes the slot of op {overwritten}, and the durable checkpoint is at op "
            f"{self.checkpoint_op}",
        )
        before = self.written.get(header.op)
        if before is not None and before.checksum == header.checksum:
            self.rewriting[header.op] = None
        else:
            self.rewriting.pop(header.op, None)
        self.written[header.op] = header
        self.written.pop(overwritten, None)
        self.rewriting.pop(overwritten, None)
        self.verdict.check(
            "I32",
            in_flight <= self.limits.pipeline_max,
            f"{self._who}: {in_flight} prepares in flight, at most {self.limits.pipeline_max} may be",
        )

    def on_durable(self, header: PrepareHeader) -> None:
        """The journal reports that this is on the disk."""
        self.rewriting.pop(header.op, None)

    def on_cut(self, head: int) -> None:
        """The journal forgets every op above this one."""
        for op in [op for op in self.written if op > head]:
            del self.written[op]
            self.rewriting.pop(op, None)

    def on_send(self, message: Message) -> None:
        if isinstance(message, OF_LOG_VIEW):
            self.verdict.check(
                "I11",
                message.view <= self.log_view,
                f"{self._who}: {type(message).__name__} speaks of view {message.view}; log_view {self.log_view} is "
                "durable",
            )
        if isinstance(message, PrepareOk):
            header = self.written.get(message.op)
            if header is not None and header.checksum == message.checksum:
                missing = prepare_is_durable(self.platter, self.group, self.limits, header)
                self.verdict.check("I33", not missing, f"{self._who}: op {header.op} is acked, but {missing}")
        elif isinstance(message, DoViewChange):
            self.verdict.check(
                "I11",
                message.view <= self.view and message.log_view <= self.log_view,
                f"{self._who}: a vote for view {message.view} with log_view {message.log_view}; view {self.view} and "
                f"log_view {self.log_view} are durable",
            )
        elif isinstance(message, Ping):
            self.verdict.check(
                "I11",
                message.view <= self.view,
                f"{self._who}: a ping speaks of view {message.view}; view {self.view} is durable",
            )

    def on_superblock(self, state: SuperblockState) -> None:
        before = (self.view, self.log_view, self.commit, self.checkpoint_op)
        after = (state.view, state.log_view, state.commit, state.checkpoint_op)
        self.verdict.check(
            "I10",
            all(new >= old for new, old in zip(after, before, strict=True)) and state.log_view <= state.view,
            f"{self._who}: the superblock went from view, log_view, commit, checkpoint {before} to {after}",
        )
        self.verdict.check(
            "I33",
            superblock_is_durable(self.platter, self.group, state_checksum(state)),
            f"{self._who}: superblock {state.sequence} isn't on the platter in a write quorum of copies",
        )
        self.view, self.log_view, self.commit, self.checkpoint_op = after

    def holds(self, header: PrepareHeader) -> str:
        """'' if a power cut can't take this op now, being on the platter or in the checkpoint; else what is missing."""
        if header.op <= self.checkpoint_op:
            return ""
        return prepare_is_durable(self.platter, self.group, self.limits, header)

    def keeps(self, header: PrepareHeader) -> str:
        """'' if recovery finds this op. A redundant header may be torn together with one that was being written."""
        if header.op <= self.checkpoint_op:
            return ""
        return prepare_is_whole(self.platter, self.group, self.limits, header)
