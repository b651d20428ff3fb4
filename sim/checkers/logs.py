"""Nothing that was committed is cut (I14): no new view's log lacks it, and no replica drops it."""

from __future__ import annotations

from attrs import define, field

from sim.checkers.ledger import Ledger
from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.vsr.message import StartView


@define
class Logs:
    """Of one group."""

    group: str
    ledger: Ledger
    verdict: Verdict
    _started: dict[int, None] = field(factory=dict)
    """Views that have started."""

    def on_start_view(self, message: StartView) -> None:
        """A view starts: its log has all that was committed in the views before it."""
        if message.view in self._started:
            return
        self._started[message.view] = None
        head = message.tail[-1].op if message.tail else message.commit
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

    def on_cut(self, replica: int, head: int, promises: Promises) -> None:
        """A replica forgets what lies above `head`."""
        for op in range(head + 1, self.ledger.head + 1):
            held = promises.written.get(op)
            self.verdict.check(
                "I14",
                held is None or held.checksum != self.ledger.ops[op].header.checksum,
                f"{self.group}: replica {replica} cuts its log at op {head}, and held op {op}, which was committed",
            )
