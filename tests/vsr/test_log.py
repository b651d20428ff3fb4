"""The log as a replica knows it: heads, chains, what is held, what is faulty, what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ALONE, ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.log import Log

SLOTS = 8


def headers(count: int, *, view: int = 1, after: tuple[PrepareHeader, ...] = ()) -> tuple[PrepareHeader, ...]:
    made = list(after)
    while len(made) < count:
        made.append(
            PrepareHeader.make(
                body=b"", parent=made[-1].checksum if made else ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM,
                group=bytes(32), view=view, op=len(made) + 1, commit=0, timestamp=10 * (len(made) + 1),
                request_count=3,
            )
        )  # fmt: skip
    return tuple(made)


def a_log(made: tuple[PrepareHeader, ...] = ()) -> Log:
    """With these ops, all durable."""
    log = Log(slots=SLOTS)
    for header in made:
        log.append(header)
        log.set_written(header)
        log.set_held(header)
    return log


def test_an_empty_log_ends_at_its_checkpoint() -> None:
    log = Log(slots=SLOTS)
    log.open(base_op=6, base_checksum=b"c" * 32, base_timestamp=77)
    assert (log.head, log.head_checksum, log.last_timestamp) == (6, b"c" * 32, 77)
    assert log.configuration(ALONE) == ALONE


def test_the_last_time_is_that_of_the_last_request() -> None:
    assert a_log(headers(2)).last_timestamp == 22


def test_the_head_s_configuration_holds_unless_a_newer_one_is_committed() -> None:
    newer = Configuration(epoch=5, base_view=0, base_index=0, voters=(0, 1))
    assert a_log(headers(1)).configuration(newer) == newer


def test_a_head_must_chain() -> None:
    log = a_log(headers(2))
    with pytest.raises(AssertionError):
        log.append(headers(3, view=9)[2])
    with pytest.raises(AssertionError):
        log.append(headers(2)[1])


def test_a_head_above_a_gap_is_taken() -> None:
    made = headers(4)
    log = a_log(made[:1])
    log.append(made[3])
    assert (log.head, log.header(2), log.header(3)) == (4, None, None)
    log.put_header(made[2])
    assert log.header(3) == made[2]
    with pytest.raises(AssertionError):
        log.put_header(headers(2, view=9)[1])


# Written, held, faulty -------------------------------------------------------------------------------------------


def test_held_is_what_is_durable_and_belongs_there() -> None:
    [header] = headers(1)
    log = Log(slots=SLOTS)
    log.append(header)
    assert not log.is_here(1)
    log.set_written(header)
    assert log.is_here(1)
    assert not log.is_held(1)
    log.set_held(header)
    assert log.is_held(1)


def test_a_late_report_of_a_replaced_write_counts_for_nothing() -> None:
    [old], [new] = headers(1), headers(1, view=2)
    log = a_log((old,))
    log.install((new,), 0)
    log.set_written(new)
    log.set_held(old)
    assert not log.is_held(1)


def test_only_an_intact_write_ends_a_fault() -> None:
    [header] = headers(1)
    log = a_log((header,))
    log.set_faulty(1)
    assert log.is_faulty(1)
    assert not log.is_here(1)
    log.set_held(header)
    assert log.is_faulty(1), "nothing was written"
    log.set_written(header)
    log.set_held(header)
    assert not log.is_faulty(1)


def test_what_is_never_acked() -> None:
    made = headers(3)
    log = a_log(made[:1])
    log.append(made[1])
    assert not log.was_never_acked(1), "it is durable"
    assert log.was_never_acked(2), "it was never written"
    log.set_faulty(2)
    assert not log.was_never_acked(2), "corrupt isn't absent"
    other = headers(1, view=2)
    log.install(other, 0)
    assert log.was_never_acked(1), "what is durable there is another"


def test_a_new_lap_ends_what_its_slot_held() -> None:
    made = headers(SLOTS + 1)
    log = a_log(made[:SLOTS])
    log.append(made[SLOTS])
    log.set_written(made[SLOTS])
    assert not log.is_here(1)
    assert log.is_held(2)


# Cuts and installs -----------------------------------------------------------------------------------------------


def test_a_cut_forgets_what_was_above() -> None:
    log = a_log(headers(4))
    log.truncate(2)
    assert (log.head, log.header(3), log.is_held(2)) == (2, None, True)
    assert log.was_never_acked(3)


def test_a_tail_replaces_what_doesn_t_chain_to_it() -> None:
    common = headers(2)
    log = a_log(headers(5, after=common))
    other = headers(4, view=2, after=common)
    log.install(other[2:], 1)
    assert [log.header(op) for op in range(1, 6)] == [*other, None]
    assert log.head == 4
    assert log.is_held(2)
    assert not log.is_held(3)


def test_a_tail_above_a_gap_leaves_nothing_unchained_below() -> None:
    mine, other = headers(3), headers(5, view=2)
    log = a_log(mine)
    log.install(other[4:], 0)
    assert [log.header(op) for op in range(1, 6)] == [None, None, None, None, other[4]]


def test_a_committed_op_is_never_replaced() -> None:
    log = a_log(headers(3))
    with pytest.raises(AssertionError, match="a committed op was replaced"):
        log.install(headers(3, view=2), 2)
    with pytest.raises(AssertionError, match="lacks a committed op"):
        log.install(headers(1), 3)


def test_a_log_that_ends_lower_keeps_prepares_that_may_be_the_committed_ones() -> None:
    """Nothing is known of what stands there, so nothing is said of it."""
    log = a_log(headers(4))
    log.end_at(1, kept=3)
    assert log.head == 1
    assert log.header(2) is None
    assert not log.is_held(2)
    assert not log.was_never_acked(2)
    assert log.was_never_acked(4)


def test_the_header_of_a_prepare_in_the_journal_comes_back_when_it_is_named() -> None:
    """Nobody else may have it: a start of a view whose tail is above a gap must not make it unknown for ever."""
    made = headers(4)
    log = a_log(made[:1])
    log.install(made[3:], 0)
    assert log.header(1) is None
    log.put_header(made[2])
    assert log.header(1) is None
    log.put_header(made[1])
    assert log.header(1) == made[0]
    assert log.is_held(1)


def test_a_prepare_in_the_journal_that_isn_t_named_stays_unknown() -> None:
    other = headers(3, view=2)
    log = a_log(headers(1))
    log.install(other[2:], 0)
    log.put_header(other[1])
    assert log.header(1) is None


def test_a_tail_finds_what_the_journal_has_in_its_gaps() -> None:
    made = headers(4)
    log = Log(slots=SLOTS)
    log.recover(made)
    log.recover_tail(made, (made[0], made[3]))
    assert [log.header(op) for op in (1, 2, 3, 4)] == list(made)


# After a start ---------------------------------------------------------------------------------------------------


def test_alone_the_log_is_what_chains_from_the_checkpoint() -> None:
    made = headers(4)
    log = Log(slots=SLOTS)
    log.recover(made[:2] + made[3:])
    log.recover_chain(made[:2] + made[3:])
    assert log.head == 2
    assert log.was_never_acked(4)


def test_a_tail_with_gaps_keeps_its_head() -> None:
    made = headers(5)
    log = Log(slots=SLOTS)
    found = made[:2] + made[4:]
    log.recover(found)
    log.recover_tail(found, (made[1], made[4]))
    assert (log.head, log.header(1), log.header(3)) == (5, made[0], None)
    assert log.is_held(5)


def test_below_the_tail_only_what_chains_is_kept() -> None:
    old, new = headers(3), headers(3, view=2)
    log = Log(slots=SLOTS)
    log.recover(old[:2])
    log.recover_tail(old[:2], new[2:])
    assert (log.head, log.header(1), log.header(2)) == (3, None, None)
    assert not log.was_never_acked(1), "what is durable there may be what belongs there"
    assert log.was_never_acked(2), "the next op names another one"


def test_a_checkpoint_ends_the_faults_below_it_and_keeps_a_ring_of_headers() -> None:
    made = headers(SLOTS + 4)
    log = a_log(made)
    log.set_faulty(5)
    log.set_base(SLOTS + 2)
    assert log.base_checksum == made[SLOTS + 1].checksum
    assert not log.is_faulty(5)
    assert (log.header(2), log.header(3)) == (None, made[2])
    assert log.base_timestamp == made[SLOTS + 1].timestamp + 2


@given(st.integers(1, 10), st.integers(0, 10), st.integers(1, 10), st.data())
def test_after_any_install_the_log_chains_from_its_head(
    mine: int, common: int, theirs: int, data: st.DataObject
) -> None:
    shared = headers(min(common, mine, theirs))
    log = a_log(headers(mine, after=shared))
    other = headers(theirs, view=2, after=shared)
    committed = data.draw(st.integers(0, len(shared)))
    first = data.draw(st.integers(0, theirs - 1))
    log.install(other[first:], committed)
    assert log.head == theirs
    for op in range(max(committed, 1), theirs + 1):
        assert log.header(op) in (None, other[op - 1])
    for op in range(first + 1, theirs + 1):
        assert log.header(op) == other[op - 1]
