"""The recovery table: every combination of inputs has exactly one row; the ring as a whole, with and without peers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.storage.recovery import (
    ROWS,
    Decision,
    Inputs,
    Reading,
    Recovery,
    Relation,
    SlotReading,
    find_row,
    recover,
)
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader

GROUP = b"g" * 32
SLOTS = 12


def possible_inputs() -> list[Inputs]:
    """All combinations that a slot can present."""
    found = []
    for header, prepare, highest, beyond in itertools.product(Reading, Reading, (False, True), (False, True)):
        both = header is Reading.VALID and prepare is Reading.VALID
        if highest and prepare is not Reading.VALID:
            continue
        if beyond and Reading.VALID not in (header, prepare):
            continue
        for relation in Relation:
            if (relation is Relation.NONE) == both:
                continue
            found.append(Inputs(header=header, prepare=prepare, relation=relation, highest=highest, beyond=beyond))
    return found


def test_every_combination_has_exactly_one_row() -> None:
    names = {find_row(inputs).name for inputs in possible_inputs()}
    assert names == {row.name for row in ROWS}, "each row is reached"
    for inputs in possible_inputs():
        assert sum(row.fits(inputs) for row in ROWS) == 1


@pytest.mark.parametrize(
    ("inputs", "decision", "alone"),
    [
        (("bad", "bad"), "faulty", "faulty"),
        (("reserved", "bad"), "faulty", "faulty"),
        (("valid", "bad"), "faulty", "faulty"),
        (("bad", "reserved"), "faulty", "fix"),
        (("bad", "valid"), "faulty", "fix"),
        (("bad", "valid", "none", True), "fix", "fix"),
        (("reserved", "valid"), "fix", "fix"),
        (("reserved", "valid", "none", True), "fix", "fix"),
        (("reserved", "valid", "none", False, True), "cut", "faulty"),
        (("valid", "bad", "none", False, True), "cut", "faulty"),
        (("valid", "reserved"), "faulty", "faulty"),
        (("reserved", "reserved"), "clean", "clean"),
        (("valid", "valid", "equal"), "clean", "clean"),
        (("valid", "valid", "op of H lower"), "fix", "fix"),
        (("valid", "valid", "op of H higher"), "faulty", "faulty"),
        (("valid", "valid", "same op, other checksum"), "faulty", "faulty"),
    ],
)
def test_the_table_decides_as_the_protocol_says(inputs: tuple[object, ...], decision: str, alone: str) -> None:
    header, prepare, relation, highest, beyond = (*inputs, *("none", False, False)[len(inputs) - 2 :])
    row = find_row(
        Inputs(
            header=Reading(header),
            prepare=Reading(prepare),
            relation=Relation(relation),
            highest=bool(highest),
            beyond=bool(beyond),
        )
    )
    assert row.decision is Decision(decision)
    assert (row.alone or row.decision) is Decision(alone)


def make_headers(count: int, view: int = 1) -> list[PrepareHeader]:
    parent, headers = ZERO_CHECKSUM, []
    for op in range(1, count + 1):
        headers.append(
            PrepareHeader.make(
                body=b"",
                parent=parent,
                checkpoint_id=bytes(32),
                group=GROUP,
                view=view,
                op=op,
                commit=op - 1,
                timestamp=op,
                request_count=1,
            )
        )
        parent = headers[-1].checksum
    return headers


HEADERS = make_headers(30)
OTHERS = make_headers(30, view=2)
EMPTY_SLOTS = [PrepareHeader.reserved(group=GROUP, slot=slot) for slot in range(SLOTS)]


def ring_at(op: int) -> list[SlotReading]:
    """The readings of a sound ring whose head is `op`."""
    readings = [SlotReading(header=empty, prepare=empty) for empty in EMPTY_SLOTS]
    for header in HEADERS[:op]:
        readings[header.op % SLOTS] = SlotReading(header=header, prepare=header, synced_op=header.op - 1)
    return readings


def recover_ring(
    readings: list[SlotReading], checkpoint_op: int, with_peers: bool = False, log_view: int = 1
) -> Recovery:
    return recover(readings, checkpoint_op=checkpoint_op, with_peers=with_peers, log_view=log_view, pipeline_max=3)


READINGS = st.sampled_from(["sound", "bad", "reserved", "lap before", "other"])


def damage(readings: list[SlotReading], op: int, header: str, prepare: str) -> None:
    slot = op % SLOTS
    sound = readings[slot]

    def choose(kind: str) -> PrepareHeader | None:
        older = HEADERS[op - SLOTS - 1] if op > SLOTS else EMPTY_SLOTS[slot]
        return {
            "sound": sound.header,
            "bad": None,
            "reserved": EMPTY_SLOTS[slot],
            "lap before": older,
            "other": OTHERS[op - 1],
        }[kind]

    found = choose(prepare)
    readings[slot] = SlotReading(header=choose(header), prepare=found, synced_op=op - 1 if prepare == "sound" else 0)


@given(
    head=st.integers(1, 24),
    damages=st.lists(st.tuples(st.integers(0, 11), READINGS, READINGS), max_size=6),
    checkpoint_behind=st.integers(0, 11),
    with_peers=st.booleans(),
    done=st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS),
)
def test_recovery_never_invents_and_is_idempotent(
    head: int, damages: list[tuple[int, str, str]], checkpoint_behind: int, with_peers: bool, done: list[bool]
) -> None:
    readings = ring_at(head)
    checkpoint_op = max(head - 12, head - checkpoint_behind, 0)
    for back, header, prepare in damages:
        if head - back >= 1:
            damage(readings, head - back, header, prepare)
    first = recover_ring(readings, checkpoint_op, with_peers)
    for entry in first.slots:
        if entry.decision in (Decision.CLEAN, Decision.FIX) and entry.header is not None:
            assert entry.header in (readings[entry.slot].prepare, readings[entry.slot].header)
    if first.faulty:
        return
    repaired = list(readings)
    for entry in first.slots:
        if done[entry.slot] and entry.decision is not Decision.FAULTY:
            header = entry.header or EMPTY_SLOTS[entry.slot]
            cut = entry.decision is Decision.CUT
            before = readings[entry.slot]
            repaired[entry.slot] = SlotReading(
                header=header,
                prepare=EMPTY_SLOTS[entry.slot] if cut else before.prepare,
                synced_op=0 if cut else before.synced_op,
            )
    second = recover_ring(repaired, checkpoint_op, with_peers)
    if not with_peers:
        assert second.head == first.head
        assert second.faulty == ()


@given(head=st.integers(1, 24), back=st.integers(0, 11), header=READINGS, prepare=READINGS)
def test_alone_one_damaged_ring_entry_loses_nothing(head: int, back: int, header: str, prepare: str) -> None:
    op = head - back
    if op < 1 or (header != "sound" and prepare != "sound"):
        return
    readings = ring_at(head)
    damage(readings, op, header, prepare)
    checkpoint_op = max(0, head - 12)
    found = recover_ring(readings, checkpoint_op)
    if prepare == "sound" and header != "other":
        assert found.head == HEADERS[head - 1]
        assert found.faulty == ()
    elif op > checkpoint_op and not (header == prepare == "sound"):
        assert [entry.op for entry in found.faulty] == [op]


def test_among_peers_a_prepare_right_above_the_head_may_be_torn() -> None:
    readings = ring_at(20)
    readings[21 % SLOTS] = SlotReading(header=HEADERS[8], prepare=None)
    found = recover_ring(readings, 12, True)
    assert found.slots[21 % SLOTS].decision is Decision.TORN
    assert found.head == HEADERS[19]
    assert found.head_certain


@pytest.mark.parametrize("other", [22, 23])
def test_among_peers_doubt_makes_it_faulty(other: int) -> None:
    readings = ring_at(20)
    readings[21 % SLOTS] = SlotReading(header=HEADERS[8], prepare=None)
    readings[other % SLOTS] = SlotReading(header=None, prepare=None)
    found = recover_ring(readings, 12, True)
    assert found.slots[21 % SLOTS].decision is Decision.FAULTY
    assert not found.head_certain


def test_among_peers_a_torn_prepare_may_lie_above_one_that_was_never_written() -> None:
    readings = ring_at(20)
    readings[22 % SLOTS] = SlotReading(header=HEADERS[9], prepare=None)
    found = recover_ring(readings, 12, True)
    assert found.slots[22 % SLOTS].decision is Decision.TORN
    assert found.head_certain
    assert found.faulty == ()


def test_among_peers_a_torn_prepare_may_lie_below_one_of_the_same_turn() -> None:
    readings = ring_at(20)
    readings[21 % SLOTS] = SlotReading(header=HEADERS[8], prepare=None)
    readings[22 % SLOTS] = SlotReading(header=HEADERS[9], prepare=HEADERS[21], synced_op=20)
    found = recover_ring(readings, 12, True)
    assert found.slots[21 % SLOTS].decision is Decision.TORN
    assert [header.op for header in found.headers_above(12)] == [*range(13, 21), 22]
    assert found.head == HEADERS[21]


def test_among_peers_what_was_synced_once_is_not_torn() -> None:
    readings = ring_at(20)
    readings[21 % SLOTS] = SlotReading(header=HEADERS[8], prepare=None)
    readings[22 % SLOTS] = SlotReading(header=HEADERS[9], prepare=HEADERS[21], synced_op=21)
    found = recover_ring(readings, 12, True)
    assert [entry.op for entry in found.faulty] == [21]
    assert found.head_certain


def test_among_peers_no_more_is_torn_than_was_in_flight() -> None:
    readings = ring_at(20)
    for op in range(21, 25):
        readings[op % SLOTS] = SlotReading(header=HEADERS[op - 13], prepare=None)
    found = recover_ring(readings, 12, True)
    assert [entry.op for entry in found.faulty] == [21, 22, 23, 24]
    assert not found.head_certain


def test_among_peers_a_prepare_of_the_first_lap_may_be_torn() -> None:
    readings = ring_at(5)
    readings[6] = SlotReading(header=EMPTY_SLOTS[6], prepare=None)
    found = recover_ring(readings, 0, True)
    assert found.slots[6].decision is Decision.TORN
    assert found.head_certain


def test_among_peers_a_torn_sector_of_headers_hides_neither_ops_nor_the_head() -> None:
    for head, checkpoint_op in ((20, 12), (5, 0)):
        readings = [
            SlotReading(header=None, prepare=reading.prepare, synced_op=reading.synced_op) for reading in ring_at(head)
        ]
        found = recover_ring(readings, checkpoint_op, True)
        assert found.head_certain
        assert found.faulty == ()
        assert found.headers_above(checkpoint_op) == tuple(HEADERS[checkpoint_op:head])
        for op in range(head + 1, checkpoint_op + SLOTS + 1):
            assert found.slots[op % SLOTS].decision is Decision.FIX


def test_among_peers_a_damaged_header_whose_prepare_nothing_confirms_is_faulty() -> None:
    readings = ring_at(20)
    readings[18 % SLOTS] = SlotReading(header=None, prepare=OTHERS[17])
    readings[15 % SLOTS] = SlotReading(header=None, prepare=HEADERS[2])
    found = recover_ring(readings, 12, True)
    assert [(entry.op, entry.reason) for entry in found.faulty] == [(15, "header rotted"), (18, "header rotted")]
    assert found.head_certain


def test_among_peers_the_newer_of_two_versions_is_told_by_the_log_view() -> None:
    readings = ring_at(20)
    readings[18 % SLOTS] = SlotReading(header=HEADERS[17], prepare=OTHERS[17])
    assert [entry.op for entry in recover_ring(readings, 12, True, log_view=3).faulty] == [18]
    found = recover_ring(readings, 12, True, log_view=2)
    assert found.faulty == ()
    assert found.slots[18 % SLOTS].header == OTHERS[17]
    readings[18 % SLOTS] = SlotReading(header=OTHERS[17], prepare=HEADERS[17])
    assert [entry.op for entry in recover_ring(readings, 12, True, log_view=2).faulty] == [18]


def test_among_peers_whole_prepares_are_reported_as_they_lie() -> None:
    """Whether 18 or what stands above it belongs to the log, only the tail in the superblock can tell."""
    readings = ring_at(20)
    readings[18 % SLOTS] = SlotReading(header=OTHERS[17], prepare=OTHERS[17])
    found = recover_ring(readings, 12, True)
    assert found.faulty == ()
    assert found.headers_above(12) == (*HEADERS[12:17], OTHERS[17], *HEADERS[18:20])


def test_among_peers_what_lies_beyond_the_checkpoints_reach_is_cut() -> None:
    found = recover_ring(ring_at(20), 7, True)
    assert found.slots[8].decision is Decision.CUT
    assert found.slots[8].header is None


def test_alone_a_broken_chain_is_faulty_when_more_was_synced_above() -> None:
    readings = ring_at(20)
    readings[18 % SLOTS] = SlotReading(header=OTHERS[17], prepare=OTHERS[17])
    found = recover_ring(readings, 12)
    assert found.faulty[0].op == 18
    assert found.faulty[0].reason == "intact, and its parent isn't op 17"


def test_alone_an_op_beyond_the_checkpoint_is_refused() -> None:
    found = recover_ring(ring_at(20), 7)
    assert found.faulty[0].op == 8
    assert found.faulty[0].reason == "of the next lap, above what a checkpoint allows"
