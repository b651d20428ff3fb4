"""Who may say what, as the checker sees it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sim.checkers.standing import check_standing
from sim.verdict import Verdict
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import DoViewChange, Message, PrepareOk, StartViewChange

LEARNING = Configuration(epoch=1, base_view=0, base_index=0, voters=(0, 1, 2), learners=(3,))
VOTING = Configuration(epoch=2, base_view=0, base_index=0, voters=(0, 1, 2, 3))
WISH = StartViewChange(view=2, replica=3, configuration=VOTING)
VOTE = DoViewChange(view=2, log_view=1, commit=0, checkpoint_op=0, to=0, tail=(), replica=3)
ACK = PrepareOk(view=1, op=2, checksum=bytes(32), replica=3)


def broken(message: Message, *, heard: Configuration, unsure: bool = False) -> str:
    verdict = Verdict()
    replica = SimpleNamespace(
        configuration=LEARNING, voting_configuration=heard, status=SimpleNamespace(value="normal"), unsure=unsure
    )
    check_standing(verdict, "global", 3, message, replica)
    return verdict.violation.invariant if verdict.violation is not None else ""


@pytest.mark.parametrize("message", [WISH, VOTE, ACK])
def test_a_learner_says_nothing(message: Message) -> None:
    assert broken(message, heard=LEARNING) == "I34"


def test_a_learner_that_was_told_of_its_vote_votes_and_does_not_ack() -> None:
    assert [broken(message, heard=VOTING) for message in (WISH, VOTE, ACK)] == ["", "", "I34"]


def test_who_is_unsure_of_its_head_says_so_in_its_vote() -> None:
    assert broken(VOTE, heard=VOTING, unsure=True) == "I17"
