"""Transactions in the ledger: appends that travel as parts, checked by rules of the checker's own.

The parts of a transaction are numbered from 0, in consecutive ops of one view, of one request. Nothing is created or
appended between them. The last one closes it, and is then answered as one append of all that the parts hold; the
others are answered that they are kept, and change nothing that anybody sees.
"""

from __future__ import annotations

from attrs import define, field

from sim.checkers.sessions import SessionTable
from sim.verdict import Verdict
from vdb.kernel.command import AppendBatch, AppendPart, Origin, StreamAppend, VoidTransaction
from vdb.kernel.reply import Appended, PartKept, Reply
from vdb.vsr.header import PrepareHeader

INVARIANT = "transactions"


@define
class _Open:
    """A transaction between two of its parts."""

    transaction: int
    origin: Origin
    tenant: int
    view: int
    op: int
    parts: int = 0
    appends: list[StreamAppend] = field(factory=list)


@define
class Parts:
    """Of one group: at most one transaction is open."""

    group: str
    verdict: Verdict
    open: _Open | None = None

    def on_part(
        self, header: PrepareHeader, time: int, origin: Origin, command: AppendPart, reply: Reply
    ) -> AppendBatch | None:
        """One part; what the transaction appends as a whole when it closes."""
        name = f"{self.group} op {header.op}: part {command.number} of {command.transaction}"
        found, self.open = self.open, None
        if found is None:
            found = _Open(time, origin, command.tenant, header.view, header.op - 1)
        expected = (found.transaction, found.origin, found.tenant, found.view, found.op + 1, found.parts)
        part = (command.transaction, origin, command.tenant, header.view, header.op, command.number)
        if not self.verdict.check(INVARIANT, part == expected, f"{name}: expected {expected}, found {part}"):
            return None
        for append in command.appends:
            _join(found.appends, append)
        if command.last:
            self.verdict.check(
                INVARIANT,
                isinstance(reply, Appended) and reply.timestamp == found.transaction,
                f"{name} closes it, and was answered {reply}",
            )
            return AppendBatch(tenant=command.tenant, appends=tuple(found.appends))
        self.verdict.check(
            INVARIANT,
            reply == PartKept(command.transaction, command.number),
            f"{name} doesn't close it, and was answered {reply}",
        )
        found.op, found.parts = header.op, found.parts + 1
        self.open = found
        return None

    def on_void(self, command: VoidTransaction) -> None:
        if self.open is not None and self.open.transaction == command.transaction:
            self.open = None

    def on_sessions(self, sessions: SessionTable) -> None:
        """Sessions have changed: the end of one voids what it was sending."""
        if self.open is not None and self.open.origin.session and not sessions.is_open(self.open.origin.session):
            self.open = None

    def check_closed(self, op: int) -> None:
        """Something is created or appended at this op."""
        self.verdict.check(INVARIANT, self.open is None, f"{self.group} op {op} stands between parts of a transaction")


def _join(appends: list[StreamAppend], more: StreamAppend) -> None:
    """Put a piece behind the others; pieces of one stream become one."""
    if appends and appends[-1].stream == more.stream:
        last = appends.pop()
        more = StreamAppend(stream=more.stream, expected=more.expected, runs=(*last.runs, *more.runs))
    appends.append(more)
