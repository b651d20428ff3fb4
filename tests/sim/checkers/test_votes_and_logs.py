"""Votes don't change and don't conflict; no view starts without what was committed; wishes must be fresh."""

from __future__ import annotations

from types import SimpleNamespace

from sim.checkers.ledger import Committed, Ledger
from sim.checkers.logs import Logs
from sim.checkers.promises import Promises
from sim.checkers.votes import Votes
from sim.checkers.wishes import Wishes
from sim.verdict import Verdict
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import DoViewChange, StartView, StartViewChange, TailEntry
from vdb.vsr.timing import Timing


class NoPlatter:
    """A disk with nothing on it."""

    def durable(self, path: str) -> bytes | None:
        return None

    def durable_part(self, path: str, offset: int, size: int) -> bytes:
        return b""

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        return False


def header(op: int, body: bytes = b"", view: int = 1) -> PrepareHeader:
    return PrepareHeader.make(
        body=body, parent=ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM, group=ZERO_CHECKSUM, view=view, op=op,
        commit=op - 1, timestamp=op, request_count=1,
    )  # fmt: skip


def vote(entry: TailEntry, replica: int = 0, commit: int = 0) -> DoViewChange:
    return DoViewChange(
        view=2, log_view=1, commit=commit, checkpoint_op=0, to=1, tail=(entry,), replica=replica
    )  # fmt: skip


def promises(verdict: Verdict) -> Promises:
    return Promises("global", Limits(), verdict, NoPlatter())


def fired(verdict: Verdict) -> str:
    return verdict.violation.invariant if verdict.violation is not None else ""


def start_view(*headers: PrepareHeader, view: int = 2, commit: int = 0) -> StartView:
    return StartView(
        view=view, commit=commit, checkpoint_op=0, checkpoint_id=ZERO_CHECKSUM, tail=headers, replica=1
    )  # fmt: skip


def test_a_vote_is_sent_again_as_it_was() -> None:
    verdict = Verdict()
    votes = Votes("global", verdict)
    entry = TailEntry(op=1, header=header(1))
    votes.on_vote(0, vote(entry), promises(verdict))
    votes.on_vote(0, vote(entry), promises(verdict))
    assert verdict.ok
    votes.on_vote(0, vote(entry, commit=1), promises(verdict))
    assert fired(verdict) == "I12"


def test_votes_of_one_log_agree() -> None:
    verdict = Verdict()
    votes = Votes("global", verdict)
    votes.on_vote(0, vote(TailEntry(op=1, header=header(1))), promises(verdict))
    votes.on_vote(2, vote(TailEntry(op=1, header=header(1, b"other")), replica=2), promises(verdict))
    assert fired(verdict) == "I13"


def test_what_a_vote_calls_present_is_on_the_platter() -> None:
    verdict = Verdict()
    Votes("global", verdict).on_vote(0, vote(TailEntry(op=1, header=header(1), present=True)), promises(verdict))
    assert fired(verdict) == "I16"


def committed(verdict: Verdict, *headers: PrepareHeader) -> Ledger:
    ledger = Ledger("global", Limits(), verdict)
    for each in headers:
        ledger.ops[each.op] = Committed(each, (), each.view)
        ledger.head = each.op
    return ledger


def test_a_view_starts_with_all_that_was_committed() -> None:
    verdict = Verdict()
    logs = Logs("global", committed(verdict, header(1), header(2)), verdict)
    logs.on_start_view(start_view(header(1), header(2), header(3)))
    assert verdict.ok
    logs.on_start_view(start_view(header(1), view=3))
    assert fired(verdict) == "I14"


def test_a_view_starts_with_another_op_than_the_committed_one() -> None:
    verdict = Verdict()
    logs = Logs("global", committed(verdict, header(1), header(2)), verdict)
    logs.on_start_view(start_view(header(1), header(2, b"other")))
    assert fired(verdict) == "I14"


def test_a_log_that_ends_at_a_checkpoint_names_its_head_by_the_commit_number() -> None:
    verdict = Verdict()
    Logs("global", committed(verdict, header(1), header(2)), verdict).on_start_view(start_view(commit=2))
    assert verdict.ok


def test_a_replica_drops_what_was_committed() -> None:
    verdict = Verdict()
    logs = Logs("global", committed(verdict, header(1), header(2)), verdict)
    holding = promises(verdict)
    holding.written[2] = header(2, b"never committed")
    logs.on_cut(0, 1, holding, view=1)
    assert verdict.ok
    holding.written[2] = header(2)
    logs.on_cut(0, 1, holding, view=0)
    assert verdict.ok, "it was committed in view 1, and this is the start of an older one that came too late"
    logs.on_cut(0, 1, holding, view=1)
    assert fired(verdict) == "I14"


def test_a_head_moves_by_the_views_own_prepares_alone() -> None:
    verdict = Verdict()
    logs = Logs("global", committed(verdict), verdict)
    logs.on_start_view(start_view(header(1), view=2))
    logs.on_written(0, 2, header(1))
    logs.on_written(0, 2, header(2, view=2))
    assert verdict.ok
    logs.on_written(0, 2, header(2, view=1))
    assert fired(verdict) == "I17"


def hearer(tick: int) -> SimpleNamespace:
    return SimpleNamespace(
        replica=0, tick=tick, timing=Timing(), voting_configuration=Configuration.founding((0, 1, 2))
    )  # fmt: skip


def wish(view: int) -> StartViewChange:
    return StartViewChange(view=view, replica=1, configuration=Configuration.founding((0, 1, 2)))


def test_a_view_needs_fresh_wishes_of_a_quorum() -> None:
    verdict = Verdict()
    wishes = Wishes("global", verdict)
    wishes.on_view(hearer(1), 1)
    wishes.on_receive(hearer(10), wish(2))
    wishes.on_view(hearer(20), 2)
    assert verdict.ok
    wishes.on_receive(hearer(30), wish(3))
    wishes.on_view(hearer(31 + Timing().vote_expiry + 2), 3)
    assert fired(verdict) == "I37"
