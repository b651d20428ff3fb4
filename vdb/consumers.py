"""Consumer groups as values: what a client and a node say to each other about them. Times are microseconds UTC.

A consumer group hands the events of a filter out to its members. Each delivery has an attempt, from 1, and a deadline:
a member settles it before (ack, nak, extend, term), or it is delivered again. Positions are numbers of the log of the
group of nodes that the consumer group lies in.
"""

from __future__ import annotations

from enum import Enum, IntEnum

from attrs import field, frozen

from vdb.selection import EventFilter, EventRecord, EventStart
from vdb.values import fast_frozen

MEMBER_ID_SIZE = 16
"""Bytes of the id that a member chooses for itself."""


class OrderedBy(IntEnum):
    """What the events have in common of which one is out at a time. The numbers travel."""

    NOTHING = 0
    STREAM = 1
    SUBJECT = 2
    """The stream, for an event without a subject."""


@frozen(kw_only=True)
class ConsumerSettings:
    """What a consumer group is. Fixed when it is created."""

    filter: EventFilter = field(factory=EventFilter)
    start: EventStart = field(factory=EventStart)
    ack_us: int = 30_000_000
    """After so long without an answer a delivery is made again."""
    in_flight_max: int = 1000
    """Deliveries without an answer, of all members."""
    member_in_flight_max: int = 0
    """Of one member; 0: no limit of its own."""
    ordered_by: OrderedBy = OrderedBy.NOTHING
    max_deliver: int = 5
    """After so many deliveries an event becomes a dead letter; 0: never."""
    backoff_us: int = 1_000_000
    """Pause after the first failed delivery; doubles with each, with jitter."""
    backoff_max_us: int = 60_000_000


@fast_frozen(kw_only=True)
class Delivered:
    """A delivery as it travels."""

    event: EventRecord
    attempt: int
    deadline: int


class Verdict(Enum):
    """What a member says of a delivery. The values are the names of the fields of the interface's Settlement."""

    ACK = "ack"
    NAK = "nak"
    EXTEND = "extend"
    TERM = "term"
    UNTRIED = "untried"
    """Nobody has looked at it: it may be delivered at once, and the attempt doesn't count."""


@fast_frozen(kw_only=True)
class Settlement:
    """A member's answer to a delivery."""

    position: int
    attempt: int
    verdict: Verdict
    delay_us: int = 0
    """Of a nak: when it may be delivered again, below 0: after the group's back-off. Of an extend: how long from now,
    0: the group's `ack_us`."""
    reason: str = field(default="", repr=False)
    """Of a term."""


@frozen(kw_only=True)
class MemberInfo:
    id: bytes
    in_flight: int


@frozen(kw_only=True)
class ConsumerInfo:
    """A consumer group, as its primary knows it."""

    name: str
    group: str
    """The group of nodes that holds it: a region's name, or 'global'."""
    settings: ConsumerSettings
    position: int
    """Everything before it has been handed out, or didn't fit the filter."""
    head: int
    """Where the tenant's events end."""
    in_flight: int
    waiting: int
    """To be delivered again, or held back by the order of their key."""
    dead_letters: int
    acked: int
    delivered: int
    """Deliveries made, repeated ones included."""
    created_at: int
    members: tuple[MemberInfo, ...] = ()


@frozen(kw_only=True)
class DeadLetterInfo:
    """An event that was given up. Its payload stays in the log, and is read from there by its stream and offset."""

    position: int
    stream: str = field(repr=False)
    offset: int
    attempts: int
    time: int
    """When it was given up."""
    reason: str = field(default="", repr=False)
    """The member's own; empty where deliveries ran out."""
