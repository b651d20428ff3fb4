"""Nothing that was committed is cut (I14): no new view's log lacks it, and no replica drops it. And logs grow only by
what the primary of their view proposes: repair never moves the head, and brings only what chains to it (I17)."""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen

from sim.checkers.ledger import Ledger
from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import Headers, Message, PrepareMessage, StartView


@frozen
class _Last:
    """A replica as it was when it got its last message."""

    replica: Any
    op: int
    log_view: int
    follows: bool
    """It is a backup in normal operation."""
    message: Message


@define
class Logs:
    """Of one group."""

    group: str
    ledger: Ledger
    verdict: Verdict
    _started: dict[int, int] = field(factory=dict)
    """Views that have started, with the heads of the logs with which they did."""
    _last: dict[int, _Last] = field(factory=dict)

    def on_start_view(self, message: StartView) -> None:
        """A view starts: its log has all that was committed in the views before it."""
        if message.view in self._started:
            return
        head = message.tail[-1].op if message.tail else message.commit
        self._started[message.view] = head
        committed = self.ledger.head
        while committed and self.ledger.ops[committed].view > message.view:
            committed -= 1
        name = f"{self.group}: the log with which replica {message.replica} starts view {message.view}"
        self.verdict.check("I14", head >= committed, f"{name} ends at op {head}; op {committed} was committed")
        for header in message.tail:
            if header.op <= committed:
                self.verdict.check(
                    "I14",
                    header.checksum == self.ledger.ops[header.op].header.checksum,
                    f"{name} has another op {header.op} than the one that was committed",
                )

    def on_receive(self, replica: Any, message: Message) -> None:
        """I17: what moved a backup's head since its last message is its primary's: a prepare, or the view's log."""
        before = self._last.get(replica.replica)
        follows = replica.status.value == "normal" and not replica.is_primary
        self._last[replica.replica] = _Last(replica, replica.op, replica.log_view, follows, message)
        if before is None or before.replica is not replica:
            return
        if isinstance(before.message, Headers):
            self._check_chain(replica)
        if not before.follows:
            return
        if before.log_view != replica.log_view or replica.op <= before.op:
            return
        cause = before.message
        self.verdict.check(
            "I17",
            isinstance(cause, StartView)
            or (isinstance(cause, PrepareMessage) and cause.prepare.header.view == replica.log_view),
            f"{self.group}: {type(cause).__name__} moved the head of replica {replica.replica} from op {before.op} to "
            f"{replica.op} within view {replica.log_view}",
        )

    def _check_chain(self, replica: Any) -> None:
        """I17: of two headers that the replica knows, one above the other, the upper one names the lower."""
        for op in range(replica.commit_number + 1, replica.op):
            header, above = replica.log.header(op), replica.log.header(op + 1)
            self.verdict.check(
                "I17",
                header is None or above is None or above.parent == header.checksum,
                f"{self.group}: replica {replica.replica} has taken a header for op {op} that op {op + 1} doesn't name",
            )

    def on_written(self, replica: int, log_view: int, header: PrepareHeader) -> None:
        """I17: beyond the head with which its view started, a log grows by that view's own prepares alone."""
        head = self._started.get(log_view)
        self.verdict.check(
            "I17",
            head is None or header.op <= head or header.view == log_view,
            f"{self.group}: replica {replica} takes op {header.op} of view {header.view} into the log of {log_view}"
            f", a view that started at op {head}",
        )

    def on_cut(self, replica: int, head: int, promises: Promises, view: int) -> None:
        """A replica in this view forgets what lies above `head`. What was committed in newer views alone, the logs of
        older ones needn't have: one who was asleep may still start such a view, which nobody will follow."""
        for op in range(head + 1, self.ledger.head + 1):
            held, committed = promises.written.get(op), self.ledger.ops[op]
            self.verdict.check(
                "I14",
                committed.view > view or held is None or held.checksum != committed.header.checksum,
                f"{self.group}: replica {replica} cuts its log at op {head}, and held op {op}, which was committed",
            )
