"""I30: a read that claims to be linearizable goes on when a quorum has been in one view of this primary since it was
asked, and when all is applied that was committed anywhere before that.

Nobody else can have led the group then: in a newer view a quorum promises that view before anything is committed. The
clients' history shows a stale read only if the very stream that is read was written meanwhile; here each proof is
looked at.
"""

from __future__ import annotations

from attrs import define, field, frozen

from sim.verdict import Verdict
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import CommitOk


@frozen
class _Asked:
    """A read's question. `answers`: how many heartbeats had been answered then."""

    answers: int
    head: int
    configuration: Configuration


@define
class Rounds:
    """Of one group. A reader is a replica in one of its lives, as `(number, incarnation)`."""

    group: str
    verdict: Verdict
    _answers: int = 0
    _last: dict[int, dict[int, dict[int, int]]] = field(factory=dict)
    """By primary, view and replica: which of all answers to heartbeats was its last."""
    _asked: dict[tuple[tuple[int, int], int], _Asked] = field(factory=dict)

    def on_answer(self, replica: int, to: int, message: CommitOk) -> None:
        """A replica answers a heartbeat: it is in this view, and has promised nobody a newer one."""
        self._answers += 1
        self._last.setdefault(to, {}).setdefault(message.view, {})[replica] = self._answers

    def on_asks(self, reader: tuple[int, int], read: int, head: int, configuration: Configuration) -> None:
        """`head`: the highest op that was committed anywhere; `configuration`: the one that holds behind it."""
        self._asked[reader, read] = _Asked(self._answers, head, configuration)

    def on_confirmed(self, reader: tuple[int, int], read: int, applied: int, *, alone: bool) -> None:
        """The read goes on, with what is applied now. `alone`: there is nobody who could answer."""
        asked = self._asked.pop((reader, read), None)
        if asked is None:
            return
        number, _incarnation = reader
        who = f"{self.group}: replica {number} answers a read"
        self.verdict.check(
            "I30", applied >= asked.head, f"{who} as of op {applied}; op {asked.head} was committed when it was asked"
        )
        if alone:
            return
        needed = asked.configuration.quorums.replication
        most = max((self._since(number, view, asked) for view in self._last.get(number, {})), key=len, default=[number])
        self.verdict.check(
            "I30",
            len(most) >= needed,
            f"{who}, and since it was asked {most} of {asked.configuration.voters} have been in its view: expected "
            f"{needed}",
        )

    def _since(self, number: int, view: int, asked: _Asked) -> list[int]:
        """The voters that have been in this view of this primary since the question, as far as it can know."""
        last = self._last[number][view]
        voters = asked.configuration.voters
        return [voter for voter in voters if voter == number or last.get(voter, 0) > asked.answers]
