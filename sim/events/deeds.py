"""What clients of typed streams did and were told: the input of the checkers E1 to E8 and C1 to C9.

Deeds carry ticks of one counter, as `sim.history` has them: `asked` and `told`, so that 'told before the other was
asked' is exact. A deed whose outcome isn't known is never told.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import define, field, frozen

from sim.events.kinds import Fact

NEVER = 1 << 62


class Fate(Enum):
    """What the client knows of a deed in the end."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"
    """A definite error: nothing happened and nothing will."""
    UNKNOWN = "unknown"


@define(eq=False, kw_only=True)
class Deed:
    """What all deeds have. `who` is the client or member."""

    who: str
    asked: int
    told: int = NEVER
    fate: Fate = Fate.PENDING
    refusal: str = ""


@define(eq=False, kw_only=True)
class Appending(Deed):
    """Events appended to some streams at once. `offsets` by stream: where the first one was said to be."""

    parts: dict[str, tuple[Fact, ...]]
    offsets: dict[str, int] = field(factory=dict)
    position: int = -1
    """The log's next position after it."""
    life: int = 0
    """Of the node, when it was told; of several nodes 0."""
    came_again: bool = False
    """Whether another client sent it, too."""


@define(eq=False, kw_only=True)
class HeadSeen(Deed):
    """The head of the tenant's tree: its number of leaves and its root. -1 where none was told."""

    size: int = -1
    root: bytes = b""


@define(eq=False, kw_only=True)
class Proven(HeadSeen):
    """A proof that the record of an event is in the tree."""

    stream: str
    offset: int
    leaf: bytes = b""
    index: int = -1


@define(eq=False, kw_only=True)
class Resending(Deed):
    """Events of earlier appends, sent by a client of its own."""

    of: tuple[Appending, ...]
    parts: dict[str, tuple[Fact, ...]]
    whole: bool
    """Whether they are those of one append, as it was."""
    offsets: dict[str, int] = field(factory=dict)
    position: int = -1


@frozen(kw_only=True)
class Seen:
    """One event as a read gave it. `told` is what the event itself says (`sim.events.kinds.told_fact`)."""

    position: int
    stream: str
    offset: int
    time: int
    event_id: bytes
    actor: str
    subject: str
    told: tuple[int, str, int, bool]


@define(eq=False, kw_only=True)
class Reading(Deed):
    """Events asked for by a filter: of one stream, or of all with these prefixes; of these types, or all."""

    stream: str = ""
    prefixes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    backward: bool = False
    start: str = ""
    """'offset', 'position' or 'time', of `place`; '' is the edge."""
    place: int = 0
    most: int = 0
    """0: all."""
    follows: bool = False
    stale: bool = False
    """Whether it takes what the node has."""
    seen: list[Seen] = field(factory=list)


@define(eq=False, kw_only=True)
class Folding(Deed):
    """A stream's aggregate: as of an offset, or of now (-1)."""

    stream: str
    at: int = -1
    events: int = 0
    chain: str = ""
    next_offset: int = -1


@define(eq=False, kw_only=True)
class RowsRead(Deed):
    """The rows of a projection, and the position that they were said to stand for."""

    projection: str
    rows: tuple[tuple[Any, ...], ...] = ()
    position: int = -1
    life: int = 0
    """As that of an append."""


@define(eq=False, kw_only=True)
class Delivered:
    """One delivery, as a fetch gave it to a member. Times are microseconds of the group's clock."""

    consumer: str
    member: bytes
    position: int
    stream: str
    offset: int
    number: int
    """Of the fact; -1: the payload isn't one."""
    attempt: int
    deadline: int
    asked: int
    told: int


class Act(Enum):
    ACK = "ack"
    NAK = "nak"
    EXTEND = "extend"
    TERM = "term"


@define(eq=False, kw_only=True)
class Settling(Deed):
    """A member's answer to one delivery. `micros` of NAK below 0: the group's back-off; of EXTEND 0: its own time."""

    consumer: str
    member: bytes
    position: int
    attempt: int
    act: Act
    micros: int = 0
    reason: str = ""
    late: bool = False
    """It was said to have come too late."""


@define(eq=False, kw_only=True)
class Leaving(Deed):
    consumer: str
    member: bytes


@define(eq=False, kw_only=True)
class Letters(Deed):
    """Dead letters dropped, or delivered anew. No positions: all there were."""

    consumer: str
    positions: tuple[int, ...]
    drop: bool
    count: int = 0


@frozen(kw_only=True)
class Letter:
    """A dead letter, as a list told it."""

    position: int
    attempts: int
    reason: str


@frozen(kw_only=True)
class ConsumerSpec:
    """What a consumer was created with. Limits of 0: none."""

    name: str
    prefixes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    ack_us: int
    in_flight_max: int
    member_max: int = 0
    ordered_by: str = ""
    """'', 'stream' or 'subject'."""
    max_deliver: int = 0
    backoff_us: int = 0
    backoff_max_us: int = 0
    from_end: bool = False
    """Whether it begins behind what was there when it was created."""

    def wants(self, stream: str, type: str) -> bool:
        return (not self.prefixes or stream.startswith(self.prefixes)) and (not self.types or type in self.types)

    def key(self, stream: str, patient: str) -> str:
        """Whose order it keeps; '' for nobody's."""
        return {"stream": stream, "subject": patient or stream}.get(self.ordered_by, "")


@define(eq=False, kw_only=True)
class ConsumerDeeds:
    """All that happened with one consumer. `start_least` and `start_most` bound the position that it began at."""

    spec: ConsumerSpec
    start_least: int = 0
    start_most: int = 0
    delivered: list[Delivered] = field(factory=list)
    settled: list[Settling] = field(factory=list)
    left: list[Leaving] = field(factory=list)
    letters: list[Letters] = field(factory=list)
    listed: dict[int, Letter] = field(factory=dict)
    """Every dead letter that was ever told, by its position."""
    last: list[Letter] = field(factory=list)
    """Those that are there in the end."""
    drained_to: int = -1
    """The position up to which everything has been delivered and settled in the end."""


@define
class Deeds:
    """All of a run."""

    appends: list[Appending] = field(factory=list)
    resent: list[Resending] = field(factory=list)
    reads: list[Reading] = field(factory=list)
    foldings: list[Folding] = field(factory=list)
    rows: list[RowsRead] = field(factory=list)
    heads: list[HeadSeen] = field(factory=list)
    proofs: list[Proven] = field(factory=list)
    consumers: dict[str, ConsumerDeeds] = field(factory=dict)
    answered: int = 0
    """Deeds that were answered, refusals included."""
    _tick: int = 0

    def tick(self) -> int:
        self._tick += 1
        return self._tick

    def end(self, deed: Deed, fate: Fate, refusal: str = "") -> None:
        """A deed's end, as its client knows it."""
        assert deed.fate is Fate.PENDING
        deed.fate, deed.refusal = fate, refusal
        if fate is not Fate.UNKNOWN:
            deed.told = self.tick()
            self.answered += 1
