"""Who may say what: a learner never acks or votes (I34); a replica that is unsure of its head doesn't either, but for
votes that say so (I17); only the primary of a view starts it and says what is committed in it (I8)."""

from __future__ import annotations

from typing import Any

from sim.verdict import Verdict
from vdb.vsr.message import CommitMessage, DoViewChange, Message, PrepareOk, StartView, StartViewChange

UNSURE = ("recovering", "recovering_head", "removed")


def check_standing(verdict: Verdict, group: str, number: int, message: Message, replica: Any, lost: int = -1) -> None:
    """`replica` is the sender as it is now; `lost` the epoch that held when its disk was lost, -1 if it never was."""
    if isinstance(message, StartView | CommitMessage):
        primary = replica.configuration.primary(message.view)
        verdict.check(
            "I8",
            number == primary,
            f"{group}: replica {number} speaks as the primary of view {message.view}: {primary}",
        )
    if not isinstance(message, PrepareOk | DoViewChange | StartViewChange):
        return
    name = f"{group}: replica {number}"
    said = f"sends {type(message).__name__} for view {message.view}"
    # Its log may not have the op yet that made it a voter: whoever told it of that gets its vote, but no ack.
    known = replica.configuration if isinstance(message, PrepareOk) else replica.voting_configuration
    verdict.check("I34", number not in known.learners, f"{name} is a learner and {said}")
    epoch = replica.configuration.epoch
    verdict.check("I6", epoch > lost, f"{name} lost its disk under configuration {lost}, and under {epoch} {said}")
    if not isinstance(message, StartViewChange):
        verdict.check("I17", replica.status.value not in UNSURE, f"{name} is {replica.status.value} and {said}")
    if isinstance(message, DoViewChange):
        verdict.check("I17", message.unsure or not replica.unsure, f"{name} is unsure of its head and {said}")
