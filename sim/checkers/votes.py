"""Votes for views: I12, I13, I16.

- All votes of a replica for one view are identical, however often they are sent and in whichever life.
- Votes with the same log_view speak of one log: where two know a header, it is the same.
- What a vote calls present is on its sender's platter, now that it leaves for the first time.
"""

from __future__ import annotations

from attrs import define, field

from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.vsr.message import DoViewChange


@define
class Votes:
    """Of one group."""

    group: str
    verdict: Verdict
    _sent: dict[tuple[int, int], DoViewChange] = field(factory=dict)
    """By sender and view."""
    _logs: dict[tuple[int, int], tuple[bytes, int]] = field(factory=dict)
    """By log_view and op: a checksum and who voted so."""

    def on_vote(self, replica: int, vote: DoViewChange, promises: Promises) -> None:
        name = f"{self.group}: replica {replica}, which votes for view {vote.view},"
        before = self._sent.get((replica, vote.view))
        if before is not None:
            same = (before.log_view, before.commit, before.tail) == (vote.log_view, vote.commit, vote.tail)
            self.verdict.check("I12", same, f"{name} voted otherwise before: {_difference(before, vote)}")
            return
        self._sent[replica, vote.view] = vote
        for entry in vote.tail:
            header = entry.header
            if header is None:
                continue
            known, other = self._logs.setdefault((vote.log_view, entry.op), (header.checksum, replica))
            self.verdict.check(
                "I13",
                known == header.checksum,
                f"{name} has another op {entry.op} than replica {other}, with the same log_view {vote.log_view}",
            )
            if entry.present:
                missing = promises.holds(header)
                self.verdict.check("I16", not missing, f"{name} calls op {entry.op} present, and {missing}")

    def on_wiped(self, replica: int) -> None:
        """The disk was replaced: what its sender said before isn't known to it any more."""
        for key in [key for key in self._sent if key[0] == replica]:
            del self._sent[key]


def _difference(before: DoViewChange, after: DoViewChange) -> str:
    for name in ("log_view", "commit"):
        if getattr(before, name) != getattr(after, name):
            return f"{name} {getattr(before, name)}, now {getattr(after, name)}"
    for one, other in zip(before.tail, after.tail, strict=False):
        if one != other:
            return f"op {one.op} {one}, now {other}"
    return f"{len(before.tail)} entries, now {len(after.tail)}"
