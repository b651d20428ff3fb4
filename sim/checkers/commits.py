"""The moments when an op is proposed and when it is committed first.

It takes the slot of an op that a quorum has in a checkpoint (I27). It is committed by the primary of its view (I8),
with the acks of a replication quorum of that view (I18), and is on the platters of such a quorum now (I7).
"""

from __future__ import annotations

from collections.abc import Mapping

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
        """I27: a slot is written again only when its op is in a checkpoint that a replication quorum has, durably."""
        overwritten = header.op - self.limits.wal_slots
        if overwritten <= 0:
            return
        reached = {voter: self.replicas[voter].checkpoint_op for voter in configuration.voters}
        have = sum(op >= overwritten for op in reached.values())
        self.verdict.check(
            "I27",
            have >= configuration.quorums.replication,
            f"{self.group}: op {header.op} takes the slot of op {overwritten}; durable checkpoints are at {reached}",
        )

    def on_first_commit(self, header: PrepareHeader, before: Configuration, replica: int, view: int) -> None:
        """`replica` committed an op that nobody had; `before` is the configuration of the op before it."""
        name = f"{self.group}: op {header.op}"
        primary = header.configuration.primary(view)
        self.verdict.check(
            "I8", replica == primary, f"{name} was committed in view {view} by replica {replica}; {primary} is primary"
        )
        for configuration in dict.fromkeys((before, header.configuration)):
            least = configuration.quorums.replication
            acked = [voter for voter in self.acks.of(view, header) if voter in configuration.voters]
            self.verdict.check(
                "I18",
                len(acked) >= least,
                f"{name} was committed in view {view} with acks of {acked}, of voters {configuration.voters} at least "
                f"{least} are needed",
            )
            missing = {voter: self.replicas[voter].holds(header) for voter in configuration.voters}
            holders = [voter for voter, lack in missing.items() if not lack]
            self.verdict.check(
                "I7",
                len(holders) >= least,
                f"{name} is committed and on the platters of {holders} alone, at least {least} are needed: {missing}",
            )
