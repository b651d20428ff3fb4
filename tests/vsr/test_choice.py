"""Which log a new view gets: the canonical votes, cuts by nack quorums, and when to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.vsr.choice import Choice, Wait, choose
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, Operation, PrepareHeader
from vdb.vsr.message import DoViewChange, TailEntry

TWO = Configuration.founding((0, 1))
THREE = Configuration.founding((0, 1, 2))
FIVE = Configuration.founding((0, 1, 2, 3, 4))


def a_header(
    op: int,
    parent: PrepareHeader | None = None,
    *,
    view: int = 1,
    body: bytes = b"",
    configuration: Configuration = THREE,
) -> PrepareHeader:
    made_here = configuration.epoch == op
    return PrepareHeader.make(
        body=body,
        parent=parent.checksum if parent is not None else ZERO_CHECKSUM,
        checkpoint_id=ZERO_CHECKSUM,
        group=bytes(32),
        view=view,
        op=op,
        commit=0,
        timestamp=op,
        request_count=1,
        operation=Operation.RECONFIGURATION if made_here else Operation.REQUESTS,
        configuration=configuration,
    )


def a_log(
    count: int, *, view: int = 1, after: tuple[PrepareHeader, ...] = (), body: bytes = b""
) -> list[PrepareHeader]:
    """Headers that chain, `after` first."""
    headers = list(after)
    while len(headers) < count:
        headers.append(a_header(len(headers) + 1, headers[-1] if headers else None, view=view, body=body))
    return headers


def held(header: PrepareHeader) -> TailEntry:
    return TailEntry(op=header.op, header=header, present=True)


def missed(header: PrepareHeader) -> TailEntry:
    """Known, never written, never acked."""
    return TailEntry(op=header.op, header=header, nack=True)


def faulty(header: PrepareHeader) -> TailEntry:
    return TailEntry(op=header.op, header=header)


def a_vote(
    replica: int, *tail: TailEntry, log_view: int = 1, commit: int = 0, view: int = 5, unsure: bool = False
) -> DoViewChange:
    return DoViewChange(
        view=view,
        log_view=log_view,
        commit=commit,
        checkpoint_op=0,
        to=2,
        tail=tail,
        unsure=unsure,
        replica=replica,
    )


def votes(*given: DoViewChange) -> dict[int, DoViewChange]:
    return {vote.replica: vote for vote in given}


def ops(choice: Choice | Wait) -> list[int]:
    assert isinstance(choice, Choice), choice
    return [header.op for header in choice.tail]


# Who counts ------------------------------------------------------------------------------------------------------


def test_no_vote_is_no_quorum() -> None:
    assert choose({}, THREE) == Wait("no vote yet")


def test_one_vote_of_three_isn_t_a_view_change_quorum() -> None:
    assert choose(votes(a_vote(0)), THREE) == Wait("no view-change quorum of (0, 1, 2)")


def test_learners_don_t_count() -> None:
    assert isinstance(choose(votes(a_vote(0), a_vote(7)), THREE), Wait)


def test_the_highest_log_view_wins_over_the_highest_op() -> None:
    """A long log of an older view is what an old primary proposed in vain."""
    common = a_log(2)
    long = a_log(6, after=tuple(common))
    short = a_log(3, view=2, after=tuple(common), body=b"newer")
    choice = choose(
        votes(a_vote(0, *map(held, long), log_view=1), a_vote(1, *map(held, short), log_view=2)),
        THREE,
    )
    assert isinstance(choice, Choice)
    assert choice.tail == tuple(short)


def test_the_view_of_a_prepare_says_nothing() -> None:
    """A log that a newer view confirmed may end with prepares of older views."""
    old = a_log(3, view=1)
    other = a_log(3, view=3, after=tuple(old[:2]), body=b"other")
    choice = choose(
        votes(a_vote(0, *map(held, old), log_view=4), a_vote(1, *map(held, other), log_view=3)),
        THREE,
    )
    assert isinstance(choice, Choice)
    assert choice.tail[-1] == old[-1]


def test_a_lost_header_is_known_by_the_next_one() -> None:
    """The other one has another op there, so it never acked the lost one, and of two nothing commits without it."""
    old, lost = a_header(1, view=1, configuration=TWO), a_header(1, view=2, configuration=TWO)
    above = a_header(2, lost, view=2, configuration=TWO)
    gap = TailEntry(op=1, header=None)
    choice = choose(votes(a_vote(0, held(old), log_view=1), a_vote(1, gap, held(above), log_view=2)), TWO)
    assert choice == Choice(commit=0, tail=())
    unnamed = a_vote(1, gap, TailEntry(op=2, header=None), held(a_header(3, above, configuration=TWO)), log_view=2)
    choice = choose(votes(a_vote(0, held(old), log_view=1), unnamed), TWO)
    assert choice == Wait("op 1 may be committed, and nobody who voted holds it", hopeless=True)


# Who is unsure of its head ---------------------------------------------------------------------------------------


def test_of_two_the_one_that_is_sure_tells_the_log() -> None:
    """It acked all that was committed; the other one lost its head, and denies nothing by that."""
    log = [a_header(1, configuration=TWO)]
    log.append(a_header(2, log[0], configuration=TWO))
    unsure = a_vote(0, held(log[0]), unsure=True)
    assert choose(votes(unsure), TWO) == Wait("too few of (0, 1) are sure of their logs' heads")
    assert ops(choose(votes(unsure, a_vote(1, held(log[0]), held(log[1]))), TWO)) == [1, 2]
    assert ops(choose(votes(unsure, a_vote(1, held(log[0]), missed(log[1]))), TWO)) == [1]


def test_of_two_the_log_of_the_one_that_is_sure_counts_whatever_the_other_s_view() -> None:
    old = a_header(1, view=1, configuration=TWO)
    new = a_header(1, view=2, configuration=TWO)
    unsure = a_vote(0, held(new), log_view=2, unsure=True)
    choice = choose(votes(unsure, a_vote(1, held(old), log_view=1)), TWO)
    assert isinstance(choice, Choice)
    assert choice.tail == (old,)


def test_nobody_who_is_sure_is_hopeless() -> None:
    choice = choose(votes(a_vote(0, unsure=True), a_vote(1, unsure=True)), TWO)
    assert choice == Wait("too few of (0, 1) are sure of their logs' heads", hopeless=True)


def test_of_three_who_is_unsure_helps_nobody() -> None:
    log = a_log(1)
    choice = choose(votes(a_vote(0, unsure=True), a_vote(1, held(log[0]))), THREE)
    assert choice == Wait("too few of (0, 1, 2) are sure of their logs' heads")


# Cuts ------------------------------------------------------------------------------------------------------------


def test_a_nack_quorum_cuts_the_log() -> None:
    log = a_log(4)
    two = a_vote(0, held(log[0]), held(log[1]), missed(log[2]), missed(log[3]))
    assert ops(choose(votes(two, a_vote(1, held(log[0]), held(log[1]))), THREE)) == [1, 2]


def test_one_nack_of_three_cuts_nothing() -> None:
    log = a_log(3)
    choice = choose(votes(a_vote(0, *map(held, log)), a_vote(1, *map(held, log[:2]))), THREE)
    assert ops(choice) == [1, 2, 3]


def test_another_prepare_at_the_op_is_a_nack() -> None:
    """Who holds what an older view had there never acked what the newer one has."""
    first = a_log(1)
    old = a_log(2, view=1, after=tuple(first), body=b"old")
    new = a_log(2, view=2, after=tuple(first), body=b"new")
    choice = choose(
        votes(a_vote(0, held(new[0]), missed(new[1]), log_view=2), a_vote(1, *map(held, old), log_view=1)),
        THREE,
    )
    assert ops(choice) == [1]


def test_a_faulty_slot_is_no_nack() -> None:
    """Corrupt isn't absent: what can't be read may have been acked."""
    log = a_log(2)
    damaged = a_vote(0, held(log[0]), faulty(log[1]))
    waiting = choose(votes(damaged, a_vote(1, held(log[0]))), THREE)
    assert waiting == Wait("op 2 may be committed, and nobody who voted holds it")


def test_what_is_committed_is_never_cut() -> None:
    log = a_log(2)
    nobody_has_it = a_vote(0, held(log[0]), missed(log[1]), commit=2)
    choice = choose(votes(nobody_has_it, a_vote(1, held(log[0]))), THREE)
    assert ops(choice) == [2]


def test_a_log_that_ends_below_the_commit_number_waits() -> None:
    log = a_log(3)
    known = a_vote(0, held(log[0]), commit=3)
    assert choose(votes(known, a_vote(1, held(log[0]))), THREE) == Wait(
        "op 3 is committed, and the canonical votes end at 1"
    )
    choice = choose(votes(known, a_vote(1, held(log[0])), a_vote(2, *map(held, log))), THREE)
    assert ops(choice) == [3]


def test_an_op_that_nobody_has_needs_more_votes() -> None:
    log = a_log(1)
    lacks = a_vote(0, TailEntry(op=1, header=log[0]))
    assert choose(votes(lacks, a_vote(1, TailEntry(op=1, header=log[0]))), THREE) == Wait(
        "op 1 may be committed, and nobody who voted holds it"
    )
    third = a_vote(2, held(log[0]))
    assert ops(choose(votes(lacks, a_vote(1, TailEntry(op=1, header=log[0])), third), THREE)) == [1]


def test_with_all_votes_and_no_answer_the_group_stops_and_says_so() -> None:
    log = a_log(1)
    all_damaged = votes(*(a_vote(replica, faulty(log[0])) for replica in range(3)))
    assert choose(all_damaged, THREE) == Wait("op 1 may be committed, and nobody who voted holds it", hopeless=True)


def test_nacks_end_the_hopelessness() -> None:
    log = a_log(1)
    assert ops(choose(votes(a_vote(0, faulty(log[0])), a_vote(1), a_vote(2)), THREE)) == []


def test_a_hole_is_closed_by_the_header_of_another_vote() -> None:
    """The parent of a canonical header may be known to a voter of an older view alone."""
    log = a_log(3)
    hole = a_vote(0, held(log[0]), TailEntry(op=2, header=None), held(log[2]), log_view=2, commit=1)
    other = a_vote(1, held(log[0]), held(log[1]), log_view=2, commit=1)
    assert ops(choose(votes(hole, other), THREE)) == [1, 2, 3]


def test_two_logs_of_one_view_that_differ_are_a_bug() -> None:
    one, other = a_log(1, body=b"one"), a_log(1, body=b"other")
    with pytest.raises(AssertionError, match="two logs of one view differ at op 1"):
        choose(votes(a_vote(0, held(one[0])), a_vote(1, held(other[0]))), THREE)


# Empty tails -----------------------------------------------------------------------------------------------------


def test_a_group_that_never_proposed_has_an_empty_log() -> None:
    assert choose(votes(a_vote(0, log_view=0), a_vote(1, log_view=0)), THREE) == Choice(commit=0, tail=())


def test_a_log_that_ends_at_everybody_s_checkpoint_has_no_header() -> None:
    at_checkpoint = TailEntry(op=6, header=None)
    choice = choose(votes(a_vote(0, at_checkpoint, commit=6), a_vote(1, at_checkpoint, commit=6)), THREE)
    assert choice == Choice(commit=6, tail=())


# Reconfiguration -------------------------------------------------------------------------------------------------


def grown(op: int, voters: tuple[int, ...]) -> Configuration:
    return Configuration(epoch=op, base_view=1, base_index=1, voters=voters)


def test_a_configuration_that_waits_needs_its_own_quorum_of_votes() -> None:
    first = a_header(1)
    change = a_header(2, first, configuration=grown(2, (0, 1, 2, 3)))
    both = votes(a_vote(1, held(first), held(change), commit=1), a_vote(2, held(first), held(change), commit=1))
    assert choose(both, THREE) == Wait("no view-change quorum of (0, 1, 2, 3)")
    both[3] = a_vote(3, held(first), held(change), commit=1)
    assert ops(choose(both, THREE)) == [1, 2]


def test_a_committed_configuration_that_only_a_shorter_log_s_voter_knows_to_be_committed_counts() -> None:
    """One voter knows the commit number without the op, another holds the op without knowing that it is committed."""
    first = a_header(1)
    change = a_header(2, first, configuration=grown(2, (0, 1, 2, 3)))
    knows = a_vote(2, held(first), commit=2)
    holds = a_vote(1, held(first), held(change), commit=1)
    assert choose(votes(knows, holds), THREE) == Wait("no view-change quorum of (0, 1, 2, 3)")


def test_a_committed_configuration_that_only_a_header_above_it_names_counts() -> None:
    """A voter whose log begins at a checkpoint that it fetched knows no header at or below the commit number."""
    log = [a_header(1)]
    change = a_header(2, log[0], configuration=grown(2, (0, 1, 2, 3, 4)))
    after = a_header(4, change, configuration=change.configuration)
    synced = a_vote(1, TailEntry(op=3, header=None), held(after), log_view=2, commit=3)
    lagging = a_vote(0, held(log[0]))
    assert choose(votes(lagging, synced), THREE) == Wait("no view-change quorum of (0, 1, 2, 3, 4)")


def test_a_configuration_that_waits_and_is_named_by_a_later_op_alone_counts() -> None:
    change = a_header(2, a_header(1), configuration=grown(2, (0, 1, 2, 3, 4)))
    after = a_header(3, change, configuration=change.configuration)
    gap = a_vote(1, held(a_header(1)), TailEntry(op=2, header=None), held(after), commit=1)
    assert choose(votes(a_vote(0), gap), THREE) == Wait("no view-change quorum of (0, 1, 2, 3, 4)")


def test_nacks_are_counted_among_the_voters_before_a_change() -> None:
    """An op is proposed under the configuration before it, so those voters say that it never committed."""
    first = a_header(1)
    change = a_header(2, first, configuration=grown(2, (0, 3, 4)))
    said = votes(
        a_vote(1, held(first)), a_vote(2, held(first)), a_vote(3, held(first), held(change)), a_vote(4, held(first))
    )
    assert ops(choose(said, THREE)) == [1]


def test_nacks_of_newcomers_don_t_cut() -> None:
    first = a_header(1)
    change = a_header(2, first, configuration=grown(2, (0, 3, 4)))
    said = votes(
        a_vote(1, held(first), held(change)), a_vote(2, held(first), held(change)), a_vote(3, held(first)),
        a_vote(4, held(first)),
    )  # fmt: skip
    assert ops(choose(said, THREE)) == [1, 2]


# Any history -----------------------------------------------------------------------------------------------------


@st.composite
def elections(draw: st.DrawFn) -> tuple[dict[int, DoViewChange], int, list[PrepareHeader]]:
    """One view's log of five replicas, who holds what of it, what is committed, and a quorum of votes."""
    log = a_log(draw(st.integers(1, 6)))
    holds = [[draw(st.booleans()) for _ in log] for _ in FIVE.voters]
    committed = 0
    while committed < len(log) and sum(row[committed] for row in holds) >= FIVE.quorums.replication:
        committed += 1
    committed = draw(st.integers(0, committed))
    given = {}
    for replica in draw(st.permutations(FIVE.voters))[: draw(st.integers(FIVE.quorums.view_change, 5))]:
        row = holds[replica]
        known = draw(st.integers(0, committed))
        head = max([op for op in range(1, len(log) + 1) if row[op - 1]], default=0)
        head = max(head, min(known, len(log)))
        damaged = [draw(st.integers(0, 9)) == 0 for _ in log]
        tail = tuple(
            TailEntry(
                op=op,
                header=log[op - 1],
                present=row[op - 1] and not damaged[op - 1],
                nack=op > known and not row[op - 1] and not damaged[op - 1],
            )
            for op in range(max(1, known), head + 1)
        )
        given[replica] = a_vote(replica, *tail, commit=known)
    return given, committed, log


@given(elections())
def test_no_committed_op_is_ever_lost(election: tuple[dict[int, DoViewChange], int, list[PrepareHeader]]) -> None:
    given, committed, log = election
    choice = choose(given, Configuration.founding(FIVE.voters))
    if isinstance(choice, Choice):
        head = choice.tail[-1].op if choice.tail else choice.commit
        assert head >= committed
        assert choice.tail == tuple(log[choice.tail[0].op - 1 : head]) if choice.tail else head == choice.commit


@given(elections(), st.data())
def test_the_choice_depends_on_the_votes_and_not_on_their_order(
    election: tuple[dict[int, DoViewChange], int, list[PrepareHeader]], data: st.DataObject
) -> None:
    given = election[0]
    shuffled = {replica: given[replica] for replica in data.draw(st.permutations(list(given)))}
    assert choose(shuffled, FIVE) == choose(given, FIVE)
