"""The checker's own table of sessions."""

from __future__ import annotations

from sim.checkers.sessions import WINDOW, Due, SessionTable, refused_as
from vdb.errors import RefusalCode
from vdb.kernel.command import Origin
from vdb.kernel.reply import Refusal, StreamCreated
from vdb.types import StreamId

ANN, BOB, CAT = (bytes([number]) * 16 for number in (1, 2, 3))
REPLY = StreamCreated(StreamId(1), True)


def test_requests_execute_in_order_and_are_remembered_for_a_window() -> None:
    table = SessionTable(2)
    table.opened(ANN, 7)
    assert table.due(Origin(ANN, 7, 2)) is Due.GAP
    for number in range(1, WINDOW + 2):
        assert table.due(Origin(ANN, 7, number)) is Due.EXECUTE
        table.executed(Origin(ANN, 7, number), REPLY)
    assert table.due(Origin(ANN, 7, 2)) is Due.REPEAT
    assert table.stored(Origin(ANN, 7, 2)) == REPLY
    assert table.due(Origin(ANN, 7, 1)) is Due.TOO_OLD


def test_a_session_is_its_clients_alone() -> None:
    table = SessionTable(2)
    table.opened(ANN, 7)
    assert table.due(Origin(BOB, 7, 1)) is Due.EXPIRED
    assert table.due(Origin(ANN, 8, 1)) is Due.EXPIRED


def test_the_one_unused_for_longest_makes_room_and_a_client_has_one() -> None:
    table = SessionTable(2)
    table.opened(ANN, 1)
    table.opened(BOB, 2)
    table.executed(Origin(ANN, 1, 1), REPLY)
    table.opened(CAT, 3)
    assert [table.is_open(number) for number in (1, 2, 3)] == [True, False, True]
    table.opened(ANN, 4)
    assert [table.is_open(number) for number in (1, 3, 4)] == [False, True, True]


def test_refusals_are_told_apart_by_code() -> None:
    assert refused_as(Refusal(RefusalCode.SESSION_GAP, ""), Due.GAP)
    assert not refused_as(Refusal(RefusalCode.SESSION_GAP, ""), Due.EXPIRED)
    assert not refused_as(REPLY, Due.GAP)
