"""The log of a new view is that of the votes with the highest log_view, cut only where nobody can have acked."""

from __future__ import annotations

from itertools import pairwise

from sim.checkers.choices import Choices
from sim.verdict import Verdict
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import DoViewChange, TailEntry

THREE = Configuration.founding((0, 1, 2))


def chain(*views: int) -> list[PrepareHeader]:
    """Ops from 1, each of its view."""
    found: list[PrepareHeader] = []
    for op, view in enumerate(views, 1):
        parent = found[-1].checksum if found else ZERO_CHECKSUM
        header = PrepareHeader.make(
            body=b"", parent=parent, checkpoint_id=ZERO_CHECKSUM, group=ZERO_CHECKSUM, view=view, op=op,
            commit=0, timestamp=op, request_count=1, configuration=THREE,
        )  # fmt: skip
        found.append(header)
    assert all(one.checksum == other.parent for one, other in pairwise(found))
    return found


def vote(
    replica: int, log_view: int, *headers: PrepareHeader, nacks: bool = False, unsure: bool = False
) -> DoViewChange:
    tail = tuple(TailEntry(op=header.op, header=header, present=not nacks, nack=nacks) for header in headers)
    return DoViewChange(
        view=9, log_view=log_view, commit=1, checkpoint_op=0, to=0, tail=tail, unsure=unsure, replica=replica
    )  # fmt: skip


def complaint(tail: list[PrepareHeader], *votes: DoViewChange) -> str:
    """What the checker says of this choice; '' if it is right."""
    verdict = Verdict()
    Choices("global", verdict).on_chosen(0, 9, {vote.replica: vote for vote in votes}, tail, THREE)
    if verdict.violation is None:
        return ""
    assert verdict.violation.invariant == "I14"
    return verdict.violation.message.removeprefix("global: the log that replica 0 chose for view 9 ")


OLD, NEW = chain(1, 1, 1, 1), chain(1, 1, 2)


def test_the_log_of_the_highest_log_view() -> None:
    votes = vote(0, 1, *OLD), vote(1, 2, *NEW)
    assert complaint(NEW, *votes) == ""
    assert complaint(OLD, *votes) == "has another op 3 than [1], of log_view 2"
    assert complaint(OLD, vote(0, 1, *OLD), vote(1, 2, *NEW[:2])) == "ends at op 4, which [1] of log_view 2 lack"


def test_it_is_cut_where_a_nack_quorum_says_so() -> None:
    assert complaint(NEW[:2], vote(0, 2, *NEW[:2]), vote(1, 2, *NEW)) == (
        "is cut at op 2; only [0] say that they never acked op 3"
    )
    assert complaint(NEW[:2], vote(0, 2, *NEW[:2]), vote(1, 2, *NEW[:2]), vote(2, 2, *NEW)) == ""
    denied = DoViewChange(
        view=9, log_view=2, commit=1, checkpoint_op=0, to=0, replica=1,
        tail=(*vote(1, 2, *NEW[:2]).tail, *vote(1, 2, NEW[2], nacks=True).tail),
    )  # fmt: skip
    assert complaint(NEW[:2], vote(0, 1, *OLD), denied) == ""


def test_it_rests_on_a_quorum_and_not_on_who_is_unsure() -> None:
    assert complaint(NEW, vote(1, 2, *NEW)) == "rests on votes of [1] among (0, 1, 2)"
    assert complaint(NEW, vote(0, 3, *OLD, unsure=True), vote(1, 2, *NEW)) == ""
