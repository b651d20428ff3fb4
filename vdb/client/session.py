"""The numbers of one session: which request has which, what is in flight, what must be sent again. Pure.

A session makes writes safe to repeat: the log executes (client, session, number) once and answers it always the
same. The log executes the numbers in order and keeps the answers of the last `window` of them, so this side must

1. give numbers without a gap, and send them in order on each connection;
2. keep a number in flight until its answer is here, also when nobody waits for it any more: a number that never
   arrives is a gap in front of all later ones;
3. not run ahead of the oldest unanswered number by `window` or more: its answer would be forgotten;
4. after a lost connection send again all that is in flight, in order, under the same numbers.

What an answer means
- an answer, or a refusal by the log or the gate: the request is done (`answered`);
- overloaded: not executed; it is sent again, after a pause, together with those behind it (`postponed`);
- SESSION_GAP: not executed, since a number before it wasn't. If an earlier number is still in flight, it goes again
  after that one. If none is, an earlier request was refused before it reached the log and its number is a hole that
  nothing will fill: the session is left (`leaving`), and its requests move to the next one;
- SESSION_EXPIRED: this copy was not executed, the session is left. An earlier copy, lost with its connection, may
  have been executed before the session ended: then nobody can tell, and the outcome is unknown;
- REQUEST_TOO_OLD: it was executed, and its answer is no longer kept: unknown to us, too.

A session that is left takes no new requests. Those in flight stay until they are answered; what was certainly not
executed moves to the next session in its old order (`take_moved`).
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

from attrs import define, field

from vdb.limits import SESSION_WINDOW
from vdb.marks import mark

T = TypeVar("T")


class Verdict(Enum):
    """What becomes of a request whose answer was no result."""

    SEND_AGAIN = "send again"
    """Under the same number, after what is in front of it."""
    MOVED = "moved"
    """Certainly not executed; it goes to the next session."""
    UNKNOWN = "unknown"
    """It may have been executed; it is over."""


@define
class InFlight(Generic[T]):
    """A request with a number. At most one copy of it is on the current connection."""

    number: int
    request: T
    sent: bool = False
    """A copy is on the current connection, and its answer isn't here."""
    lost: bool = False
    """A copy was on a connection that broke before its answer: it may have been executed."""


@define
class Session(Generic[T]):
    """One session of a client in one group, from `openSession` to its end."""

    number: int
    """The session's own number, from `openSession`."""
    window: int = SESSION_WINDOW
    leaving: bool = False
    _next: int = 1
    _in_flight: dict[int, InFlight[T]] = field(factory=dict)
    """By request number; insertion order is number order."""
    _moved: dict[int, T] = field(factory=dict)

    @property
    def has_room(self) -> bool:
        """A new request may be given a number now."""
        return not self.leaving and self._next - self._oldest() < self.window

    @property
    def idle(self) -> bool:
        """Nothing is in flight."""
        return not self._in_flight

    def holds(self, entry: InFlight[T]) -> bool:
        """The request is still in flight here. (An answer to an older copy may have come first.)"""
        return self._in_flight.get(entry.number) is entry

    def in_flight(self) -> list[T]:
        """The requests in flight, in number order."""
        return [entry.request for entry in self._in_flight.values()]

    def assign(self, request: T) -> InFlight[T]:
        """Give the next number to a request. Needs `has_room`."""
        assert self.has_room
        entry = InFlight(self._next, request)
        self._in_flight[entry.number] = entry
        self._next += 1
        return entry

    def to_send(self) -> list[InFlight[T]]:
        """What isn't on the current connection, in number order."""
        return [entry for entry in self._in_flight.values() if not entry.sent]

    def connection_lost(self) -> None:
        """The current connection is gone with all copies on it."""
        for entry in self._in_flight.values():
            entry.lost = entry.lost or entry.sent
            entry.sent = False

    def answered(self, entry: InFlight[T]) -> None:
        """A result or a refusal that ends the request is here."""
        del self._in_flight[entry.number]

    def postponed(self, entry: InFlight[T]) -> None:
        """The node was overloaded: this copy was not executed."""
        entry.sent = False

    def uncertain(self, entry: InFlight[T]) -> None:
        """This copy may have been executed, and the node won't say."""
        entry.sent = False
        entry.lost = True

    def on_gap(self, entry: InFlight[T]) -> Verdict:
        """SESSION_GAP: this copy was not executed, because an earlier number wasn't."""
        entry.sent = False
        if not self.leaving and entry.number != self._oldest():
            mark("client.gap_behind_request")
            return Verdict.SEND_AGAIN
        mark("client.gap_for_good")
        return self._move(entry)

    def on_expired(self, entry: InFlight[T]) -> Verdict:
        """SESSION_EXPIRED: this copy was not executed, and no later one will be."""
        if not entry.lost:
            mark("client.expired_before_request")
            return self._move(entry)
        mark("client.expired_around_request")
        self.leaving = True
        self.answered(entry)
        return Verdict.UNKNOWN

    def on_too_old(self, entry: InFlight[T]) -> Verdict:
        """REQUEST_TOO_OLD: executed once, and its answer isn't kept."""
        self.answered(entry)
        return Verdict.UNKNOWN

    def take_moved(self) -> list[T]:
        """The requests that go to the next session, in the order of their numbers. Only when idle."""
        assert self.idle
        moved = [self._moved[number] for number in sorted(self._moved)]
        self._moved.clear()
        return moved

    def _move(self, entry: InFlight[T]) -> Verdict:
        self.leaving = True
        self.answered(entry)
        self._moved[entry.number] = entry.request
        return Verdict.MOVED

    def _oldest(self) -> int:
        """The oldest number in flight, or the next one to give."""
        return next(iter(self._in_flight), self._next)
