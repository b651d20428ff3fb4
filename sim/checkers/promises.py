"""What one replica promises, watched step by step: I7, I10, I11, I25, I27, I32, I33.

Cluster-wide checks notice late, after the damage has been repaired over. These look at the moment itself: when an op
is acked or committed, prepare and redundant header are on the platter; when a slot is taken, its old op is in a
durable checkpoint; the superblock never goes back, and is on the platter when the replica says so.
"""

from __future__ import annotations

from attrs import define, field

from sim.checkers.media import Platter, prepare_is_durable, superblock_is_durable
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.storage.superblock_layout import SuperblockState, state_checksum
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import Message, PrepareOk


@define
class Promises:
    """One group, over all incarnations of its node."""

    group: str
    limits: Limits
    verdict: Verdict
    platter: Platter
    view: int = 0
    log_view: int = 0
    commit: int = 0
    checkpoint_op: int = 0
    """As the durable superblock says."""
    _checkpoints: dict[int, bytes] = field(factory=dict)
    _prepared: dict[int, PrepareHeader] = field(factory=dict)
    """Ops that this incarnation proposed and hasn't committed."""

    def on_crash(self) -> None:
        """The incarnation is gone, with what it had only proposed."""
        self._prepared.clear()

    def on_prepare(self, prepare: Prepare) -> None:
        header = prepare.header
        overwritten = header.op - self.limits.wal_slots
        self.verdict.check(
            "I27",
            overwritten <= self.checkpoint_op,
            f"{self.group}: op {header.op} takes the slot of op {overwritten}, and the durable checkpoint is at op "
            f"{self.checkpoint_op}",
        )
        self._prepared[header.op] = header
        self.verdict.check(
            "I32",
            len(self._prepared) <= self.limits.pipeline_max,
            f"{self.group}: {len(self._prepared)} prepares in flight, at most {self.limits.pipeline_max} may be",
        )
        self.verdict.check(
            "I11",
            header.view <= self.log_view,
            f"{self.group}: op {header.op} is of view {header.view}; log_view {self.log_view} is durable",
        )

    def on_send(self, message: Message) -> None:
        if isinstance(message, PrepareOk):
            self.verdict.check(
                "I11",
                message.view <= self.log_view,
                f"{self.group}: op {message.op} is acked in view {message.view}; log_view {self.log_view} is durable",
            )
            header = self._prepared.get(message.op)
            if header is not None and header.checksum == message.checksum:
                self._check_on_platter("I33", header, "acked")

    def on_commit(self, header: PrepareHeader) -> None:
        self._prepared.pop(header.op, None)
        self._check_on_platter("I7", header, "committed")

    def _check_on_platter(self, invariant: str, header: PrepareHeader, what: str) -> None:
        missing = prepare_is_durable(self.platter, self.group, self.limits, header)
        self.verdict.check(invariant, not missing, f"{self.group}: op {header.op} is {what}, but {missing}")

    def on_superblock(self, state: SuperblockState) -> None:
        before = (self.view, self.log_view, self.commit, self.checkpoint_op)
        after = (state.view, state.log_view, state.commit, state.checkpoint_op)
        self.verdict.check(
            "I10",
            all(new >= old for new, old in zip(after, before, strict=True)) and state.log_view <= state.view,
            f"{self.group}: the superblock went from view, log_view, commit, checkpoint {before} to {after}",
        )
        self.verdict.check(
            "I33",
            superblock_is_durable(self.platter, self.group, state_checksum(state)),
            f"{self.group}: superblock {state.sequence} isn't on the platter in a write quorum of copies",
        )
        self.view, self.log_view, self.commit, self.checkpoint_op = after
        if state.checkpoint_op:
            self.on_checkpoint(state.checkpoint_op, state.checkpoint_id)

    def on_checkpoint(self, op: int, checkpoint_id: bytes) -> None:
        known = self._checkpoints.setdefault(op, checkpoint_id)
        self.verdict.check(
            "I25",
            known == checkpoint_id,
            f"{self.group}: the checkpoint at op {op} was {known.hex()[:12]}, and now is {checkpoint_id.hex()[:12]}",
        )
