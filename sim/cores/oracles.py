"""What a pure replica may say, judged from outside by its platter and by what it said before.

Acks are of what is on the platter (I33), in a view that is durable (I11), never for a view older than a vote (I9).
Votes are durable (I11), the same each time (I12), agree with each other (I13), and a nack is of what was never acked
(I15). A commit counts distinct acks of its own view and prepare (I18). A view that starts has every committed op (I14).
Headers that were fetched don't move the head (I17).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from sim.cores.host import Host
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import CoreMessage, DoViewChange, Headers, PrepareOk, StartView


class Broken(AssertionError):
    """An invariant broke: which, and how."""


@define(eq=False)
class Oracles:
    """One for a group. `committed` is the group's own record, by op."""

    committed: Mapping[int, PrepareHeader]
    voted: dict[int, int] = field(factory=dict)
    """The highest view that each replica has voted for."""
    votes: dict[tuple[int, int], DoViewChange] = field(factory=dict)
    logs: dict[tuple[int, int, int], bytes] = field(factory=dict)
    """(view, log_view, op): the checksum that votes of this log_view for this view name."""
    acked: dict[tuple[int, int], dict[bytes, int]] = field(factory=dict)
    """(replica, op): the checksums acked, each with the newest view in which it was."""
    views: dict[int, int] = field(factory=dict)
    """The view of the replica that was the first to commit an op."""
    acks: dict[tuple[int, int, bytes], dict[int, None]] = field(factory=dict)
    """(view, op, checksum): who acked it."""

    def on_post(self, host: Host, message: CoreMessage) -> None:
        """A message leaves its sender."""
        match message:
            case PrepareOk():
                self._check_ack(host, message)
            case DoViewChange():
                self._check_vote(host, message)
            case StartView() if host.platter.log_view < message.view:
                raise Broken(f"I11: {host.number} starts view {message.view}, which isn't durable")
            case _:
                pass

    def _check_ack(self, host: Host, ok: PrepareOk) -> None:
        platter = host.platter
        if platter.log_view != ok.view:
            raise Broken(f"I11: {host.number} acks in view {ok.view}, durable is log_view {platter.log_view}")
        if self.voted.get(host.number, 0) > ok.view:
            raise Broken(f"I9: {host.number} acks in view {ok.view} after a vote for {self.voted[host.number]}")
        if not has_on_platter(host, ok.op, ok.checksum) and ok.op not in platter.faulty:
            raise Broken(f"I33: {host.number} acks op {ok.op}, which isn't durable")
        self.acked.setdefault((host.number, ok.op), {})[ok.checksum] = ok.view
        self.acks.setdefault((ok.view, ok.op, ok.checksum), {})[host.number] = None

    def _check_vote(self, host: Host, vote: DoViewChange) -> None:
        if host.platter.view < vote.view:
            raise Broken(f"I11: {host.number} votes for view {vote.view}, durable is {host.platter.view}")
        if self.votes.setdefault((host.number, vote.view), vote) != vote:
            raise Broken(f"I12: {host.number} votes differently for view {vote.view}")
        self.voted[host.number] = max(self.voted.get(host.number, 0), vote.view)
        for entry in vote.tail:
            if entry.header is None:
                continue
            checksum = entry.header.checksum
            if self.logs.setdefault((vote.view, vote.log_view, entry.op), checksum) != checksum:
                raise Broken(f"I13: votes for view {vote.view} differ at op {entry.op}")
            if entry.nack and self._is_lie(host, vote, entry.op, checksum):
                raise Broken(f"I15: {host.number} nacks op {entry.op}, which it acked")
        self._check_bits(host, vote)

    def _is_lie(self, host: Host, vote: DoViewChange, op: int, checksum: bytes) -> bool:
        """An ack of the log that the vote tells, or of what had committed by then.

        An older one counts no more: its log may have been cut, and come back and be committed without this host.
        """
        acked = self.acked.get((host.number, op), {}).get(checksum)
        if acked is None:
            return False
        committed = self.committed.get(op)
        was_committed = committed is not None and committed.checksum == checksum and self.views[op] <= acked
        return acked == vote.log_view or was_committed

    def _check_bits(self, host: Host, vote: DoViewChange) -> None:
        for entry in vote.tail:
            committed = self.committed.get(entry.op)
            if not entry.nack or entry.header is not None or committed is None:
                continue
            if self._is_lie(host, vote, entry.op, committed.checksum):
                raise Broken(f"I15: {host.number} nacks op {entry.op}, which it acked and which is committed")

    def on_first_commit(self, host: Host, header: PrepareHeader) -> None:
        """The primary is the first to commit this op."""
        acked = self.acks.get((host.replica.view, header.op, header.checksum), {})
        configuration = header.configuration
        count = sum(voter in acked for voter in configuration.voters)
        if count < configuration.quorums.replication:
            raise Broken(f"I18: op {header.op} is committed with acks of {tuple(acked)} in view {host.replica.view}")

    def on_committed(self, host: Host, header: PrepareHeader) -> None:
        """A replica commits an op, as the first or after others."""
        self.views.setdefault(header.op, host.replica.view)

    def on_view_started(self, host: Host) -> None:
        """A primary serves. It may come late, after the start of a newer view: that one's commits it can't know."""
        log = host.replica.log
        newest = max((op for op, view in self.views.items() if view < host.replica.view), default=0)
        if log.head < newest:
            raise Broken(f"I14: view {host.replica.view} starts at op {log.head}, {newest} is committed")
        for op in range(log.base_op + 1, newest + 1):
            found = log.header(op)
            if found is not None and found.checksum != self.committed[op].checksum:
                raise Broken(f"I14: view {host.replica.view} starts with another op {op} than the committed one")

    def on_delivered(self, host: Host, message: CoreMessage, head: int) -> None:
        """A message was taken; `head` was the log's before."""
        if isinstance(message, Headers) and host.replica.op != head:
            raise Broken(f"I17: repair moved the head of {host.number} from {head} to {host.replica.op}")


def has_on_platter(host: Host, op: int, checksum: bytes) -> bool:
    """Whether the host's disk holds this prepare, or a checkpoint that includes it."""
    if host.platter.checkpoint.op >= op:
        return True
    found = host.platter.slots.get(op % host.limits.wal_slots)
    return found is not None and found.header.checksum == checksum
