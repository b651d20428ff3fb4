"""The session's books against a model of the log: nothing is executed twice, whatever gets lost."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.client.session import InFlight, Session, Verdict
from vdb.limits import SESSION_WINDOW


def test_numbers_start_at_one_and_have_no_gap() -> None:
    session: Session[str] = Session(7)
    assert [session.assign(name).number for name in "abc"] == [1, 2, 3]
    assert [entry.request for entry in session.to_send()] == ["a", "b", "c"]


def test_the_window_spans_from_the_oldest_unanswered() -> None:
    session: Session[int] = Session(7, window=4)
    entries = [session.assign(index) for index in range(4)]
    assert not session.has_room
    for entry in entries[1:]:
        session.answered(entry)
    assert not session.has_room, "the answer to the oldest would be forgotten"
    session.answered(entries[0])
    assert session.has_room


def test_a_lost_connection_sends_all_again_in_order() -> None:
    session: Session[str] = Session(7)
    first, second, third = (session.assign(name) for name in "abc")
    first.sent = second.sent = third.sent = True
    session.answered(second)
    assert session.to_send() == []
    session.connection_lost()
    assert [entry.number for entry in session.to_send()] == [1, 3]
    assert first.lost
    assert third.lost


def test_a_gap_behind_a_request_in_flight_is_sent_again() -> None:
    session: Session[str] = Session(7)
    first, second = session.assign("a"), session.assign("b")
    first.sent = second.sent = True
    session.postponed(first)
    assert session.on_gap(second) is Verdict.SEND_AGAIN
    assert [entry.request for entry in session.to_send()] == ["a", "b"]


def test_a_gap_that_nothing_fills_moves_all_to_the_next_session() -> None:
    session: Session[str] = Session(7)
    refused, second, third = (session.assign(name) for name in "abc")
    second.sent = third.sent = True
    session.answered(refused)
    assert session.on_gap(second) is Verdict.MOVED
    assert not session.has_room
    assert session.on_gap(third) is Verdict.MOVED
    assert session.idle
    assert session.take_moved() == ["b", "c"]


def test_an_expired_session_leaves_lost_copies_unknown_and_moves_the_rest() -> None:
    session: Session[str] = Session(7)
    lost, fresh = session.assign("a"), session.assign("b")
    lost.sent = True
    session.connection_lost()
    lost.sent = fresh.sent = True
    assert session.on_expired(fresh) is Verdict.MOVED
    assert session.on_expired(lost) is Verdict.UNKNOWN
    assert session.take_moved() == ["b"]


def test_an_answer_no_longer_kept_is_unknown() -> None:
    session: Session[str] = Session(7)
    entry = session.assign("a")
    assert session.on_too_old(entry) is Verdict.UNKNOWN
    assert session.idle


def test_a_session_being_left_takes_nothing_new() -> None:
    session: Session[str] = Session(7)
    assert session.on_expired(session.assign("a")) is Verdict.MOVED
    with pytest.raises(AssertionError):
        session.assign("b")


class Log:
    """What the node does with numbered requests: in order, once, with the answers of the window kept."""

    def __init__(self) -> None:
        self.sessions: dict[int, dict[int, int]] = {}
        self.executed: list[int] = []
        self.opened = 0

    def open(self) -> int:
        self.sessions.clear()
        self.opened += 1
        self.sessions[self.opened] = {}
        return self.opened

    def request(self, session: int, number: int, request: int) -> str:
        answers = self.sessions.get(session)
        if answers is None:
            return "expired"
        last = max(answers, default=0)
        if number in answers:
            assert answers[number] == request, "a number stands for one request"
            return "old" if number <= last - SESSION_WINDOW else "ok"
        if number != last + 1:
            return "gap"
        answers[number] = request
        self.executed.append(request)
        return "ok"


@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.05, 0.3]), window=st.sampled_from([1, 3, 64]))
def test_every_request_is_executed_once_or_said_to_be_unknown(seed: int, loss: float, window: int) -> None:
    draw = random.Random(seed)
    log = Log()
    waiting = list(range(1, 121))
    done: dict[int, str] = {}
    session: Session[int] = Session(log.open(), window=window)
    wire: list[tuple[InFlight[int], int]] = []
    for _ in range(5_000):
        if len(done) == 120:
            break
        if session.leaving and session.idle:
            waiting[:0] = session.take_moved()
            session = Session(log.open(), window=window)
        for entry in session.to_send():
            entry.sent = True
            wire.append((entry, session.number))
        while waiting and session.has_room:
            entry = session.assign(waiting.pop(0))
            entry.sent = True
            wire.append((entry, session.number))
        if draw.random() < loss:  # the connection breaks; some of what was on it was executed
            for entry, number in wire[: draw.randrange(len(wire) + 1)]:
                log.request(number, entry.number, entry.request)
            wire.clear()
            session.connection_lost()
            continue
        if draw.random() < loss / 10:
            log.sessions.clear()  # evicted
        if not wire:
            continue
        entry, number = wire.pop(0)
        if draw.random() < loss / 3:
            session.postponed(entry)  # overloaded
            continue
        if draw.random() < loss / 10 and not entry.lost and number in log.sessions:
            session.answered(entry)  # refused before the log: a hole
            done[entry.request] = "refused"
            continue
        match log.request(number, entry.number, entry.request):
            case "ok":
                session.answered(entry)
                done[entry.request] = "ok"
            case "gap":
                session.on_gap(entry)
            case "expired":
                if session.on_expired(entry) is Verdict.UNKNOWN:
                    done[entry.request] = "unknown"
            case "old":
                pytest.fail("the window keeps every answer that is still waited for")
    assert len(done) == 120, "every request ends"
    counts = {request: log.executed.count(request) for request in done}
    for request, outcome in done.items():
        expected = {"ok": (1,), "refused": (0,), "unknown": (0, 1)}[outcome]
        assert counts[request] in expected, (request, outcome)
    if loss == 0.0:
        assert all(one < other for one, other in pairwise(log.executed)), "without losses, in order"
