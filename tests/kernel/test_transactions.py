"""Appends in parts: invisible before the close, one append at the close, nothing after a void."""

from __future__ import annotations

import pytest

from vdb.errors import RefusalCode
from vdb.kernel.apply import stored_reply
from vdb.kernel.command import ANY, EMPTY, Expected, ExpectedKind, OpenSession, Origin, VoidTransaction
from vdb.kernel.effect import AppendRecord, EvictSession, WakeProjection
from vdb.kernel.reply import Appended, AppendedStream, PartKept, Refusal, Voided
from vdb.kernel.tables import Table

CLIENT = b"c" * 16


def exactly(offset: int) -> Expected:
    return Expected(ExpectedKind.EXACT, offset)


def rows_but_sessions(primary) -> dict[tuple[int, bytes], bytes]:
    return {key: row for key, row in primary.rows().items() if key[0] not in (Table.META, Table.SESSIONS)}


def test_parts_close_as_one_append(primary) -> None:
    notes, labs = primary.create(1, "notes"), primary.create(1, "labs")
    primary.append(1, (notes, ANY, [2]))
    before = primary.state
    first = primary.part_command(1, 0, [(notes, exactly(2), 2, [3])])
    time = first.transaction
    assert primary.apply(first) == ((), PartKept(time, 0))
    assert primary.apply(primary.part_command(1, 1, [(notes, exactly(2), 5, [1]), (labs, EMPTY, 0, [1, 2])],
                                              transaction=time)) == ((), PartKept(time, 1))  # fmt: skip
    assert primary.state.stream(1, notes) == before.stream(1, notes)
    assert (primary.state.tenant(1), primary.state.next_position) == (before.tenant(1), before.next_position)
    effects, reply = primary.apply(primary.part_command(1, 2, [(labs, EMPTY, 3, [1])], transaction=time, last=True))
    assert reply == Appended((AppendedStream(notes, 2, 6), AppendedStream(labs, 0, 4)), 4, 12, time)
    records = [effect for effect in effects if isinstance(effect, AppendRecord)]
    assert [(one.stream, one.first_offset, one.first_position, one.count) for one in records] == [
        (notes, 2, 4, 3), (notes, 5, 7, 1), (labs, 0, 8, 1), (labs, 1, 9, 2), (labs, 3, 11, 1),
    ]  # fmt: skip
    assert effects[-1] == WakeProjection(1)
    assert primary.state.transaction() is None
    assert not primary.state.tables()[Table.PARTS]
    assert primary.state.stream(1, notes).last_position == 7
    assert primary.state.tenant(1).next_position == 12


def test_the_state_after_the_close_is_that_of_one_append(primary, primary_class) -> None:
    other = primary_class()
    for each in (primary, other):
        stream = each.create(1, "notes")
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    primary.apply(first)
    primary.apply(primary.part_command(1, 1, [(stream, ANY, 1, [2])], transaction=first.transaction, last=True))
    other.append(1, (stream, ANY, [1, 2]))
    other.clock = primary.clock
    assert rows_but_sessions(primary) == rows_but_sessions(other)


def test_a_number_is_used_up_by_the_close(primary) -> None:
    stream = primary.create(1, "notes")
    origin = Origin(CLIENT, primary.open(CLIENT), 1)
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    primary.apply(first, origin)
    assert stored_reply(primary.state, origin) is None
    last = primary.part_command(1, 1, [(stream, ANY, 1, [1])], transaction=first.transaction, last=True)
    _, reply = primary.apply(last, origin)
    assert stored_reply(primary.state, origin) == reply
    assert primary.apply(last, origin) == ((), reply)


def test_a_void_leaves_nothing_and_a_retry_is_executed(primary) -> None:
    stream = primary.create(1, "notes")
    origin = Origin(CLIENT, primary.open(CLIENT), 1)
    before = primary.rows()
    first = primary.part_command(1, 0, [(stream, EMPTY, 0, [1, 1])])
    primary.apply(first, origin)
    assert primary.apply(VoidTransaction(transaction=first.transaction)) == ((), Voided(first.transaction))
    assert rows_but_sessions(primary) == {key: row for key, row in before.items() if key in rows_but_sessions(primary)}
    assert len(primary.rows()) == len(before)
    assert primary.append(1, (stream, EMPTY, [1]), origin=origin).streams == (AppendedStream(stream, 0, 1),)


