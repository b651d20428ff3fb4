"""I37: a new view begins only when a view-change quorum wants it at the same time.

So a replica that is cut off, one way or both, can't move the others from view to view: its wish alone is none, and one
that it said long ago doesn't count. Looked at when a view is entered for the first time by anybody: who enters it must
have heard, within the time that a wish lasts, enough others that want it.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from sim.verdict import Verdict
from vdb.vsr.message import StartViewChange

GRACE_TICKS = 1


@define
class Wishes:
    """Of one group. Ticks are those of the replica that hears."""

    group: str
    verdict: Verdict
    highest: int = 0
    """The highest view that anybody has entered."""
    _heard: dict[int, dict[int, tuple[int, int]]] = field(factory=dict)
    """By hearer and sender: the view wanted, and the hearer's tick."""

    def on_start(self, replica: int) -> None:
        """A new incarnation has heard nothing."""
        self._heard.pop(replica, None)

    def on_receive(self, hearer: Any, message: StartViewChange) -> None:
        """`hearer` is the replica that hears a wish."""
        self._heard.setdefault(hearer.replica, {})[message.replica] = (message.view, hearer.tick)

    def on_view(self, replica: Any, view: int) -> None:
        """`replica` is in this view now."""
        if view <= self.highest:
            return
        first, self.highest = self.highest == 0, view
        configuration = replica.voting_configuration
        if first or len(configuration.voters) == 1:
            return
        latest = replica.tick - replica.timing.vote_expiry - GRACE_TICKS
        heard = self._heard.get(replica.replica, {})
        wanting = {node: None for node, (wanted, tick) in heard.items() if wanted >= view and tick >= latest}
        wanting[replica.replica] = None
        count = sum(voter in wanting for voter in configuration.voters)
        self.verdict.check(
            "I37",
            count >= configuration.quorums.view_change,
            f"{self.group}: replica {replica.replica} enters view {view} when {list(wanting)} want it, of voters "
            f"{configuration.voters}; it heard {heard} up to tick {replica.tick}",
        )
