"""Who acked what: I6, I9, I15, I18, by a history of the acks that left, over all lives of each replica.

A replica that acked an op keeps it. It is free of that only when its log changes in a newer view: the op was cut, or
another one stands in its place. Until then it says so in every vote, and finds it on its disk after every crash.
"""

from __future__ import annotations

from attrs import define, field

from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import DoViewChange, PrepareOk
from vdb.vsr.tail import decode_log


@define
class Acks:
    """Of one group."""

    group: str
    verdict: Verdict
    _of_prepare: dict[tuple[int, bytes], dict[int, dict[int, None]]] = field(factory=dict)
    """By op and checksum: for each view the distinct replicas from which an ack has left."""
    _kept: dict[int, dict[int, tuple[bytes, int]]] = field(factory=dict)
    """By replica and op: the checksum that it acked last and must keep, and the view of that ack."""
    _voted: dict[int, int] = field(factory=dict)
    """By replica: the highest view that it voted for."""

    def of(self, header: PrepareHeader) -> dict[int, dict[int, None]]:
        """For each view the distinct replicas that acked this prepare in it."""
        return self._of_prepare.get((header.op, header.checksum), {})

    def last_of(self, replica: int, promises: Promises) -> PrepareHeader | None:
        """The highest op that this replica acked and must keep, in no checkpoint of its own; None if there is none."""
        kept = self._kept.get(replica, {})
        op = max(kept, default=0)
        header = promises.written.get(op)
        return header if header is not None and header.checksum == kept[op][0] and op > promises.checkpoint_op else None

    def on_ack(self, replica: int, message: PrepareOk) -> None:
        voted = self._voted.get(replica, 0)
        self.verdict.check(
            "I9",
            message.view >= voted,
            f"{self.group}: replica {replica} acks op {message.op} in view {message.view}, and voted for view {voted}",
        )
        views = self._of_prepare.setdefault((message.op, message.checksum), {})
        views.setdefault(message.view, {})[replica] = None
        self._kept.setdefault(replica, {})[message.op] = message.checksum, message.view

    def on_vote(self, replica: int, vote: DoViewChange) -> None:
        """I6, I15: the vote says of each acked op that it is there, or that the sender can't tell."""
        self._voted[replica] = max(vote.view, self._voted.get(replica, 0))
        kept = self._kept.get(replica, {})
        name = f"{self.group}: replica {replica}, which votes for view {vote.view},"
        head = vote.tail[-1].op if vote.tail else 0
        entries = {entry.op: entry for entry in vote.tail}
        for op, (checksum, _) in kept.items():
            if op <= vote.checkpoint_op or op <= vote.commit:
                continue
            known = op <= head or vote.unsure
            if not self.verdict.check("I6", known, f"{name} acked op {op}; its vote's head is op {head}"):
                return
            entry = entries.get(op)
            if entry is None:
                continue
            same = entry.header is None or entry.header.checksum == checksum
            self.verdict.check("I6", same, f"{name} acked op {op}; its vote holds another prepare there")
            self.verdict.check("I15", not entry.nack, f"{name} acked op {op}, and denies it")

    def on_cut(self, replica: int, head: int) -> None:
        """A newer view's log ends at `head`: what the replica acked above is void."""
        kept = self._kept.get(replica, {})
        for op in [op for op in kept if op > head]:
            del kept[op]

    def on_replaced(self, replica: int, op: int, checksum: bytes) -> None:
        """A newer view's log has this prepare at `op`."""
        kept = self._kept.get(replica, {})
        if op in kept and kept[op][0] != checksum:
            del kept[op]

    def on_superblock(self, replica: int, log_view: int, tail: bytes) -> None:
        """A view's log is durable as the replica's own: it may name ops whose prepares aren't written here yet."""
        started = decode_log(tail)
        if started is None:
            return
        head, headers = started
        for header in headers:
            self.on_replaced(replica, header.op, header.checksum)
            head = header.op
        kept = self._kept.get(replica, {})
        for op in [op for op, (_, view) in kept.items() if op > head and view < log_view]:
            del kept[op]

    def on_wiped(self, replica: int) -> None:
        """The disk was replaced: a replica that joins has promised nothing."""
        self._kept.pop(replica, None)

    def check_kept(self, replica: int, promises: Promises) -> None:
        """I6: what the replica acked is on its platter, now that an incarnation has ended.

        What couldn't be read is written once more at its place: a power cut may tear it there, and recovery then says
        that it is faulty.
        """
        for op, (checksum, _) in self._kept.get(replica, {}).items():
            header = promises.written.get(op)
            if header is None or header.checksum != checksum or op <= promises.checkpoint_op:
                continue
            if op in promises.rewriting:
                continue
            missing = promises.keeps(header)
            self.verdict.check(
                "I6", not missing, f"{self.group}: replica {replica} acked op {op}, and after its end {missing}"
            )
