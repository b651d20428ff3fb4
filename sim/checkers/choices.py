"""The choice of a new view's log (I14), worked out anew from the votes, when the primary has made it durable.

- The votes are those of a view-change quorum, as their senders sent them.
- The log is that of the votes with the highest log_view: where they know an op, it has that one, and it ends with one
  that they know, or with what is known to be committed.
- It ends below their highest op only where a nack quorum never acked the next one.

A wrong choice does harm only if what it loses was committed, which takes bad luck. Here it is seen at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from sim.verdict import Verdict
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import DoViewChange


@define
class Choices:
    """Of one group."""

    group: str
    verdict: Verdict
    _seen: dict[tuple[int, int], None] = field(factory=dict)
    """Primaries and views whose choice was looked at."""

    def on_chosen(
        self,
        primary: int,
        view: int,
        votes: Mapping[int, DoViewChange],
        tail: Sequence[PrepareHeader],
        configuration: Configuration,
    ) -> None:
        """The log with which this view will start is durable. `configuration` holds at the commit number."""
        if (primary, view) in self._seen:
            return
        self._seen[primary, view] = None
        name = f"{self.group}: the log that replica {primary} chose for view {view}"
        voters = [voter for voter in configuration.voters if voter in votes]
        enough = len(voters) >= configuration.quorums.view_change
        self.verdict.check("I14", enough, f"{name} rests on votes of {voters} among {configuration.voters}")
        sure = {voter: vote for voter, vote in votes.items() if not vote.unsure}
        log_view = max((vote.log_view for vote in sure.values()), default=0)
        best = {voter: vote for voter, vote in sure.items() if vote.log_view == log_view}
        known = {entry.op: entry.header for vote in best.values() for entry in vote.tail if entry.header is not None}
        commit = max(vote.commit for vote in votes.values())
        head = tail[-1].op if tail else commit
        for header in tail:
            same = header.op <= commit or known.get(header.op, header).checksum == header.checksum
            self.verdict.check(
                "I14", same, f"{name} has another op {header.op} than {list(best)}, of log_view {log_view}"
            )
        self.verdict.check(
            "I14",
            head <= commit or head in known,
            f"{name} ends at op {head}, which {list(best)} of log_view {log_view} lack",
        )
        cut = head + 1
        if cut > max((vote.tail[-1].op for vote in best.values() if vote.tail), default=0):
            return
        checksum = known[cut].checksum if cut in known else known[cut + 1].parent if cut + 1 in known else None
        holds = tail[-1].configuration if head > commit else configuration
        free = [voter for voter in holds.voters if voter in sure and _never_acked(sure[voter], cut, checksum)]
        self.verdict.check(
            "I14",
            len(free) >= holds.quorums.nack,
            f"{name} is cut at op {head}; only {free} say that they never acked op {cut}",
        )


def _never_acked(vote: DoViewChange, op: int, checksum: bytes | None) -> bool:
    """Whether this vote says that its sender never acked the op of this checksum."""
    entry = next((entry for entry in vote.tail if entry.op == op), None)
    if entry is None:
        return not vote.tail or op > vote.tail[-1].op
    other = checksum is not None and entry.header is not None and entry.header.checksum != checksum
    return entry.nack or other
