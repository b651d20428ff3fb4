"""The history of acks: who acked what, and what a vote may say of it."""

from __future__ import annotations

from attrs import evolve

from sim.checkers.acks import Acks
from sim.checkers.promises import Promises
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader
from vdb.vsr.message import DoViewChange, PrepareOk, TailEntry
from vdb.vsr.tail import encode_log, encode_vote


def header(op: int, view: int = 1, body: bytes = b"") -> PrepareHeader:
    return PrepareHeader.make(
        body=body, parent=ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM, group=ZERO_CHECKSUM, view=view, op=op,
        commit=op - 1, timestamp=op, request_count=1,
    )  # fmt: skip


def ack(op: int, view: int = 1, replica: int = 0) -> PrepareOk:
    return PrepareOk(view=view, op=op, checksum=header(op).checksum, replica=replica)


def vote(*entries: TailEntry, view: int = 2, commit: int = 0) -> DoViewChange:
    return DoViewChange(view=view, log_view=1, commit=commit, checkpoint_op=0, to=1, tail=entries, replica=0)


def acked(*ops: int) -> tuple[Acks, Verdict]:
    verdict = Verdict()
    acks = Acks("global", verdict)
    for op in ops:
        acks.on_ack(0, ack(op))
    return acks, verdict


def fired(verdict: Verdict) -> str:
    return verdict.violation.invariant if verdict.violation is not None else ""


def test_acks_count_per_view_and_distinct_replica() -> None:
    acks, _ = acked(1)
    acks.on_ack(0, ack(1))
    acks.on_ack(1, ack(1, replica=1))
    acks.on_ack(2, ack(1, view=2, replica=2))
    assert {view: list(who) for view, who in acks.of(header(1)).items()} == {1: [0, 1], 2: [2]}


def test_a_vote_that_keeps_what_was_acked_is_sound() -> None:
    acks, verdict = acked(1, 2)
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1), present=True), TailEntry(op=2, header=None)))
    assert verdict.ok


def test_an_acked_op_that_is_denied() -> None:
    acks, verdict = acked(1)
    acks.on_vote(0, vote(TailEntry(op=1, header=None, nack=True)))
    assert fired(verdict) == "I15"


def test_an_acked_op_that_is_gone_or_another() -> None:
    acks, verdict = acked(1, 2)
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1))))
    assert fired(verdict) == "I6"
    acks, verdict = acked(1)
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1, body=b"other"))))
    assert fired(verdict) == "I6"


def test_a_vote_that_says_that_it_does_not_know_the_head() -> None:
    acks, verdict = acked(1, 2)
    acks.on_vote(0, evolve(vote(TailEntry(op=1, header=header(1), present=True)), unsure=True))
    assert verdict.ok


def test_a_newer_view_frees_of_what_it_cut_or_replaced() -> None:
    acks, verdict = acked(1, 2)
    acks.on_cut(0, 1)
    acks.on_replaced(0, 1, header(1, body=b"other").checksum)
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1, body=b"other"))))
    assert verdict.ok


def test_the_log_of_a_newer_view_frees_before_its_prepares_are_written() -> None:
    acks, verdict = acked(1)
    acks.on_superblock(0, 2, encode_log(2, 1, (header(1, view=2),)))
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1, view=2)), view=3))
    assert verdict.ok


def test_the_log_of_a_newer_view_frees_of_what_it_lacks_though_no_cut_was_seen() -> None:
    acks, verdict = acked(1, 2)
    acks.on_superblock(0, 2, encode_log(2, 1, (header(1),)))
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1), present=True), view=3))
    assert verdict.ok


def test_a_view_s_log_frees_of_nothing_that_was_acked_in_it() -> None:
    acks, verdict = acked(1, 2)
    acks.on_superblock(0, 1, encode_log(1, 1, (header(1),)))
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1), present=True), view=3))
    assert fired(verdict) == "I6"


def test_a_vote_that_is_kept_frees_of_nothing() -> None:
    acks, verdict = acked(1)
    acks.on_superblock(0, 2, b"")
    acks.on_superblock(0, 2, encode_vote(vote(TailEntry(op=1, header=header(1, body=b"other")))))
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1, body=b"other"))))
    assert fired(verdict) == "I6"


def test_an_ack_for_a_view_that_was_left() -> None:
    acks, verdict = acked(1)
    acks.on_vote(0, vote(TailEntry(op=1, header=header(1))))
    acks.on_ack(0, ack(1, view=2))
    assert verdict.ok
    acks.on_ack(0, ack(1, view=1))
    assert fired(verdict) == "I9"


class EmptyPlatter:
    """A disk on which nothing is left."""

    def durable(self, path: str) -> bytes | None:
        return None

    def durable_part(self, path: str, offset: int, size: int) -> bytes:
        return b""

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        return False


def test_an_acked_op_may_be_torn_only_while_it_is_written_again() -> None:
    prepare = Prepare(header(1), b"")
    for lives, lost in ((1, "I6"), (2, "")):
        acks, verdict = acked(1)
        promises = Promises("global", Limits(), verdict, EmptyPlatter())
        for _ in range(lives):
            promises.on_prepare(prepare, in_flight=0)
        acks.check_kept(0, promises)
        assert fired(verdict) == lost
    promises.on_durable(header(1))
    acks.check_kept(0, promises)
    assert fired(verdict) == "I6"
