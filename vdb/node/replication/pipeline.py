"""Batches between their proposal and their commit, who waits for their replies, and who asked for the same again.

Rules
- Batches stand in the order of their ops, each executed on the state that the one before it makes.
- A request of a session has an entry in `retries` from the moment it is taken until its batch is answered: a copy of it
  that arrives meanwhile waits there for the same reply.
- A batch that another primary proposed has no waiters, but its requests may be sent here again: they are inherited.
"""

from __future__ import annotations

from collections import deque

from attrs import define

from vdb.errors import PrimaryLost
from vdb.kernel.command import Origin
from vdb.kernel.reply import PartKept
from vdb.node.preparing.request import Pending
from vdb.node.replication.batch import Batch
from vdb.vsr.header import PrepareHeader


@define(eq=False)
class InFlight:
    """A batch that was proposed as this op. `inherited`: index and origin of requests that nobody here waits for."""

    op: int
    batch: Batch
    inherited: tuple[tuple[int, Origin], ...] = ()


class Pipeline:
    """One for each time that a group is opened."""

    def __init__(self) -> None:
        self._batches: deque[InFlight] = deque()
        self._retries: dict[Origin, list[Pending]] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, op: int, batch: Batch) -> None:
        """The batch is proposed as this op now."""
        assert not self._batches or self._batches[-1].op == op - 1
        self._batches.append(InFlight(op, batch))

    def inherit(self, op: int, batch: Batch) -> None:
        """An earlier primary proposed the batch as this op."""
        assert not self._batches or self._batches[-1].op == op - 1
        origins = tuple(
            (index, request.origin)
            for index, request in enumerate(batch.requests)
            if request.origin.session and not isinstance(batch.replies[index], PartKept)
        )
        for _, origin in origins:
            self.expect(origin)
        self._batches.append(InFlight(op, batch, origins))

    def expect(self, origin: Origin) -> None:
        """A request of this origin is taken: later copies of it wait."""
        self._retries[origin] = []

    def waiting(self, origin: Origin) -> list[Pending] | None:
        """Copies that wait for the reply of a request that is in the pipeline; None when it isn't."""
        return self._retries.get(origin)

    def take_batch(self, header: PrepareHeader) -> Batch | None:
        """The batch that was proposed as this op, if it was executed here. It stays until it is answered."""
        if not self._batches or self._batches[0].op != header.op:
            return None
        return self._batches[0].batch

    def reply(self, batch: Batch) -> None:
        """The batch's op was applied: answer all who wait for it."""
        if not self._batches or self._batches[0].batch is not batch:
            return
        flight = self._batches.popleft()
        for index, pending in batch.waiters:
            answer = batch.replies[index]
            pending.on_reply(answer)
            if pending.origin.session:
                for copy in self._retries.pop(pending.origin):
                    copy.on_reply(answer)
        for index, origin in flight.inherited:
            for copy in self._retries.pop(origin, ()):
                copy.on_reply(batch.replies[index])

    def lose(self, committed: int, fate: PrimaryLost) -> list[Batch]:
        """This node isn't primary any more: batches above the commit number leave, and who waits for them is told.

        What has committed is answered when it is applied. Returns what left, in order.
        """
        lost = [flight for flight in self._batches if flight.op > committed]
        self._batches = deque(flight for flight in self._batches if flight.op <= committed)
        retries, self._retries = self._retries, {}
        for flight in self._batches:
            for _, pending in flight.batch.waiters:
                if pending.origin.session:
                    self._retries[pending.origin] = retries.pop(pending.origin)
            for _, origin in flight.inherited:
                self._retries[origin] = retries.pop(origin, [])
        for flight in lost:
            for _, pending in flight.batch.waiters:
                pending.on_lost(fate)
        for copies in retries.values():
            for copy in copies:
                copy.on_lost(fate)
        return [flight.batch for flight in lost]
