"""The checker's own table of sessions (I19, I20, I21, I32): what a request of a session must be answered.

It knows the rules and nothing of the product: requests of a session run from 1 in order, replies are
kept for the last 64, and a new session evicts the one whose last request is oldest, or the old one of its client.
"""

from __future__ import annotations

from enum import Enum

from attrs import define, field

from vdb.kernel.command import Origin
from vdb.kernel.reply import Refusal, Reply

WINDOW = 64


class Due(Enum):
    """What a request's answer must be."""

    EXECUTE = "executed now"
    REPEAT = "the stored reply"
    EXPIRED = "SESSION_EXPIRED"
    TOO_OLD = "REQUEST_TOO_OLD"
    GAP = "SESSION_GAP"


@define
class _Session:
    client: bytes
    last_used: int
    last_number: int = 0
    replies: dict[int, Reply] = field(factory=dict)


class SessionTable:
    """Sessions of one group, in the order of its ops."""

    def __init__(self, sessions_max: int) -> None:
        self._sessions_max = sessions_max
        self._sessions: dict[int, _Session] = {}
        self._of_client: dict[bytes, int] = {}
        self._uses = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def due(self, origin: Origin) -> Due:
        """What must happen to the request that is next in the log."""
        session = self._sessions.get(origin.session)
        if session is None or session.client != origin.client:
            return Due.EXPIRED
        if origin.number in session.replies:
            return Due.REPEAT
        if origin.number <= session.last_number - WINDOW or origin.number < 1:
            return Due.TOO_OLD
        return Due.EXECUTE if origin.number == session.last_number + 1 else Due.GAP

    def stored(self, origin: Origin) -> Reply:
        return self._sessions[origin.session].replies[origin.number]

    def executed(self, origin: Origin, reply: Reply) -> None:
        """The request ran and was answered so."""
        session = self._sessions[origin.session]
        session.last_number = origin.number
        session.replies[origin.number] = reply
        session.replies.pop(origin.number - WINDOW, None)
        self._uses += 1
        session.last_used = self._uses

    def opened(self, client: bytes, number: int) -> None:
        """A session was opened; others may have to go."""
        old = self._of_client.pop(client, None)
        if old is not None:
            self._sessions.pop(old, None)
        if len(self._sessions) >= self._sessions_max:
            oldest = min(self._sessions, key=lambda name: self._sessions[name].last_used)
            self._of_client.pop(self._sessions.pop(oldest).client, None)
        self._uses += 1
        self._sessions[number] = _Session(client, self._uses)
        self._of_client[client] = number

    def is_open(self, number: int) -> bool:
        return number in self._sessions


def refused_as(reply: Reply, due: Due) -> bool:
    """Whether the reply is the refusal that is due."""
    return isinstance(reply, Refusal) and reply.code.value == due.value
