"""The ledger accepts a sound history of ops, and names the invariant of each kind of unsound one."""

from __future__ import annotations

from collections.abc import Sequence

from sim.checkers.ledger import Ledger
from sim.verdict import Verdict
from vdb.errors import RefusalCode
from vdb.kernel.command import (
    INTERNAL,
    AppendBatch,
    Expected,
    ExpectedKind,
    OpenSession,
    Origin,
    Request,
    Run,
    StreamAppend,
)
from vdb.kernel.reply import Appended, AppendedStream, Refusal, Reply, SessionOpened
from vdb.limits import Limits
from vdb.types import StreamId, TenantId
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader

CLIENT = b"c" * 16
ANY = Expected()


def append(count: int = 1, origin: Origin = INTERNAL, expected: Expected = ANY) -> Request:
    part = StreamAppend(stream=StreamId(1), expected=expected, runs=(Run(count=count, record=b"r"),))
    return Request(origin, AppendBatch(tenant=TenantId(1), appends=(part,)))


def appended(offset: int, count: int, position: int) -> Appended:
    return Appended((AppendedStream(StreamId(1), offset, offset + count),), position, position + count, 1)


class Log:
    """Commits ops to a ledger as a node would."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.ledger = Ledger("global", Limits(sessions_max=2), self.verdict)
        self.headers: list[PrepareHeader] = []

    def header(self, *, count: int, **changes: object) -> PrepareHeader:
        fields: dict[str, object] = {
            "body": b"", "parent": self.headers[-1].checksum if self.headers else ZERO_CHECKSUM,
            "checkpoint_id": ZERO_CHECKSUM, "group": ZERO_CHECKSUM, "view": 1, "op": len(self.headers) + 1,
            "commit": len(self.headers), "timestamp": 1000 * (len(self.headers) + 1), "request_count": count,
        }  # fmt: skip
        return PrepareHeader.make(**{**fields, **changes})  # type: ignore[arg-type]

    def commit(self, requests: Sequence[Request], replies: Sequence[Reply], **changes: object) -> PrepareHeader:
        header = self.header(count=len(requests), **changes)
        self.headers.append(header)
        self.ledger.on_commit(header, requests, replies)
        return header

    @property
    def broken(self) -> str:
        return self.verdict.violation.invariant if self.verdict.violation else ""


def test_a_sound_history_holds_and_gives_frames() -> None:
    log = Log()
    log.commit([append(2), append()], [appended(0, 2, 0), appended(2, 1, 2)])
    log.commit([append()], [appended(3, 1, 3)])
    assert not log.broken
    assert [(frame.op, frame.request, frame.position, frame.offset) for frame in log.ledger.frames[1]] == [
        (1, 0, 0, 0), (1, 1, 2, 2), (2, 0, 3, 3),
    ]  # fmt: skip


def test_headers_that_break_the_chain_are_named() -> None:
    for changes, invariant in (
        ({"parent": b"x" * 32}, "I3"),
        ({"view": 0}, "I4"),
        ({"timestamp": 1000}, "I31"),
        ({"op": 3, "commit": 2}, "I2"),
    ):
        log = Log()
        log.commit([append()], [appended(0, 1, 0)])
        log.commit([append()], [appended(1, 1, 1)], **changes)
        assert log.broken == invariant


def test_holes_in_offsets_and_positions_are_named() -> None:
    for reply in (appended(1, 1, 0), appended(0, 1, 1), appended(0, 2, 0)):
        log = Log()
        log.commit([append()], [reply])
        assert log.broken == "gap-free"


def test_conditions_are_checked_both_ways() -> None:
    log = Log()
    log.commit([append(expected=Expected(ExpectedKind.EXACT, 5))], [appended(0, 1, 0)])
    assert log.broken == "conditions"
    log = Log()
    log.commit([append()], [Refusal(RefusalCode.WRONG_EXPECTED_OFFSET, "no")])
    assert log.broken == "conditions"


def test_a_request_that_ran_twice_or_out_of_order_is_named() -> None:
    opened = (Request(Origin(CLIENT, 0, 0), OpenSession()), SessionOpened(9))
    first = Origin(CLIENT, 9, 1)
    log = Log()
    log.commit([opened[0], append(origin=first)], [opened[1], appended(0, 1, 0)])
    log.commit([append(origin=first)], [appended(0, 1, 0)])
    assert not log.broken, "a retry is answered as before"
    log.commit([append(origin=first)], [appended(1, 1, 1)])
    assert log.broken == "I20"
    log = Log()
    log.commit([opened[0], append(origin=Origin(CLIENT, 9, 2))], [opened[1], appended(0, 1, 0)])
    assert log.broken == "I21"


def test_a_replay_must_be_the_same_op_with_the_same_answers() -> None:
    for forged, invariant in ((True, "I1"), (False, "I20")):
        log = Log()
        header = log.commit([append()], [appended(0, 1, 0)])
        log.ledger.on_start(0)
        log.ledger.on_commit(header, [append()], [appended(0, 1, 0)])
        assert not log.broken
        log.ledger.on_start(0)
        log.headers.clear()
        again = log.header(count=1, timestamp=999) if forged else header
        log.ledger.on_commit(again, [append()], [appended(0, 1, 7)])
        assert log.broken == invariant


def test_a_start_beyond_what_was_committed_is_named() -> None:
    log = Log()
    log.ledger.on_start(1)
    assert log.broken == "I2"
