"""I27 over a whole group: whose checkpoints free a slot, also when a disk was lost with one of them."""

from __future__ import annotations

from typing import Any

from sim.checkers.acks import Acks
from sim.checkers.commits import Commits
from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader

LIMITS = Limits(wal_slots=48, checkpoint_interval=8, pipeline_max=3)
NEXT_LAP = PrepareHeader.make(
    body=b"", parent=ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM, group=ZERO_CHECKSUM, view=1, op=LIMITS.wal_slots + 8,
    commit=LIMITS.wal_slots, timestamp=1, request_count=1,
)  # fmt: skip


def group_of(checkpoints: tuple[int, ...]) -> tuple[Commits, Verdict]:
    verdict = Verdict()
    platter: Any = None
    replicas = {
        number: Promises(group="global", limits=LIMITS, verdict=verdict, platter=platter, checkpoint_op=op)
        for number, op in enumerate(checkpoints)
    }
    return Commits("global", LIMITS, verdict, Acks("global", verdict), replicas), verdict


def test_a_slot_is_free_when_a_quorum_has_the_checkpoint() -> None:
    commits, verdict = group_of((8, 8, 0))
    commits.on_propose(NEXT_LAP, Configuration.founding((0, 1, 2)))
    assert verdict.ok
    commits, verdict = group_of((8, 0, 0))
    commits.on_propose(NEXT_LAP, Configuration.founding((0, 1, 2)))
    assert verdict.violation is not None
    assert verdict.violation.invariant == "I27"


def test_a_checkpoint_that_was_lost_with_its_disk_counts_until_the_node_has_left() -> None:
    commits, verdict = group_of((8, 8, 0))
    commits.replicas[1].on_wiped()
    commits.on_propose(NEXT_LAP, Configuration.founding((0, 1, 2)))
    assert verdict.ok
    commits.on_propose(NEXT_LAP, Configuration.founding((0,)))
    commits.on_propose(NEXT_LAP, Configuration.founding((0, 1, 2)))
    assert verdict.violation is not None
    assert verdict.violation.invariant == "I27"
