"""The trace: everything that happened in a run, as small tuples, hashed into the digest as they come.

Two runs of a seed have the same digest (I39), in other processes and on other machines. So a detail is an int, a
str, bytes or a tuple of those, and never an address, a set or a file's encrypted bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256

Detail = int | str | bytes | None | tuple["Detail", ...]

LAST_EVENTS = 60


def short(checksum: bytes) -> str:
    """The first bytes of a checksum, enough to tell two apart."""
    return checksum[:6].hex()


class Trace:
    """`now_ns` reads the virtual clock; `last` keeps the newest events for reports."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._hash = sha256()
        self.events = 0
        self.last: deque[tuple[int, str, str, tuple[Detail, ...]]] = deque(maxlen=LAST_EVENTS)
        self.everything: list[str] | None = None
        """Set to a list to keep all events as lines, for finding where two runs part."""

    def add(self, node: str, kind: str, *details: Detail) -> None:
        """`node` is 'n0.3' (node 0, third incarnation), 'c2' (client 2), 'nemesis' or 'run'."""
        event = (self._now_ns(), node, kind, details)
        self.events += 1
        self._hash.update(repr(event).encode())
        self.last.append(event)
        if self.everything is not None:
            self.everything.append(line(event))

    def digest(self) -> str:
        """SHA-256 over all events so far, hex."""
        return self._hash.hexdigest()

    def last_lines(self) -> list[str]:
        return [line(event) for event in self.last]


def line(event: tuple[int, str, str, tuple[Detail, ...]]) -> str:
    """`    1.234567890 n0.1 commit 7 ab12cd`: seconds, who, what, details."""
    when, node, kind, details = event
    words = " ".join(str(short(detail) if isinstance(detail, bytes) else detail) for detail in details)
    return f"{when / 1e9:>14.9f} {node:<8} {kind} {words}".rstrip()
