"""I27 over a whole group: whose checkpoints free a slot, also when a disk was lost with one of them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from sim.checkers.acks import Acks
from sim.checkers.commits import Commits
from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import PrepareOk

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


class Wal:
    """A platter with the prepare of one op, perhaps whole, and a torn sector where its redundant header was."""

    def __init__(self, header: PrepareHeader, *, whole: bool) -> None:
        self.at = LIMITS.wal_headers_size + header.op % LIMITS.wal_slots * LIMITS.message_size_max
        self.prepare = header.encode() if whole else b""

    def durable(self, path: str) -> bytes | None:
        return None

    def durable_part(self, path: str, offset: int, size: int) -> bytes:
        return self.prepare[:size] if offset == self.at else b"?" * size

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        return False


@pytest.mark.parametrize(("whole", "fired"), [(True, ""), (False, "I7")])
def test_an_op_is_held_by_a_whole_prepare_whose_header_was_torn_after_its_ack(whole: bool, fired: str) -> None:
    header = NEXT_LAP
    commits, verdict = group_of((8, 8, 0))
    for number, replica in commits.replicas.items():
        replica.platter = Wal(header, whole=whole)
        commits.acks.on_ack(number, PrepareOk(view=1, op=header.op, checksum=header.checksum, replica=number))
    assert commits.on_first_commit(header, Configuration.founding((0, 1, 2))) == 1
    assert (verdict.violation.invariant if verdict.violation is not None else "") == fired


def test_an_ack_counts_in_its_view_and_for_its_prepare() -> None:
    commits, verdict = group_of((8, 8, 8))
    commits.acks.on_ack(1, PrepareOk(view=1, op=NEXT_LAP.op, checksum=NEXT_LAP.checksum, replica=1))
    counted = {NEXT_LAP.op: {1: None}}
    commits.on_counted(1, counted, lambda _op: NEXT_LAP)
    assert verdict.ok
    for view, header in ((2, NEXT_LAP), (1, evolve(NEXT_LAP, checksum=b"?" * 32)), (1, None)):
        commits, verdict = group_of((8, 8, 8))
        commits.acks.on_ack(1, PrepareOk(view=1, op=NEXT_LAP.op, checksum=NEXT_LAP.checksum, replica=1))
        commits.on_counted(view, counted, lambda _op, header=header: header)  # type: ignore[misc]
        assert verdict.violation is not None
        assert verdict.violation.invariant == "I18"
