"""Commands of consumer groups. The name, the filter and the reasons in them are sealed; positions and times are clear.

The kernel can't open an event, so the primary looks through the log and says which positions fit (`candidates`). Which
of them are handed out, the kernel decides (`vdb.kernel.consumer_rules`).
"""

from __future__ import annotations

from enum import IntEnum

from attrs import field, frozen

from vdb.types import TenantId
from vdb.values import fast_frozen

MEMBER_ID_SIZE = 16


class Verdict(IntEnum):
    """What a member says of a delivery."""

    ACK = 0
    NAK = 1
    """`amount`: microseconds after which it may be delivered again; below 0: the group's back-off."""
    EXTEND = 2
    """`amount`: microseconds from now; 0: the group's `ack_us`."""
    TERM = 3
    """It becomes a dead letter, with the reason."""
    UNTRIED = 4
    """Nobody has looked at it: it may be delivered at once, and the attempt doesn't count."""


@frozen(kw_only=True)
class ConsumerTerms:
    """How a consumer group hands events out. Times are microseconds. `vdb.kernel.consumer_rules` has the bounds."""

    ack_us: int
    """After so long without an answer a delivery is taken back."""
    in_flight_max: int
    """Deliveries without an answer, of all members."""
    member_in_flight_max: int
    """Of one member; 0: no limit of its own."""
    ordered_by: int
    """0: nothing; otherwise events have keys, and one delivery of a key is out at a time."""
    max_deliver: int
    """After so many deliveries an event is given up; 0: never."""
    backoff_us: int
    """Pause after the first failed delivery; it doubles with each."""
    backoff_max_us: int


@frozen(kw_only=True)
class CreateConsumer:
    tenant: TenantId
    lookup: bytes = field(repr=False)
    """HMAC of the name under the tenant's lookup key: 32 bytes."""
    terms: ConsumerTerms
    start: int
    """The first position that it looks at."""
    fingerprint: bytes = field(repr=False)
    """HMAC of all settings: 32 bytes. The same name may be created again with the same ones."""
    sealed: bytes = field(repr=False)
    """Name, filter and start, a sealed record for `consumer_rules.SEALS`; empty unless a group is created."""


Candidate = tuple[int, int]
"""Position, and the hash of the event's key (0 where the group isn't ordered)."""


@fast_frozen(kw_only=True)
class ConsumerFetch:
    """Hand events out to a member."""

    tenant: TenantId
    lookup: bytes = field(repr=False)
    member: bytes
    count_max: int
    scanned_from: int
    """At most the group's cursor: nothing was left out."""
    scanned_to: int
    """All events from `scanned_from` to before this position that fit are among the candidates."""
    candidates: tuple[Candidate, ...]
    """In the order of their positions."""


@fast_frozen
class SettleOne:
    position: int
    attempt: int
    verdict: Verdict
    amount: int = 0
    sealed_reason: bytes = field(default=b"", repr=False)
    """A sealed record for `consumer_rules.SEALS` at the event's position; empty: no reason given."""


@fast_frozen(kw_only=True)
class ConsumerSettle:
    """A member's answers to its deliveries."""

    tenant: TenantId
    lookup: bytes = field(repr=False)
    member: bytes
    settlements: tuple[SettleOne, ...]


@frozen(kw_only=True)
class ConsumerLeave:
    """A member gives its deliveries back."""

    tenant: TenantId
    lookup: bytes = field(repr=False)
    member: bytes


@frozen(kw_only=True)
class DeleteConsumer:
    """Forget a group, its dead letters included."""

    tenant: TenantId
    lookup: bytes = field(repr=False)


@frozen(kw_only=True)
class SettleLetters:
    """Deliver these dead letters anew, or drop them for good. Positions that are none are passed over."""

    tenant: TenantId
    lookup: bytes = field(repr=False)
    positions: tuple[int, ...]
    """Rising."""
    drop: bool


ConsumerCommand = CreateConsumer | ConsumerFetch | ConsumerSettle | ConsumerLeave | DeleteConsumer | SettleLetters
