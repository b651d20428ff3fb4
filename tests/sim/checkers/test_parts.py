"""Transactions in the checkers' own books: sound ones give their append at the close, unsound ones are named."""

from __future__ import annotations

import pytest
from attrs import evolve

from sim.checkers.parts import INVARIANT, Parts
from sim.checkers.sessions import SessionTable
from sim.verdict import Verdict
from vdb.kernel.command import AppendPart, Expected, Origin, Run, StreamAppend, VoidTransaction
from vdb.kernel.reply import Appended, PartKept, Reply
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader

TIME = 1000
ORIGIN = Origin(b"c" * 16, 3, 1)
CLOSED = Appended((), 0, 3, TIME)


def part(number: int, stream: int = 1, *, last: bool = False, transaction: int = TIME) -> AppendPart:
    runs = (Run(count=number + 1, record=b"r%d" % number),)
    appends = (StreamAppend(stream=stream, expected=Expected(), runs=runs),)
    return AppendPart(transaction=transaction, number=number, tenant=1, appends=appends, last=last)


class Log:
    def __init__(self) -> None:
        self.verdict = Verdict()
        self.parts = Parts("global", self.verdict)

    def part(self, op: int, command: AppendPart, reply: Reply | None = None, *, view: int = 1, origin: Origin = ORIGIN):
        header = PrepareHeader.make(
            body=b"", parent=ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM, group=ZERO_CHECKSUM, view=view, op=op,
            commit=op - 1, timestamp=TIME * op, request_count=1,
        )  # fmt: skip
        if reply is None:
            reply = CLOSED if command.last else PartKept(command.transaction, command.number)
        return self.parts.on_part(header, TIME * op, origin, command, reply)

    @property
    def broken(self) -> str:
        return self.verdict.violation.invariant if self.verdict.violation else ""


def test_the_close_gives_the_whole_append() -> None:
    log = Log()
    assert log.part(1, part(0)) is None
    assert log.part(2, part(1)) is None
    whole = log.part(3, part(2, stream=2, last=True))
    assert [(one.stream, [run.record for run in one.runs]) for one in whole.appends] == [
        (1, [b"r0", b"r1"]),
        (2, [b"r2"]),
    ]
    log.parts.check_closed(4)
    assert not log.broken


@pytest.mark.parametrize(
    ("op", "command", "more"),
    [
        (3, part(1), {}),
        (2, part(2), {}),
        (2, part(1, transaction=7), {}),
        (2, part(1), {"view": 2}),
        (2, part(1), {"origin": evolve(ORIGIN, number=2)}),
        (2, part(1), {"reply": CLOSED}),
        (2, part(1, last=True), {"reply": PartKept(TIME, 1)}),
        (2, part(1, last=True), {"reply": Appended((), 0, 3, TIME + 1)}),
    ],
)
def test_what_does_not_follow_is_named(op: int, command: AppendPart, more: dict[str, object]) -> None:
    log = Log()
    log.part(1, part(0))
    log.part(op, command, **more)
    assert log.broken == INVARIANT


def test_a_first_part_is_called_by_its_time_and_number() -> None:
    for command in (part(1), part(0, transaction=7)):
        log = Log()
        log.part(1, command)
        assert log.broken == INVARIANT


def test_something_between_parts_is_named() -> None:
    log = Log()
    log.part(1, part(0))
    log.parts.check_closed(2)
    assert log.broken == INVARIANT


def test_a_void_or_the_end_of_its_session_closes_a_transaction() -> None:
    log = Log()
    log.part(1, part(0))
    log.parts.on_void(VoidTransaction(transaction=7))
    assert log.parts.open is not None
    log.parts.on_void(VoidTransaction(transaction=TIME))
    assert log.parts.open is None
    log.part(1, part(0))
    sessions = SessionTable(sessions_max=2)
    sessions.opened(ORIGIN.client, ORIGIN.session)
    log.parts.on_sessions(sessions)
    assert log.parts.open is not None
    sessions.opened(ORIGIN.client, ORIGIN.session + 1)
    log.parts.on_sessions(sessions)
    log.parts.check_closed(2)
    assert not log.broken