def test_the_end_of_its_session_voids_a_transaction(primary) -> None:
    stream = primary.create(1, "notes")
    session = primary.open(CLIENT)
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    primary.apply(first, Origin(CLIENT, session, 1))
    effects, _ = primary.apply(OpenSession(), Origin(CLIENT))
    assert effects == (EvictSession(session),)
    assert primary.state.transaction() is None
    last = primary.part_command(1, 1, [(stream, ANY, 1, [1])], transaction=first.transaction, last=True)
    effects, reply = primary.apply(last, Origin(CLIENT, session, 1))
    assert (effects, reply.code) == ((), RefusalCode.SESSION_EXPIRED)
    assert isinstance(primary.append(1, (stream, EMPTY, [1])), Appended)


def test_another_session_may_end_meanwhile(primary) -> None:
    stream = primary.create(1, "notes")
    origin = Origin(CLIENT, primary.open(CLIENT), 1)
    other = b"o" * 16
    primary.open(other)
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    primary.apply(first, origin)
    primary.open(other)
    last = primary.part_command(1, 1, [(stream, ANY, 1, [1])], transaction=first.transaction, last=True)
    assert isinstance(primary.apply(last, origin)[1], Appended)


def test_nothing_is_appended_or_created_between_parts(primary) -> None:
    stream = primary.create(1, "notes")
    append = primary.append_command(1, [(stream, ANY, [1])])
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    primary.apply(first)
    with pytest.raises(AssertionError, match="an append stands between the parts of a transaction"):
        primary.apply(append)
    with pytest.raises(AssertionError, match="a stream is created between the parts of a transaction"):
        primary.apply(primary.create_command(1, "labs"))
    with pytest.raises(AssertionError, match="a transaction starts between the parts of another"):
        primary.apply(primary.part_command(1, 0, [(stream, ANY, 0, [1])]))


def test_parts_come_in_order_from_one_request(primary) -> None:
    stream = primary.create(1, "notes")
    with pytest.raises(AssertionError, match="part 1 of a transaction that isn't open"):
        primary.apply(primary.part_command(1, 1, [(stream, ANY, 0, [1])]))
    with pytest.raises(AssertionError, match="called by the time of its first part"):
        primary.apply(primary.part_command(1, 0, [(stream, ANY, 0, [1])], transaction=5))
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    primary.apply(first)
    time = first.transaction
    with pytest.raises(AssertionError, match="expected part 1, found part 2"):
        primary.apply(primary.part_command(1, 2, [(stream, ANY, 1, [1])], transaction=time))
    with pytest.raises(AssertionError, match="a part of another request"):
        primary.apply(primary.part_command(1, 1, [(stream, ANY, 1, [1])], transaction=time), Origin(CLIENT, 0, 9))
    with pytest.raises(AssertionError, match="a condition changed between two parts"):
        primary.apply(primary.part_command(1, 1, [(stream, EMPTY, 1, [1])], transaction=time))
    with pytest.raises(AssertionError, match="sealed for offset 7"):
        primary.apply(primary.part_command(1, 1, [(stream, ANY, 7, [1])], transaction=time))


def test_conditions_are_checked_again_at_the_close(primary) -> None:
    stream = primary.create(1, "notes")
    primary.append(1, (stream, ANY, [1]))
    first = primary.part_command(1, 0, [(stream, EMPTY, 1, [1])])
    primary.apply(first)
    last = primary.part_command(1, 1, [(stream, EMPTY, 2, [1])], transaction=first.transaction, last=True)
    with pytest.raises(AssertionError, match="the transaction was sealed for offsets"):
        primary.apply(last)


def test_a_void_of_nothing_is_harmless(primary) -> None:
    state = primary.state
    assert primary.apply(VoidTransaction(transaction=9)) == ((), Voided(9))
    assert primary.state.tables()[Table.STREAMS] == state.tables()[Table.STREAMS]
    assert isinstance(primary.append(1, (1, ANY, [1])), Refusal)
