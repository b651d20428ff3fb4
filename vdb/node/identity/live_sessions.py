"""Who is connected to this node: a session is a connection on which somebody has shown who asks.

One credential from two machines at the same time is two people, or one with two machines: it is flagged, once an hour
for each machine. A node knows of its own connections alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import frozen

from vdb.node.gate.caller import Caller

if TYPE_CHECKING:
    from vdb.node.identity.visit import Visit

FLAGGED_SECONDS = 3600.0
FLAGGED_MAX = 10_000

_Shown = tuple[str, str, str]


@frozen(kw_only=True)
class LiveSession:
    number: int
    """Of the node's own."""
    principal: str
    credential: str
    mfa: bool
    client: str
    """Where it connects from."""
    purpose: str
    since: int
    """Microseconds UTC."""
    idle_us: int
    """Since its last call."""
    expires: int
    """Microseconds UTC; 0: never."""


class LiveSessions:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._visits: dict[int, Visit] = {}
        self._serial = 0
        self._flagged: dict[tuple[_Shown, str], float] = {}

    def begin(self, visit: Visit) -> int:
        """A connection is there: its number."""
        self._serial += 1
        self._visits[self._serial] = visit
        return self._serial

    def leave(self, number: int) -> None:
        """It is over."""
        self._visits.pop(number, None)

    def all(self) -> list[LiveSession]:
        """In the order of their beginning; without connections that have shown nobody."""
        now = trio.current_time()
        return [
            LiveSession(
                number=number,
                principal=visit.caller.principal.name,
                credential=visit.caller.credential.value,
                mfa=visit.caller.principal.mfa,
                client=visit.caller.client,
                purpose=visit.caller.purpose,
                since=visit.since,
                idle_us=int((now - visit.called_at) * 1e6),
                expires=visit.caller.expires or 0,
            )
            for number, visit in self._visits.items()
            if visit.caller is not None
        ]

    def end(self, number: int) -> LiveSession | None:
        """End a connection: the session that it was; None if there is none of this number."""
        found = next((one for one in self.all() if one.number == number), None)
        if found is not None:
            self._visits[number].close()
        return found

    def elsewhere(self, visit: Visit) -> tuple[str, ...]:
        """Other machines from which what this connection shows is shown as well, unless that was said just before."""
        if visit.caller is None:
            return ()
        shown, host = _shown(visit.caller), _host(visit)
        others = dict.fromkeys(
            _host(other)
            for other in self._visits.values()
            if other.caller is not None and _shown(other.caller) == shown and _host(other) != host
        )
        now = trio.current_time()
        if not others or now - self._flagged.get((shown, host), float("-inf")) < FLAGGED_SECONDS:
            return ()
        if len(self._flagged) >= FLAGGED_MAX:
            self._flagged.clear()
        self._flagged[shown, host] = now
        return tuple(others)


def _shown(caller: Caller) -> _Shown:
    by_certificate = caller.credential.value == "mtls"
    return caller.principal.name, caller.credential.value, caller.serial if by_certificate else ""


def _host(visit: Visit) -> str:
    return visit.peer.address.rpartition(":")[0]
