"""One replica of a group as a state machine: inputs in, `Ready` out. Pure: no IO, no clock, no randomness of its own.

Source: Viewstamped Replication Revisited (2012), section 4, with the changes that the package's docstring lists.

The rules stand where they act: `normal`, `view_change`, `repair`, `opening`, `ticks`; which input does what in which
status says `table`. What holds after every input is asserted here.
"""

from __future__ import annotations

from vdb.marks import mark
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import Input
from vdb.vsr.normal import can_propose
from vdb.vsr.ready import NOTHING, Ready
from vdb.vsr.state import ReplicaState, Status
from vdb.vsr.table import TABLE, Dropped, is_held_back

__all__ = ["Replica", "Status"]


class Replica(ReplicaState):
    """The state machine of one replica. Feed it with `on`; do what it returns, in the order of `ready`."""

    def on(self, message: Input) -> Ready:
        """Take one input and return what must be done. Total: every status has a cell for every input.

        While a view is being made durable only reports of the journal and of the checkpointer may come.
        """
        assert self.persisting is None or not is_held_back(message), "inputs wait while a view is being written"
        cell = TABLE[self.status, type(message)]
        if isinstance(cell, Dropped):
            mark("vsr.dropped")
            return NOTHING
        cell(self, message)
        self._check_invariants()
        return self.take_ready()

    # What the shell may ask ------------------------------------------------------------------------------------

    def can_propose(self) -> bool:
        """Whether `Propose` is welcome now: a serving primary, a free place in the pipeline, a slot to write."""
        return can_propose(self)

    def next_timestamp(self, wall_us: int) -> int:
        """The time for the next prepare: the clock's, but above every time given so far."""
        return max(self.log.last_timestamp + 1, wall_us)

    def next_configuration(self, voters: tuple[int, ...], learners: tuple[int, ...]) -> Configuration:
        """What `Propose` needs to make these the members. The primary must be among the voters."""
        assert self.replica in voters
        return Configuration(
            epoch=self.op + 1,
            base_view=self.view,
            base_index=voters.index(self.replica),
            voters=voters,
            learners=learners,
        )

    def pipeline_headers(self) -> tuple[PrepareHeader, ...]:
        """Headers of the ops above the commit number, in order, as far as the chain is known."""
        headers = []
        for op in range(self.commit_number + 1, self.op + 1):
            header = self.log.header(op)
            if header is None:
                break
            headers.append(header)
        return tuple(headers)

    # Invariants ------------------------------------------------------------------------------------------------

    def _check_invariants(self) -> None:
        assert self.log_view <= self.view
        assert self.checkpoint_op <= self.commit_number <= self.op
        assert self.commit_number <= self.commit_known
        if self.status is Status.NORMAL:
            assert self.log_view == self.view
            if self.is_primary:
                assert self.op - self.limits.wal_slots <= self.checkpoint_op
