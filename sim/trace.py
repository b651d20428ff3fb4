"""The trace: everything that happened in a run, as small tuples, hashed into the digest as they come.

Two runs of a seed have the same digest (I39), in other processes and on other machines. So a detail is an int, a
str, bytes or a tuple of those, and never an address, a set or a file's encrypted bytes.

`add` is the digest's. The others, `event`, `sent`, `received` and `fault`, are for whoever looks at one run: they do
nothing unless a recording is on, never touch the digest and never advance the clock, so that a run is the same whether
somebody records it or not. What costs something to put together is asked for behind `if trace.recording`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256

from sim.timeline.recording import Recording

Detail = int | str | bytes | None | tuple["Detail", ...]

LAST_EVENTS = 24
"""Of each lane."""


def short(checksum: bytes) -> str:
    """The first bytes of a checksum, enough to tell two apart."""
    return checksum[:6].hex()


def node_of(lane: str) -> str:
    """'n0' of 'n0.3': the machine, whatever its incarnation."""
    return lane.partition(".")[0]


class Trace:
    """`now_ns` reads the virtual clock; the newest events of each lane are kept for reports."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._hash = sha256()
        self.events = 0
        self.last: dict[str, deque[tuple[int, str, str, tuple[Detail, ...]]]] = {}
        """By lane, incarnation and all."""
        self.recording: Recording | None = None
        """Who looks at this run; None: nobody."""
        self.everything: list[str] | None = None
        """Set to a list to keep all events as lines, for finding where two runs part."""

    def add(self, node: str, kind: str, *details: Detail) -> None:
        """`node` is 'n0.3' (node 0, third incarnation), 'c2' (client 2), 'nemesis' or 'run'."""
        event = (self._now_ns(), node, kind, details)
        self.events += 1
        self._hash.update(repr(event).encode())
        last = self.last.get(node)
        if last is None:
            last = self.last[node] = deque(maxlen=LAST_EVENTS)
        last.append(event)
        if self.everything is not None:
            self.everything.append(line(event))
        if self.recording is not None:
            self.recording.traced(node, kind, details)

    # For onlookers alone -----------------------------------------------------------------------------------------

    def event(self, lane: str, kind: str, text: str = "", /, *, peer: str = "", **details: object) -> None:
        """Something that the digest needn't know. Lane, kind and peer as in `Event`; `group` among the details, too."""
        if self.recording is not None:
            self.recording.event(lane, kind, text, details, peer)

    def sent(self, lane: str, to: str, message: object, group: str = "") -> None:
        """`lane` sends a message between replicas to the node `to`. The message is a frozen value of `vdb.vsr`."""
        if self.recording is not None:
            self.recording.message(lane, "send", to, message, group)

    def received(self, lane: str, sender: str, message: object, group: str = "") -> None:
        """The message of node `sender` has reached `lane`: the head of the arrow that `sent` began."""
        if self.recording is not None:
            self.recording.message(lane, "receive", sender, message, group)

    def fault(self, lane: str, kind: str) -> None:
        """A fault of the simulated world has fired at this lane; `kind` is one of `sim.faults`."""
        if self.recording is not None:
            self.recording.fault(lane, kind)

    # Reading -----------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """SHA-256 over all events so far, hex."""
        return self._hash.hexdigest()

    def last_lines(self) -> dict[str, tuple[str, ...]]:
        """The newest events of each machine and client, oldest first, over all its incarnations."""
        by_node: dict[str, list[tuple[int, str, str, tuple[Detail, ...]]]] = {}
        for lane, events in self.last.items():
            by_node.setdefault(node_of(lane), []).extend(events)
        return {
            node: tuple(line(event) for event in sorted(events, key=lambda event: event[0])[-LAST_EVENTS:])
            for node, events in sorted(by_node.items())
        }


def line(event: tuple[int, str, str, tuple[Detail, ...]]) -> str:
    """`    1.234567890 n0.1 commit 7 ab12cd`: seconds, who, what, details."""
    when, node, kind, details = event
    words = " ".join(str(short(detail) if isinstance(detail, bytes) else detail) for detail in details)
    return f"{when / 1e9:>14.9f} {node:<8} {kind} {words}".rstrip()
