"""What the checker of reads says of made-up answers."""

from __future__ import annotations

from sim.checkers.rounds import Rounds
from sim.verdict import Verdict
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import CommitOk

READER = (0, 1)
THREE = Configuration.founding((0, 1, 2))


def answered(rounds: Rounds, replica: int, view: int = 3, to: int = 0) -> None:
    rounds.on_answer(replica, to, CommitOk(view=view, round=1, commit=7, checkpoint_op=0, replica=replica))


def asked() -> tuple[Rounds, Verdict]:
    verdict = Verdict()
    rounds = Rounds("g", verdict)
    answered(rounds, 1)
    rounds.on_asks(READER, 1, 7, THREE)
    return rounds, verdict


def test_an_answer_after_the_question_counts() -> None:
    rounds, verdict = asked()
    answered(rounds, 2)
    rounds.on_confirmed(READER, 1, 7, alone=False)
    assert verdict.ok
    assert verdict.checks["I30"] == 2


def test_one_from_before_does_not_nor_one_to_another_primary() -> None:
    rounds, verdict = asked()
    answered(rounds, 2, view=4, to=1)
    rounds.on_confirmed(READER, 1, 7, alone=False)
    assert verdict.violation is not None
    assert verdict.violation.message == (
        "g: replica 0 answers a read, and since it was asked [0] of (0, 1, 2) have been in its view: expected 2"
    )


def test_answers_of_two_views_are_no_quorum() -> None:
    verdict = Verdict()
    rounds = Rounds("g", verdict)
    rounds.on_asks(READER, 1, 7, Configuration.founding((0, 1, 2, 3, 4)))
    answered(rounds, 1, view=5)
    answered(rounds, 2, view=10)
    rounds.on_confirmed(READER, 1, 7, alone=False)
    assert verdict.violation is not None
    assert "expected 3" in verdict.violation.message


def test_what_was_committed_before_the_question_is_applied() -> None:
    rounds, verdict = asked()
    answered(rounds, 1)
    rounds.on_confirmed(READER, 1, 6, alone=False)
    assert verdict.violation is not None
    assert verdict.violation.message == "g: replica 0 answers a read as of op 6; op 7 was committed when it was asked"


def test_who_is_alone_needs_no_answer() -> None:
    rounds, verdict = asked()
    rounds.on_confirmed(READER, 1, 7, alone=True)
    rounds.on_confirmed(READER, 1, 0, alone=True)  # answered already: nothing is known of it
    assert verdict.ok
