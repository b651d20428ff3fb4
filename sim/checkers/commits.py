"""The moments when an op is proposed, and when somebody applies it first.

It takes the slot of an op that a quorum has in a checkpoint (I27). A primary counts what it was given (I18). When
anybody takes it for committed, a replication quorum of distinct replicas has acked it in one view (I18), and recovery
would find it on the platters of such a quorum now (I7). A redundant header was durable when its op was acked (I33); a
crash since may have torn it together with one that was being written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define

from sim.checkers.acks import Acks
from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader


@define
class Commits:
    """Of one group."""

    group: str
    limits: Limits
    verdict: Verdict
    acks: Acks
    replicas: Mapping[int, Promises]

    def on_propose(self, header: PrepareHeader, configuration: Configuration) -> None:
        """I27: a slot is written again only when its op is in a checkpoint that a replication quorum has, durably; or
        had, on a disk that was lost and for which the node is still a voter."""
        for number, replica in self.replicas.items():
            if number not in configuration.voters:
                replica.lost_checkpoint_op = 0
        overwritten = header.op - self.limits.wal_slots
        if overwritten <= 0:
            return
        reached = {
            voter: max(self.replicas[voter].checkpoint_op, self.replicas[voter].lost_checkpoint_op)
            for voter in configuration.voters
        }
        have = sum(op >= overwritten for op in reached.values())
        self.verdict.check(
            "I27",
            have >= configuration.quorums.replication,
            f"{self.group}: op {header.op} takes the slot of op {overwritten}; durable checkpoints are at {reached}",
        )

    def on_counted(
        self,
        view: int,
        counted: Mapping[int, Mapping[int, None]],
        header_of: Callable[[int], PrepareHeader | None],
    ) -> None:
        """I18: what the primary of a view counts by op was given in that view, for the prepare that it has there. What
        it counts wrongly is seen before it does harm."""
        for op, replicas in counted.items():
            header = header_of(op)
            given = self.acks.of(header).get(view, {}) if header is not None else {}
            surplus = [replica for replica in replicas if replica not in given]
            self.verdict.check(
                "I18",
                not surplus,
                f"{self.group}: the primary of view {view} counts acks of op {op} that {surplus} didn't give in it",
            )

    def on_first_commit(self, header: PrepareHeader, before: Configuration) -> int:
        """An op that nobody had applied; `before` is the configuration of the op before it. Returns the view in which
        it was committed."""
        configurations = tuple(dict.fromkeys((before, header.configuration)))
        views = self.acks.of(header)
        committed_in = [
            view for view, acked in views.items() if all(_is_quorum(each, acked) for each in configurations)
        ]
        self.verdict.check(
            "I18",
            bool(committed_in),
            f"{self.group}: op {header.op} was committed, of which acks by view are "
            f"{ {view: list(acked) for view, acked in views.items()} }; voters are {configurations[-1].voters}",
        )
        for configuration in configurations:
            missing = {voter: self.replicas[voter].keeps(header) for voter in configuration.voters}
            holders = {voter: None for voter, lack in missing.items() if not lack}
            self.verdict.check(
                "I7",
                _is_quorum(configuration, holders),
                f"{self.group}: op {header.op} is committed and on the platters of {list(holders)} alone: {missing}",
            )
        return min(committed_in, default=header.view)


def _is_quorum(configuration: Configuration, nodes: Mapping[int, None]) -> bool:
    return sum(voter in nodes for voter in configuration.voters) >= configuration.quorums.replication
